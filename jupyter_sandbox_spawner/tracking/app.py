"""How is MLflow set up and served? One process: its app behind our guard, for the gateway and for the proxy.

Law: settings are this file's alone; no MLFLOW_ variable of the environment reaches MLflow.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..clients.hub import HubClient, read_token
from ..errors import ConfigurationError
from ..rules.page_cookies import Place
from ..serving import listening_socket, loopback_socket, peer_credentials, private_directory
from ..settings import Site
from .guard import App, Guard, Receive, Scope, Send
from .identity import People
from .pages import Pages

__all__ = ["Held", "run"]

log = logging.getLogger("jupyter_sandbox_spawner.tracking")
_SCHEME = "sandbox-once"  # as in repository.py, which may be imported only after the settings
_UPLOADS = "uploads"
_GRACE = 5  # seconds for requests that are running at the end


@dataclass(frozen=True, kw_only=True)
class Held:
    """Descriptors of the supervisor's listening sockets: the gateway's, and the proxy's for browsers."""

    gateway: int | None = None
    public: int | None = None


def run(site: Site, held: Held) -> None:
    """Serve until a signal. Raises ConfigurationError `tracking.mlflow_missing`, `control.token_*`."""
    directory = private_directory(site.tracking_dir)
    for name in ("artifacts", _UPLOADS):
        private_directory(f"{directory}/{name}")
    os.environ.update(_settings(directory))
    mlflow = _load(directory)
    asyncio.run(_serve(site, mlflow, held))


def _settings(directory: str) -> dict[str, str]:
    """Everything that MLflow reads from the environment; what it read before is taken away."""
    for name in [name for name in os.environ if name.lstrip("_").startswith("MLFLOW")]:
        del os.environ[name]
    return {
        "TMPDIR": f"{directory}/{_UPLOADS}",
        "HOME": directory,
        "_MLFLOW_SERVER_FILE_STORE": _database(directory),
        "_MLFLOW_SERVER_REGISTRY_STORE": _database(directory),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{_SCHEME}:{directory}/artifacts",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_ENABLE_WORKSPACES": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.sandbox.internal",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "http://mlflow.sandbox.internal",
        "MLFLOW_SERVER_X_FRAME_OPTIONS": "DENY",
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": "^(mlflow-artifacts|models|runs):/",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        # One process with a pool of threads; SQLite lets one of them write at a time.
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "5",
    }


def _database(directory: str) -> str:
    return f"sqlite:///{directory}/mlflow.db"


@dataclass(frozen=True)
class _Mlflow:
    """Its application, its store of workspaces, and what it says about itself."""

    app: App
    workspaces: Any
    info: Mapping[str, Any]


def _load(directory: str) -> _Mlflow:
    """MLflow; the database is made or brought up to date."""
    try:
        from mlflow.server import handlers
        from mlflow.server.fastapi_app import app
        from mlflow.server.workspace_helpers import _get_workspace_store

        from .repository import keep_write_once
    except ImportError as error:
        raise ConfigurationError(
            f"tracking: MLflow cannot be imported: {error}.",
            code="tracking.mlflow_missing",
            field="tracking",
            remedy="Install it there: pip install 'jupyter_sandbox_spawner[mlflow]'",
        ) from error
    keep_write_once()
    place = _database(directory)
    handlers.initialize_backend_stores(place, place, "mlflow-artifacts:/", workspace_store_uri=place)
    Path(directory, "mlflow.db").chmod(0o600)
    return _Mlflow(app, _get_workspace_store(), handlers.build_server_info_payload())


class _Workspaces:
    """Workspaces in MLflow's own store; a name that is known to be there is not looked up again."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._there: set[str] = set()
        self._making = asyncio.Lock()

    async def ensure(self, name: str, user: str) -> None:
        """See Workspaces.ensure."""
        if name in self._there:
            return
        async with self._making:
            if name not in self._there:
                await asyncio.to_thread(self._make, name, user)
                self._there.add(name)

    async def has_run(self, name: str, run: str) -> bool:
        """See Workspaces.has_run."""
        return await asyncio.to_thread(self._has_run, name, run)

    def _has_run(self, name: str, run: str) -> bool:
        from mlflow.exceptions import MlflowException
        from mlflow.server.handlers import _get_tracking_store
        from mlflow.utils.workspace_context import (
            clear_server_request_workspace,
            set_server_request_workspace,
        )

        set_server_request_workspace(name)
        try:
            _get_tracking_store().get_run(run)
        except MlflowException:
            return False
        finally:
            clear_server_request_workspace()
        return True

    def _make(self, name: str, user: str) -> None:
        from mlflow.entities import Workspace

        if name in {item.name for item in self._store.list_workspaces()}:
            return
        self._store.create_workspace(Workspace(name=name, description=f"Runs of {user}"))
        log.info("The workspace %s of %s was made.", name, user)


async def _serve(site: Site, mlflow: _Mlflow, held: Held) -> None:
    import uvicorn

    with_pages = bool(site.tracking_port or held.public is not None)
    token = read_token(f"{site.run_dir}/mlflow.token") if with_pages else ""
    async with HubClient(site.hub_api_url, token) as hub:
        people = People(hub)
        guard = Guard(mlflow.app, people, _Workspaces(mlflow.workspaces), site.tracking_url)
        place = Place(
            prefix=site.tracking_prefix,
            hub=f"{site.subdomain_host}{site.base_url}hub",
            own_host=site.own_service_hosts,
        )
        pages = Pages(guard, people, hub, place, mlflow.info)
        config = uvicorn.Config(
            _by_socket(guard, pages),
            http=_protocol(site.callers_of("tracking")),
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
        )
        listeners = [listening_socket(site.tracking_socket, held.gateway)]
        if with_pages:
            listeners.append(loopback_socket(site.tracking_port, held.public, site.listen_host))
        log.info("MLflow serves, its data is in %s.", site.tracking_dir)
        await uvicorn.Server(config).serve(sockets=listeners)


def _by_socket(guard: Guard, pages: Pages) -> App:
    """What a door says counts on the gateway's socket only; uvicorn names no port for a unix socket."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        port = (scope.get("server") or (None, None))[1]
        await (guard if scope["type"] == "lifespan" or port is None else pages)(scope, receive, send)

    return serve


def _protocol(callers: frozenset[int]) -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    allowed = callers | {0, os.geteuid()}

    class KnownCallers(H11Protocol):  # type: ignore[misc]
        """HTTP for the uids that may use the socket; others are cut off."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if transport.get_extra_info("socket").family != socket.AF_UNIX:
                return  # the proxy on loopback; who is in the browser is asked by the pages
            uid = peer_credentials(transport.get_extra_info("socket"))[1]
            if uid not in allowed:
                log.warning("The uid %s may not use this socket.", uid)
                transport.abort()

    return KnownCallers
