"""How does an admin's jupyterhub_config.py become a sandboxed hub? `setup_hub(c, ...)` sets configuration.

Law: it starts nothing and writes nothing, and keeps what the admin set before it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets.config.loader import LazyConfigValue

from .errors import ConfigurationError
from .hub.catalogue import Source, check_profiles, in_python
from .hub.notes import page_variables
from .rules.database import check_database
from .rules.usage import kept_days
from .settings import SITE_VARIABLE, Environment, Site, load_site
from .setup_backend import (
    SPAWNERS,
    choose_backend,
    docker_site,
    further_runtimes,
    kubernetes_settings,
    spec_directories,
)
from .setup_services import add_services, own_hosts, pages_url, refuse_taken, service_scopes, warn_of_cullers
from .setup_vault import vault_site

__all__ = ["setup_hub", "site_from_config"]

_POLL_INTERVAL = 300  # seconds; deaths are told at once, and one list finds what that missed (hub/deaths.py)
_MORE = frozenset(
    {
        *("backend", "callers", "cdi_directories", "consecutive_failure_limit", "control_port"),
        *("database", "database_password_file", "docker_socket", "further_runtimes", "front_port"),
        *("hosts", "hub_port", "kubernetes", "listen_host", "one_uid", "program_uids", "proxy_api_port"),
        *("public_url", "runtime", "servers_per_user", "tracking", "tracking_port", "uid_base"),
        *("uid_count", "usage_days", "vault", "wires"),
    }
)
_OURS = ("own_service_hosts", "subdomain_host")  # from what the admin told JupyterHub
_SELF = "custom:sandbox:self"
_ADMIN = "custom:sandbox:admin"
_ADMIN_PAGE = "access:services!service=sandbox"
_USER_SCOPES = ["self", "custom:sandbox:self!user"]
_SERVER_SCOPES = ["users:activity!user", "access:servers!server", "custom:sandbox:self!server"]
_TEMPLATES = str(Path(__file__).resolve().parent / "hub" / "templates" / "pages")


def setup_hub(
    c: Any,
    *,
    profiles: Source,
    run_dir: str | Path,
    state_dir: str | Path,
    environments: Mapping[str, str | Path | Environment] | None = None,
    accept_shared_origin: bool = False,
    **more: Any,
) -> None:
    """Configure a hub whose servers run sandboxed on this host.

    `profiles`: path of profiles.yaml, or the same as a Python list, dictionary or callable. `run_dir`:
    sockets, short and lower-case; `state_dir`: homes, the uid registry and the hub's database.
    `environments`: user images by name, each the directory of a Python environment (Docker: an image); the
    first is the default. `accept_shared_origin`: True lets servers share the hub's origin off loopback; see
    the threat model.
    `more`: backend ("local"; "docker": containers of this host's daemon at docker_socket; "kubernetes"),
    public_host ("127.0.0.1"), public_port (8000, 0: any free one), hub_port, proxy_api_port, front_port,
    control_port and tracking_port (0: `run` chooses; units need fixed ones), base_url ("/"), public_url (""),
    internal_services ({}: none; `name:port` to `host:port`), runtime ("runc"), further_runtimes ((): others
    that profiles may name), uid_base, uid_count, program_uids ({}: system users `jss-NAME` if they exist,
    else ids below uid_base), one_uid (False; True: all programs share root's uid), callers ({}: by socket,
    further uids), cdi_directories (of GPUs' specs: ("/etc/cdi", "/var/run/cdi")), consecutive_failure_limit
    (0: the hub never exits for failed starts), servers_per_user (None: no cap where a profile names none),
    usage_days (400: so long it is kept what was used), tracking ("": no MLflow; else the directory of the
    Python environment that it runs in), vault (None: secrets in encrypted files; else VaultSite's fields),
    database ("": control keeps its records in SQLite; else "postgresql://..." without a password),
    database_password_file (""). For a cluster: kubernetes, wires (KubernetesSite's and WiresSite's fields),
    listen_host ("127.0.0.1") and hosts ({}: programs are on this machine).

    Raises ProfileError (`FILE:LINE: FIELD: ...`) and ConfigurationError.
    """
    public_host = str(more.pop("public_host", "127.0.0.1"))
    given = _given(c, "JupyterHub")
    more["profiles"] = str(profiles) if isinstance(profiles, (str, Path)) else ""
    more["subdomain_host"] = str(given.get("subdomain_host", ""))
    more["own_service_hosts"] = own_hosts(given)
    refuse_taken(given, str(more.get("tracking") or ""))
    warn_of_cullers(given)
    images = choose_backend(c, more, environments or {}, (str(run_dir), str(state_dir)))
    site = _site(more, str(run_dir), str(state_dir), images)
    if site.tracking:
        site = replace(site, tracking_url=pages_url(given, site.base_url, site.public_url))
    profiles = profiles if isinstance(profiles, (str, Path)) else in_python(profiles)
    check_profiles(profiles, site.environments)
    is_shared = _shares_origin(public_host, site, accept_shared_origin)
    _refuse_internal_ssl(given)
    c.SandboxSite.update(asdict(site) | {"public_host": public_host})
    c.SandboxSite.accept_shared_origin = is_shared
    running = load_site() if os.environ.get(SITE_VARIABLE) else site
    if not running.profiles:
        # Else the supervisor has written them into a file, which control reads as well.
        c.SandboxSpawner.profiles = profiles
    _configure(c, running, public_host)


def site_from_config(c: Any) -> dict[str, Any]:
    """The fields of Site that `setup_hub` recorded; ports that are 0 are for the supervisor to fill."""
    section = c.get("SandboxSite", {})
    names = {item.name for item in fields(Site)}
    found = {name: value for name, value in section.items() if name in names}
    if found.get("backend") == "docker":
        # Once more, now that the whole file has been read.
        found |= docker_site(c, (found["run_dir"], found["state_dir"]), found["docker_socket"])
    elif found.get("backend") == "kubernetes":
        kubernetes_settings(c)
    if "run_dir" not in found:
        raise ConfigurationError(
            "The configuration file does not call setup_hub(c, ...).",
            code="setup.missing",
            remedy="Add it; hub_config/jupyterhub_config.py shows how.",
        )
    return found


def _site(
    more: dict[str, Any],
    run_dir: str,
    state_dir: str,
    environments: Mapping[str, Environment],
) -> Site:
    known = _MORE | {"public_port", "base_url", "internal_services"}
    unknown = sorted(set(more) - known - {*_OURS, "profiles", "shared_directories"})
    if unknown:
        raise ConfigurationError(
            f"setup_hub has no setting {unknown[0]!r}.",
            code="setup.unknown",
            field=unknown[0],
            remedy=f"Known: {', '.join(sorted(known | {'public_host'}))}.",
        )
    more["tracking"] = _tracking(str(more.get("tracking") or ""))
    more["vault"] = vault_site(more.get("vault"))
    more["usage_days"] = kept_days(more.get("usage_days", Site.usage_days))
    check_database(more.get("database", ""), more.get("database_password_file", ""))
    more["cdi_directories"] = spec_directories(more.get("cdi_directories"))
    more["further_runtimes"] = further_runtimes(more.get("further_runtimes", ()))
    base_url = f"/{str(more.pop('base_url', '/')).strip('/')}/".replace("//", "/")
    return Site(
        run_dir=run_dir.rstrip("/"),
        state_dir=state_dir.rstrip("/"),
        public_port=int(more.pop("public_port", 8000)),
        hub_port=int(more.pop("hub_port", 0)),
        proxy_api_port=int(more.pop("proxy_api_port", 0)),
        front_port=int(more.pop("front_port", 0)),
        control_port=int(more.pop("control_port", 0)),
        tracking_port=int(more.pop("tracking_port", 0)),
        environments=environments,
        base_url=base_url,
        internal_services=dict(more.pop("internal_services", None) or {}),
        callers={name: tuple(uids) for name, uids in dict(more.pop("callers", {})).items()},
        **more,
    )


def _tracking(prefix: str) -> str:
    if prefix and not (os.path.isabs(prefix) and os.access(f"{prefix}/bin/python", os.X_OK)):
        raise ConfigurationError(
            f"tracking: {prefix!r} is not the directory of a Python environment.",
            code="site.environment_missing",
            field="tracking",
            remedy=f"Make one: python3 -m venv {prefix} &&"
            f" {prefix}/bin/pip install 'jupyter_sandbox_spawner[mlflow]'; or leave it out.",
        )
    return prefix


def _shares_origin(public_host: str, site: Site, accepted: bool) -> bool:
    """Pages of a user's server could act as an admin who visits them, where hub and servers share a host.

    Refused unless the admin has accepted it; then True, which doctor and the audit say.
    """
    hosts = [public_host, urlsplit(site.public_url).hostname or "127.0.0.1"]
    off_loopback = [host for host in hosts if not _is_loopback(host)]
    if not off_loopback or site.subdomain_host:
        return False
    if accepted:
        return True
    raise ConfigurationError(
        f"The hub would answer on {off_loopback[0]!r} and share its origin with users' servers.",
        code="site.shared_origin",
        field="public_host",
        remedy="Before setup_hub, set c.JupyterHub.subdomain_host; or pass accept_shared_origin=True.",
    )


def _refuse_internal_ssl(given: Mapping[str, Any]) -> None:
    if given.get("internal_ssl"):
        raise ConfigurationError(
            "c.JupyterHub.internal_ssl is set; doors are unix sockets and the front is on loopback.",
            code="setup.internal_ssl",
            field="internal_ssl",
            remedy="Remove it.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _configure(c: Any, site: Site, public_host: str) -> None:
    host = f"[{public_host}]" if ":" in public_host else public_host
    c.JupyterHub.spawner_class = SPAWNERS[site.backend]
    c.JupyterHub.bind_url = f"http://{host}:{site.public_port}{site.base_url}"
    c.JupyterHub.hub_ip = site.listen_host
    if "hub" in site.hosts:
        c.JupyterHub.hub_connect_ip = site.hosts["hub"]
    c.JupyterHub.hub_port = site.hub_port
    # The proxy is an equal of the hub under one supervisor, and servers outlive both.
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = f"http://{site.host_of('proxy')}:{site.proxy_api_port}"
    c.JupyterHub.cleanup_proxy = False
    c.JupyterHub.cleanup_servers = False
    _unless_given(c, "JupyterHub", "db_url", f"sqlite:///{site.hub_dir}/jupyterhub.sqlite")
    _unless_given(c, "JupyterHub", "cookie_secret_file", f"{site.hub_dir}/cookie_secret")
    _unless_given(c, "JupyterHub", "concurrent_spawn_limit", 20)
    _unless_given(c, "Spawner", "consecutive_failure_limit", site.consecutive_failure_limit)
    _unless_given(c, "Spawner", "poll_interval", _POLL_INTERVAL)
    # A pass stops the hub's loop for milliseconds a server. What it did, control does: it compares the routes
    # (control/routes.py) and tells the hub who is used (control/relaying.py).
    _unless_given(c, "JupyterHub", "last_activity_interval", 0)
    _add_pages(c)
    _add_own_scope(c, [*_USER_SCOPES[1:], *service_scopes(site)])
    _add_admins(c)
    add_services(c, site)


def _add_pages(c: Any) -> None:
    """Ours come after the admin's own templates and before JupyterHub's."""
    c.JupyterHub.template_paths = [*_given(c, "JupyterHub").get("template_paths", ()), _TEMPLATES]
    c.JupyterHub.template_vars.update(page_variables())


def _add_own_scope(c: Any, wanted: Sequence[str]) -> None:
    """Users may ask about their own sandboxes; tokens of their servers about that server alone.

    `wanted` are the scopes that every user gets besides the hub's own.
    """
    given = _given(c, "JupyterHub")
    about = {"description": "Ask about one's own sandbox: time left, limits, refusals; extend or stop it."}
    all_of_them = {"description": "See every sandbox and the audit; stop a sandbox."}
    c.JupyterHub.custom_scopes.update({_SELF: about, _ADMIN: all_of_them})
    roles = list(given.get("load_roles", ()))
    users = next((role for role in roles if role.get("name") == "user"), None)
    if users is None:
        # JupyterHub 6 ignores extra_user_scopes where the role is set, and 5.x has none: both are kept here.
        more = given.get("extra_user_scopes", ())
        roles.append({"name": "user", "scopes": [*_USER_SCOPES[:1], *wanted, *more]})
    else:
        known = users.get("scopes", _USER_SCOPES[:1])
        roles[roles.index(users)] = {**users, "scopes": [*known, *wanted]}
    c.JupyterHub.load_roles = roles
    of_servers = _given(c, "Spawner").get("server_token_scopes", _SERVER_SCOPES)
    if not callable(of_servers):
        c.Spawner.server_token_scopes = list(dict.fromkeys([*of_servers, _SERVER_SCOPES[-1]]))


def _add_admins(c: Any) -> None:
    """A role for admins of sandboxes; the authenticator's admins have it from the start."""
    admins = _given(c, "Authenticator").get("admin_users", ())
    role = {"name": "sandbox-admin", "scopes": [_ADMIN, _ADMIN_PAGE], "users": sorted(admins)}
    c.JupyterHub.load_roles.append(role)


def _given(c: Any, section: str) -> dict[str, Any]:
    """What the admin set outright in a section; reading an absent name of a Config would create it."""
    return {name: value for name, value in c[section].items() if not isinstance(value, LazyConfigValue)}


def _unless_given(c: Any, section: str, name: str, value: Any) -> None:
    if name not in c[section]:
        setattr(c[section], name, value)
