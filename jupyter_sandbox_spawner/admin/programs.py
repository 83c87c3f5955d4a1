"""Which programs does a site consist of, and how is each one started? (pure)

Law: a program's environment holds what is written here and nothing else; only the hub, which runs the
admin's own configuration file, sees the admin's environment. The proxy's token goes to hub and proxy only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..clients.control import control_socket
from ..settings import SITE_VARIABLE
from .accounts import Account, accounts_of
from .installation import Installation

__all__ = [
    "BROKER_CALLERS",
    "CONTROL_CALLERS",
    "HeldSocket",
    "Program",
    "PROXY_TOKEN",
    "held_sockets",
    "plan_programs",
]

PROXY_TOKEN = "CONFIGPROXY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
CONTROL_CALLERS = ("hub", "gateway", "broker", "admin")
BROKER_CALLERS = ("gateway", "control", "admin")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The last two: whom the broker believes when it sends a secret to a host.
_KEPT = ("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, kw_only=True)
class HeldSocket:
    """A listening socket that outlives the program serving it: a unix path, or a loopback port.

    `group` is the gid whose members may connect to a path, besides root; None: root and we alone.
    """

    name: str
    path: str = ""
    port: int = 0
    group: int | None = None


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program: `{NAME}` in argv stands for the descriptor of the held socket of that name.

    `grace` is how many seconds it gets between SIGTERM and SIGKILL. `account` is who it runs as; None: as
    the supervisor does. `directory` is where it starts. `vital`: without it the site is not ready, and ends
    where it fails for good.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    sockets: tuple[str, ...] = ()
    grace: float = 10.0
    account: Account | None = None
    directory: str = "/"
    vital: bool = True


def held_sockets(installation: Installation) -> tuple[HeldSocket, ...]:
    """What the supervisor listens on for launcher, gateway, control and broker while they restart."""
    site = installation.site
    groups = {name: account.gid for name, account in accounts_of(site).items()}
    control = (
        HeldSocket(name=f"control-{caller}", path=control_socket(site, caller), group=groups.get(caller))
        for caller in CONTROL_CALLERS
    )
    tracking = (
        HeldSocket(name="tracking", path=site.tracking_socket, group=groups.get("gateway")),
        HeldSocket(name="tracking-public", port=site.tracking_port),
    )
    broker = (
        HeldSocket(name=f"broker-{caller}", path=site.broker_socket(caller), group=groups.get(caller))
        for caller in BROKER_CALLERS
    )
    return (
        HeldSocket(name="launcher", path=site.launcher_socket, group=groups.get("hub")),
        HeldSocket(name="gateway", path=site.gateway_socket, group=groups.get("hub")),
        HeldSocket(name="front", port=site.front_port),
        HeldSocket(name="control-public", port=site.control_port),
        *control,
        *(tracking if site.tracking else ()),
        *broker,
    )


def plan_programs(
    installation: Installation, site_file: str, tokens: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[Program, ...]:
    """The programs in the order of their start. `tokens` are for hub and proxy, by variable."""
    accounts = accounts_of(installation.site)
    base = _environment(environ, site_file, bool(accounts))
    proxy = {**base, PROXY_TOKEN: tokens[PROXY_TOKEN]}
    programs = (
        *_own_programs(site_file, base),
        Program(name="proxy", argv=_proxy(installation), environment=proxy),
        _hub(installation, {**environ, **base, **tokens}, bool(accounts)),
        *_tracking(installation, site_file, base),
    )
    return tuple(replace(program, account=accounts.get(program.name)) for program in programs)


def _own_programs(site_file: str, environment: Mapping[str, str]) -> Iterator[Program]:
    """Launcher, gateway, control and broker, each with the sockets that the supervisor holds for it."""
    options = {
        "launcher": {"fd": "launcher"},
        "gateway": {"fd": "gateway", "front-fd": "front"},
        "control": {f"{caller}-fd": f"control-{caller}" for caller in (*CONTROL_CALLERS, "public")},
        "broker": {f"{caller}-fd": f"broker-{caller}" for caller in BROKER_CALLERS},
    }
    for name, sockets in options.items():
        argv = [sys.executable, "-I", "-m", f"jupyter_sandbox_spawner.{name}", "--site", site_file]
        for option, socket in sockets.items():
            argv += [f"--{option}", f"{{{socket}}}"]
        yield Program(name=name, argv=tuple(argv), environment=environment, sockets=tuple(sockets.values()))


def _hub(installation: Installation, environment: Mapping[str, str], own_uids: bool) -> Program:
    directory = installation.site.hub_dir
    kept = dict(environment)
    if own_uids:  # the admin's home and temporary directory are of no use to another uid
        kept["HOME"] = directory
        kept.pop("TMPDIR", None)
    return Program(
        name="hub",
        argv=(sys.executable, "-m", "jupyterhub", "-f", installation.config_file),
        environment=kept,
        grace=30.0,
        directory=directory,
    )


def _tracking(
    installation: Installation, site_file: str, environment: Mapping[str, str]
) -> Iterator[Program]:
    """MLflow in its own Python; last, since nobody waits for it."""
    site = installation.site
    if not site.tracking:
        return
    argv = (
        f"{site.tracking}/bin/python",
        "-I",
        "-m",
        "jupyter_sandbox_spawner.tracking",
        "--site",
        site_file,
    )
    yield Program(
        name="tracking",
        argv=(*argv, "--fd", "{tracking}", "--public-fd", "{tracking-public}"),
        environment=environment,
        sockets=("tracking", "tracking-public"),
        directory=site.tracking_dir,
        vital=False,
    )


def _environment(environ: Mapping[str, str], site_file: str, own_uids: bool) -> dict[str, str]:
    # Those two are the admin's own.
    names = [name for name in _KEPT if not (own_uids and name in ("HOME", "TMPDIR"))]
    kept = {name: environ[name] for name in names if name in environ}
    path = f"{environ['PATH']}:{_PATH}" if environ.get("PATH") else _PATH
    return {"LANG": "C.UTF-8", "HOME": "/", **kept, "PATH": path, SITE_VARIABLE: site_file}


def _proxy(installation: Installation) -> tuple[str, ...]:
    site = installation.site
    hub = f"http://127.0.0.1:{site.hub_port}"
    argv = [*installation.proxy_command]
    argv += ["--ip", installation.public_host, "--port", str(site.public_port)]
    argv += ["--api-ip", "127.0.0.1", "--api-port", str(site.proxy_api_port)]
    argv += ["--default-target", hub, "--error-target", f"{hub}{site.base_url}hub/error"]
    argv += ["--log-level", "warn"]
    if installation.tls:
        argv += ["--ssl-key", installation.tls[0], "--ssl-cert", installation.tls[1]]
    if installation.host_routing:
        argv.append("--host-routing")
    return tuple(argv)
