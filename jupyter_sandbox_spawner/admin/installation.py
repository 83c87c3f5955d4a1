"""What does the admin's jupyterhub_config.py ask for? It is loaded as the hub loads it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue, PyFileConfigLoader

from ..errors import ConfigurationError, SandboxError
from ..rules.rulebook_file import as_json
from ..settings import SITE_VARIABLE, Site
from ..setup_hub import site_from_config
from ..setup_services import foreign_cullers
from ..wire import decode

__all__ = ["Installation", "load_installation"]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A configuration file, the site it describes and what the supervisor alone needs to know.

    `proxy_command` starts configurable-http-proxy; `tls` is its key and certificate, or empty. `profiles` is
    the text of a file with those that were given in Python; "" where the site names their file. `cullers`:
    services of the hub that look like idle cullers.
    """

    config_file: str
    site: Site
    public_host: str = "127.0.0.1"
    proxy_command: tuple[str, ...] = ("configurable-http-proxy",)
    tls: tuple[str, ...] = ()
    host_routing: bool = False
    profiles: str = ""
    cullers: tuple[str, ...] = ()


def load_installation(config_file: str, port: int | None = None) -> Installation:
    """Load the file; `port` replaces its public port.

    Raises ConfigurationError: `configuration.file` when it cannot be read or run (with its line), or
    what setup_hub says of its contents.
    """
    # Set inside a hub of ours, and then setup_hub would take that hub's ports for this one's.
    os.environ.pop(SITE_VARIABLE, None)
    path = Path(config_file).resolve()
    config = _load(path)
    site: Site = decode(Site, dict(site_from_config(config)))
    if port is not None:
        site = replace(site, public_port=port)
    hub, proxy = _section(config, "JupyterHub"), _section(config, "ConfigurableHTTPProxy")
    command = proxy.get("command") or ["configurable-http-proxy"]
    return Installation(
        config_file=str(path),
        site=site,
        public_host=str(_section(config, "SandboxSite").get("public_host") or hub.get("ip") or "127.0.0.1"),
        proxy_command=(command,) if isinstance(command, str) else tuple(command),
        tls=(hub["ssl_key"], hub["ssl_cert"]) if hub.get("ssl_key") and hub.get("ssl_cert") else (),
        host_routing=bool(hub.get("subdomain_host")),
        cullers=_cullers(config),
        profiles="" if site.profiles else as_json(_section(config, "SandboxSpawner").get("profiles")),
    )


def _load(path: Path) -> Config:
    try:
        return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except SandboxError:
        raise
    except (Exception, SystemExit) as error:  # an admin's file may raise anything
        raise ConfigurationError(
            f"{path}{_line(error, path)}: {type(error).__name__}: {error}.",
            code="configuration.file",
            remedy=f"Correct it, then try: jupyter-sandbox-admin run --check-config -f {path}",
        ) from error


def _line(error: BaseException, path: Path) -> str:
    """`:LINE` of the file where the error was raised, where it is known."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{frames[-1].lineno}" if frames else ""


def _cullers(config: Config) -> tuple[str, ...]:
    # Those that were added to the list are seen too, whether before or after setup_hub.
    given = config.JupyterHub.get("services", ())
    if isinstance(given, LazyConfigValue):
        added = given.to_dict()
        given = [item for way in ("extend", "prepend") for item in added.get(way, ())]
    return tuple(foreign_cullers({"services": given}))


def _section(config: Config, name: str) -> Mapping[str, Any]:
    """The values of one section that are set outright; those that only add to a default are left out."""
    return {key: value for key, value in config[name].items() if not isinstance(value, LazyConfigValue)}
