"""What does every program of one site need to agree on? One file, `site.json`, written by the supervisor.

Law: programs read it once at start; nobody else invents a path, a port or a uid range.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .errors import ConfigurationError
from .kubernetes_site import KubernetesSite, WiresSite
from .vault_site import VaultSite

__all__ = ["SITE_VARIABLE", "Environment", "Site", "check_site", "load_site", "write_site"]

SITE_VARIABLE = "JUPYTER_SANDBOX_SITE"
# Which programs call which socket; nobody else gets past SO_PEERCRED there.
_CALLERS: Mapping[str, tuple[str, ...]] = {
    "launcher": ("hub", "control"),
    "gateway": ("hub", "control"),
    "control-hub": ("hub",),
    "control-gateway": ("gateway",),
    "tracking": ("gateway",),
    "control-broker": ("broker",),
    "broker-gateway": ("gateway",),
    "broker-control": ("control",),
    "pods": ("hub", "control"),
}
_LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less its closing zero byte


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A user image. On the local backend: a Python environment of the host, bound read-only.

    `prefix` is the environment's directory; `read_only` are further host directories it needs
    (the base Python of a virtual environment is found by itself). On Docker `image` is the image's name
    and `prefix` the directory of its Python inside.
    """

    prefix: str
    read_only: tuple[str, ...] = ()
    image: str = ""


@dataclass(frozen=True, kw_only=True)
class Site:
    """One installation. Directories are absolute; ports are loopback (`control_port`: admins' API;
    `tracking_port`: MLflow's pages).

    `run_dir` holds sockets and what dies with the machine (0700, short, lower-case); `state_dir` holds
    homes, uids and spools. `internal_services` maps `name:port` to the `host:port` that answers for it.
    `subdomain_host` is JupyterHub's (`https://hub.example`); empty where servers share the hub's origin.
    `own_service_hosts`: on the host name of each of our services nothing else answers.
    `program_uids` gives each program its host uid (`hub`, `proxy`, `gateway`, `control`, `broker`,
    `tracking`); empty where all share one. `one_uid`: the admin accepts that although root could do better;
    `accept_shared_origin`: that servers share the hub's origin. `callers` are uids, by socket, that may use
    it besides root and the programs that need it. `tracking` is the directory of the Python environment that
    MLflow runs in; empty where the site has none; `tracking_url` is where browsers find its pages, as far as
    it is known (else a path).
    `backend` says what the launcher starts; `docker_socket` is the Docker daemon's, and `shared_directories`
    (target to host directory) are seen read-only by every container. `cdi_directories` hold the CDI specs
    of devices; of two that name the same device the one in the later directory wins. `vault` None: secrets
    are kept in encrypted files of the broker. `database`: control's, `postgresql://...` without a password,
    which is in the file `database_password_file`; "" is a SQLite file below state_dir. `usage_days`: how
    many days it is kept what was used. `listen_host`: where programs' TCP ports listen; `hosts`: where those
    of a program are reached that is not on this machine. `wires` None: all programs are on this machine.
    """

    run_dir: str
    state_dir: str
    profiles: str
    public_port: int
    hub_port: int
    proxy_api_port: int
    front_port: int
    control_port: int = 0
    tracking_port: int = 0
    environments: Mapping[str, Environment] = field(default_factory=dict)
    base_url: str = "/"
    public_url: str = ""
    subdomain_host: str = ""
    own_service_hosts: bool = False
    uid_base: int = 3_000_000
    uid_count: int = 60_000
    internal_services: Mapping[str, str] = field(default_factory=dict)
    program_uids: Mapping[str, int] = field(default_factory=dict)
    one_uid: bool = False
    accept_shared_origin: bool = False
    callers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    runtime: str = "runc"
    further_runtimes: tuple[str, ...] = ()
    consecutive_failure_limit: int = 0
    servers_per_user: int | None = None
    usage_days: int = 400
    source_of_hosts: str = ""
    backend: Literal["local", "docker", "kubernetes"] = "local"
    docker_socket: str = "/run/docker.sock"
    shared_directories: Mapping[str, str] = field(default_factory=dict)
    tracking: str = ""
    tracking_url: str = ""
    vault: VaultSite | None = None
    database: str = ""
    database_password_file: str = ""
    cdi_directories: tuple[str, ...] = ("/etc/cdi", "/var/run/cdi")
    wires: WiresSite | None = None
    kubernetes: KubernetesSite | None = None
    listen_host: str = "127.0.0.1"
    hosts: Mapping[str, str] = field(default_factory=dict)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The OCI runtimes that profiles may name, the default one first."""
        return tuple(dict.fromkeys((self.runtime, *self.further_runtimes)))

    @property
    def shared_mode(self) -> int:
        """Mode of run_dir and state_dir: programs of other uids pass through, and nobody lists them."""
        return 0o711 if self.program_uids else 0o700

    def callers_of(self, socket: str) -> frozenset[int]:
        """Who may use a socket (`launcher`, `control-hub`, ...) besides root and its own program."""
        known = (self.program_uids.get(name) for name in _CALLERS.get(socket, ()))
        return frozenset({*(uid for uid in known if uid is not None), *self.callers.get(socket, ())})

    def sockets_of(self, program: str) -> Mapping[str, tuple[str, ...]]:
        """The sockets that a program serves, by name (`control-hub`), and the programs that call there."""
        return {name: callers for name, callers in _CALLERS.items() if _owner(name) == program}

    def sockets_away(self, program: str) -> Mapping[str, str]:
        """The sockets that a program calls on other machines, by name, and the program that serves each."""
        away = self.wires.hosts if self.wires is not None else {}
        calls = {name: _owner(name) for name, callers in _CALLERS.items() if program in callers}
        return {name: owner for name, owner in calls.items() if owner in away and owner != program}

    def socket_path(self, name: str) -> str:
        """Where the socket of this name (`launcher`, `control-hub`, ...) is in run_dir."""
        program, _, caller = name.partition("-")
        below = f"{program}/{caller}" if caller else "wires/pods" if name == "pods" else program
        return f"{self.run_dir}/{below}.sock"

    @property
    def hub_dir(self) -> str:
        """The hub's own: database, cookie secret."""
        return f"{self.state_dir}/hub"

    @property
    def launcher_socket(self) -> str:
        """Where the launcher listens."""
        return f"{self.run_dir}/launcher.sock"

    @property
    def gateway_socket(self) -> str:
        """Where the gateway's own door listens."""
        return f"{self.run_dir}/gateway.sock"

    @property
    def tracking_socket(self) -> str:
        """Where MLflow listens, for the gateway alone."""
        return f"{self.run_dir}/tracking.sock"

    @property
    def tracking_dir(self) -> str:
        """MLflow's own: database and artifacts."""
        return f"{self.state_dir}/tracking"

    def control_socket(self, caller: str) -> str:
        """Where control listens for `hub`, `gateway`, `broker` or `admin`."""
        return f"{self.run_dir}/control/{caller}.sock"

    def broker_socket(self, caller: str) -> str:
        """Where the broker listens for `gateway`, `control` or `admin`."""
        return f"{self.run_dir}/broker/{caller}.sock"

    @property
    def broker_dir(self) -> str:
        """The broker's own: the encrypted store and its key."""
        return f"{self.state_dir}/broker"

    @property
    def doors_dir(self) -> str:
        """The gateway's directory of doors, one sub-directory a sandbox."""
        return f"{self.run_dir}/doors"

    @property
    def pods_socket(self) -> str:
        """Where the gateway's wires listen for who may tell them of pods."""
        return self.socket_path("pods")

    @property
    def pods_dir(self) -> str:
        """What the gateway's wires know of pods: digests and addresses."""
        return f"{self.state_dir}/wires/pods"

    @property
    def launcher_dir(self) -> str:
        """The launcher's records, bundles and root file system."""
        return f"{self.run_dir}/launcher"

    @property
    def homes_dir(self) -> str:
        """Users' homes and the uid registry beside them."""
        return f"{self.state_dir}/homes"

    @property
    def hub_api_url(self) -> str:
        """The hub's API, for control and the gateway."""
        return f"http://{self.host_of('hub')}:{self.hub_port}{self.base_url}hub/api"

    @property
    def admin_prefix(self) -> str:
        """The path below which the proxy reaches control's API for admins."""
        return f"{self.base_url}services/sandbox"

    @property
    def tracking_prefix(self) -> str:
        """The path below which the proxy reaches MLflow's pages, without a last slash."""
        return f"{self.base_url}services/mlflow"

    @property
    def front_url(self) -> str:
        """Where the proxy sends every server's requests; the hub appends the path itself."""
        return f"http://{self.host_of('gateway')}:{self.front_port}"

    @property
    def carrier_uid(self) -> int | None:
        """The uid by which pods come to their doors: the gateway's, which its wires share. None: no pods."""
        own = self.program_uids.get("gateway", os.geteuid())
        return own if self.backend == "kubernetes" else None

    def host_of(self, program: str) -> str:
        """Where the TCP ports of a program are reached."""
        return self.hosts.get(program, "127.0.0.1")


