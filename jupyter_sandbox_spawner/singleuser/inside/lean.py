"""What of a known single-user server's imports can be left out, and how, without changing what it does?

Measured to listening, in processor seconds: 8.2 ordinarily, 1.9 this way. Of these 3.5 are a grammar for a
format that nobody checks, 1.2 a `node` process asking for a package registry (on hosts with Node.js), 1.1 the
hub's database layer, 0.3 garbage collections of what stays.
"""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import importlib.util
import os
import site
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .claims import tell_from

__all__ = ["KNOWN_HUB_VERSIONS", "UnknownServerError", "load_lean"]

KNOWN_HUB_VERSIONS = (5, 6)
KNOWN_SERVER_VERSIONS = (2,)
# A value of JUPYTERHUB_SINGLEUSER_APP with which JupyterHub itself takes its server extension.
KNOWN_APPS = ("", "jupyter_server", "jupyter-server", "jupyter_server.serverapp.ServerApp", "extension")


class UnknownServerError(Exception):
    """This server is not one whose lean start was tried; the message says why."""


def load_lean() -> Callable[[], Any]:
    """Import jupyterhub-singleuser's extension the short way and return its entry point.

    Runs `site` first, which pid 1 skips. Raises UnknownServerError, or whatever an import raises.
    """
    site.main()
    _check_versions()
    _keep_site_in_children()
    # A lark grammar of several seconds for the JSON schema format "iri"; jsonschema does without it.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    gc.disable()
    try:
        _stop_asking_for_a_registry()
        return _import_extension()
    finally:
        gc.freeze()  # what was imported stays: no collection has to look at it again
        gc.enable()


def _check_versions() -> None:
    if os.environ.get("JUPYTERHUB_SINGLEUSER_EXTENSION") == "0":
        raise UnknownServerError("JUPYTERHUB_SINGLEUSER_EXTENSION is 0")
    if os.environ.get("JUPYTERHUB_SINGLEUSER_APP", "") not in KNOWN_APPS:
        raise UnknownServerError(f"JUPYTERHUB_SINGLEUSER_APP is {os.environ['JUPYTERHUB_SINGLEUSER_APP']}")
    hub = importlib.import_module("jupyterhub").version_info[0]
    server = importlib.import_module("jupyter_server").version_info[0]
    if hub not in KNOWN_HUB_VERSIONS or server not in KNOWN_SERVER_VERSIONS:
        raise UnknownServerError(f"jupyterhub {hub} with jupyter_server {server} is not known")


def _keep_site_in_children() -> None:
    """Processes that multiprocessing spawns copy this process's flags; pid 1's -S would hide all packages."""
    copied: Callable[[], list[str]] = subprocess._args_from_interpreter_flags  # type: ignore[attr-defined]

    def without_no_site() -> list[str]:
        return [flag for flag in copied() if flag != "-S"]

    subprocess._args_from_interpreter_flags = without_no_site  # type: ignore[attr-defined]


def _stop_asking_for_a_registry() -> None:
    """Importing JupyterLab's application runs `node yarn config`, which only a build of JupyterLab needs."""
    if importlib.util.find_spec("jupyterlab") is None:
        return
    commands: Any = importlib.import_module("jupyterlab.commands")
    if hasattr(commands, "_yarn_config"):
        commands._yarn_config = lambda _logger: {"yarn config": {}, "npm config": {}}


def _import_extension() -> Callable[[], Any]:
    hub = importlib.import_module("jupyterhub")
    # The package's own __init__ imports mixins for servers older than jupyter_server 2.
    package = types.ModuleType("jupyterhub.singleuser")
    package.__path__ = [os.path.join(os.path.dirname(str(hub.__file__)), "singleuser")]
    package.__spec__ = importlib.machinery.ModuleSpec("jupyterhub.singleuser", None, is_package=True)
    package.__getattr__ = _old_name  # type: ignore[method-assign]
    sys.modules["jupyterhub.singleuser"] = package
    with _stand_ins():
        for name in ("utils", "scopes", "services.auth", "log"):
            importlib.import_module(f"jupyterhub.{name}")
    extension = importlib.import_module("jupyterhub.singleuser.extension")
    _tell_control(extension.JupyterHubSingleUser)
    main: Callable[[], Any] = extension.main
    return main


def _tell_control(application: Any) -> None:
    """Let the server say of itself, once it is set up, what it is busy with."""
    initialize = application.initialize

    def initialize_and_tell(self: Any, *arguments: Any, **named: Any) -> None:
        initialize(self, *arguments, **named)
        tell_from(self.serverapp)

    application.initialize = initialize_and_tell


def _old_name(name: str) -> Any:
    """What an extension may still take from the package `jupyterhub.singleuser`, imported on demand."""
    if name not in {"HubAuthenticatedHandler", "make_singleuser_app"}:
        raise AttributeError(f"module 'jupyterhub.singleuser' has no attribute {name!r}")
    return getattr(importlib.import_module("jupyterhub.singleuser.mixins"), name)


@contextmanager
def _stand_ins() -> Iterator[None]:
    """While it lasts, the hub's database layer and pages are empty but for the name each importer takes.

    Afterwards the names are free again, so an extension that wants SQLAlchemy gets the real one.
    """
    metrics: Any = importlib.import_module("jupyter_server.prometheus.log_functions")
    contents: dict[str, dict[str, Any]] = {
        "sqlalchemy": {},
        "sqlalchemy.exc": {"SQLAlchemyError": type("SQLAlchemyError", (Exception,), {})},
        "jupyterhub.orm": {},
        "jupyterhub.roles": {},
        "jupyterhub.handlers": {},
        "jupyterhub.handlers.pages": {"HealthCheckHandler": type("HealthCheckHandler", (), {})},
        "jupyterhub.metrics": {"prometheus_log_method": metrics.prometheus_log_method},
    }
    for name, content in contents.items():
        module = types.ModuleType(name)
        module.__dict__.update(content, __path__=[])
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in contents:
            del sys.modules[name]
