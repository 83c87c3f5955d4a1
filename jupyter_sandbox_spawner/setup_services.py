"""Which of our programs are services of the hub, what may each do there, and who may use them?

Law: a service's token comes by the hub's environment; without it there is no such service.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigurationError
from .rules.admin_page import ADMIN_SCOPE
from .rules.tracking_pages import ACCESS_SCOPE, SERVICE
from .settings import Site

__all__ = [
    "CONTROL_TOKEN",
    "CULLER",
    "TRACKING_TOKEN",
    "add_services",
    "foreign_cullers",
    "own_hosts",
    "pages_url",
    "refuse_taken",
    "service_scopes",
    "warn_of_cullers",
]

log = logging.getLogger("jupyter_sandbox_spawner.hub")
CONTROL_TOKEN = "JUPYTER_SANDBOX_CONTROL_TOKEN"  # noqa: S105 - the name of a variable
TRACKING_TOKEN = "JUPYTER_SANDBOX_TRACKING_TOKEN"  # noqa: S105 - the name of a variable
CULLER = (
    "it may end servers that are used, without a warning, since the hub hears of use every half hour at most."
    " Remove it from c.JupyterHub.services; idle_timeout of the profiles ends idle servers."
)
_CONTROL = "sandbox"
_CULLERS = ("idle-culler", "idle_culler", "cull-idle", "cull_idle")
_CONTROL_SCOPES = [
    "list:users",
    "read:users:name",
    "read:servers",
    "delete:servers",
    "users:activity",
    "proxy",
]


def add_services(c: Any, site: Site) -> None:
    """Control asks who runs and for ends and routes, and tells what is used; by MLflow's pages people log in.

    Control may see and do nothing else; the proxy takes `/services/sandbox/` to its page and API for admins,
    which judges every token by its scopes. The pages may do nothing at the hub.
    """
    token = os.environ.get(CONTROL_TOKEN)
    if token:
        # Only who has the access scope sees it in the menu. No consent: the token that it gets names an admin
        # and may do nothing at the hub.
        more = {"oauth_no_confirm": True, "oauth_client_allowed_scopes": [ADMIN_SCOPE]}
        _add(c, _CONTROL, token, (site.host_of("control"), site.control_port), display=True, **more)
        role = {"name": _CONTROL, "scopes": list(_CONTROL_SCOPES), "services": [_CONTROL]}
        c.JupyterHub.load_roles.append(role)
    token = os.environ.get(TRACKING_TOKEN)
    if token and site.tracking:
        # The hub asks for no consent: MLflow learns the name, which it knows from every server.
        place = (site.host_of("tracking"), site.tracking_port)
        _add(c, SERVICE, token, place, display=True, oauth_no_confirm=True)


def service_scopes(site: Site) -> list[str]:
    """What every user needs to open the services that are for users."""
    return [ACCESS_SCOPE] if site.tracking else []


def refuse_taken(given: Mapping[str, Any], tracking: str) -> None:
    """Raises ConfigurationError `setup.service_taken` where the admin has a service of our name."""
    ours = {_CONTROL, SERVICE} if tracking else {_CONTROL}
    names = {str(service.get("name")) for service in given.get("services", ()) if isinstance(service, dict)}
    for name in sorted(ours & names):
        raise ConfigurationError(
            f"c.JupyterHub.services has a service {name!r}, and setup_hub adds one of that name.",
            code="setup.service_taken",
            field="services",
            remedy="Give yours another name."
            + (" Or set tracking='' to keep it." if name == SERVICE else ""),
        )


def foreign_cullers(given: Mapping[str, Any]) -> list[str]:
    """Names of the admin's services that look like jupyterhub-idle-culler."""
    services = [service for service in given.get("services", ()) if isinstance(service, dict)]
    return [
        str(service.get("name"))
        for service in services
        if any(word in f"{service.get('name')} {service.get('command')}".lower() for word in _CULLERS)
    ]


def warn_of_cullers(given: Mapping[str, Any]) -> None:
    """Say it in the hub's log where the admin has one."""
    for name in foreign_cullers(given):
        log.warning("The hub's service %r looks like an idle culler: %s", name, CULLER)


def pages_url(given: Mapping[str, Any], base_url: str, public_url: str) -> str:
    """Where browsers find MLflow's pages: an address, or a path where the hub's address is not known."""
    path = f"{base_url}services/{SERVICE}/"
    host = str(given.get("subdomain_host", ""))
    if host:
        parts = urlsplit(host)
        name = _subdomain(given.get("subdomain_hook"))(SERVICE, parts.hostname or "", kind="service")
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{name}{port}{path}"
    parts = urlsplit(public_url)
    return f"{parts.scheme}://{parts.netloc}{path}" if parts.netloc else path


def own_hosts(given: Mapping[str, Any]) -> bool:
    """Does each of our services have a host name on which nothing else answers? By the hub's hook for names.

    A hook is a program, so it is asked: for our services, another one, and users who are called alike.
    """
    domain = urlsplit(str(given.get("subdomain_host", ""))).hostname
    if not domain:
        return False
    hook = _subdomain(given.get("subdomain_hook"))
    asked = [(name, "service") for name in (_CONTROL, SERVICE, "other")]
    alike = ("other", _CONTROL, SERVICE, "services", f"{_CONTROL}--service", f"{SERVICE}--service")
    try:
        hosts = [
            hook(name, domain, kind=kind) for name, kind in (*asked, *((name, "user") for name in alike))
        ]
    except Exception:
        log.exception("c.JupyterHub.subdomain_hook fails; the page of admins is read only")
        return False
    ours, others = hosts[:2], [*hosts[2:], domain]
    return len(set(ours)) == len(ours) and not set(ours) & set(others)


def _subdomain(hook: Any) -> Callable[..., str]:
    from jupyterhub import utils

    named = {"idna": utils.subdomain_hook_idna, "legacy": utils.subdomain_hook_legacy}
    found: Callable[..., str] = hook if callable(hook) else named.get(str(hook), utils.subdomain_hook_idna)
    return found


def _add(c: Any, name: str, token: str, place: tuple[str, int], **more: Any) -> None:
    url = "http://{}:{}".format(*place)
    c.JupyterHub.services.append({"name": name, "api_token": token, "url": url, **more})