def _owner(socket: str) -> str:
    return "gateway" if socket == "pods" else socket.partition("-")[0]


def load_site(path: str | os.PathLike[str] | None = None) -> Site:
    """Read site.json from `path` or from the file that JUPYTER_SANDBOX_SITE names."""
    from .wire import decode_json

    name = path or os.environ.get(SITE_VARIABLE, "")
    if not name:
        raise ConfigurationError(
            f"{SITE_VARIABLE} is not set.",
            code="site.missing",
            remedy="Start the programs with: jupyter-sandbox-admin run -f jupyterhub_config.py",
        )
    try:
        raw = Path(name).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{name} cannot be read: {error.strerror}.",
            code="site.missing",
            remedy="Start the programs with: jupyter-sandbox-admin run -f jupyterhub_config.py",
        ) from error
    return check_site(decode_json(Site, raw))


def write_site(path: str | os.PathLike[str], site: Site) -> None:
    """Write site.json in one step, readable by the programs' uids; there is no secret in it."""
    from .wire import encode_json

    check_site(site)
    target = Path(path)
    temporary = target.with_name(target.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o644 if site.program_uids else 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(encode_json(site))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, target)


def check_site(site: Site) -> Site:
    """Refuse directories that cannot hold sockets; returns the site unchanged."""
    longest = f"{site.doors_dir}/sb-{'x' * 20}/ingress.sock"
    if len(longest.encode()) > _LONGEST_SOCKET_PATH:
        raise ConfigurationError(
            f"run_dir: {site.run_dir!r} is too long for a socket path"
            f" ({len(longest.encode())} of {_LONGEST_SOCKET_PATH} bytes with the longest name).",
            code="site.run_dir_too_long",
            field="run_dir",
            remedy="Choose a shorter one, such as /run/jupyter-sandbox.",
        )
    if site.run_dir != site.run_dir.lower() or not os.path.isabs(site.run_dir):
        raise ConfigurationError(
            f"run_dir: {site.run_dir!r} is not an absolute path in lower case.",
            code="site.run_dir_invalid",
            field="run_dir",
            remedy="Choose a lower-case absolute path, such as /run/jupyter-sandbox.",
        )
    return site
