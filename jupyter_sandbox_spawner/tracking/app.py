"""How is MLflow set up and served? One process: its app behind our guard, on the socket the gateway may open.

Law: settings are this file's alone; no MLFLOW_ variable of the environment reaches MLflow.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from ..clients.hub import HubClient
from ..errors import ConfigurationError
from ..serving import listening_socket, peer_credentials, private_directory
from ..settings import Site
from .guard import Guard
from .identity import People

__all__ = ["run"]

log = logging.getLogger("jupyter_sandbox_spawner.tracking")
_SCHEME = "sandbox-once"  # as in repository.py, which may be imported only after the settings
_UPLOADS = "uploads"
_GRACE = 5  # seconds for requests that are running at the end


def run(site: Site, descriptor: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError `tracking.mlflow_missing`."""
    directory = private_directory(site.tracking_dir)
    for name in ("artifacts", _UPLOADS):
        private_directory(f"{directory}/{name}")
    os.environ.update(_settings(directory))
    app, store = _load(directory)
    asyncio.run(_serve(site, app, _Workspaces(store), descriptor))


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


def _load(directory: str) -> tuple[Any, Any]:
    """MLflow's application and its store of workspaces; the database is made or brought up to date."""
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
    return app, _get_workspace_store()


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


async def _serve(site: Site, app: Any, workspaces: _Workspaces, descriptor: int | None) -> None:
    import uvicorn

    async with HubClient(site.hub_api_url, "") as hub:
        config = uvicorn.Config(
            Guard(app, People(hub), workspaces),
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
        listener = listening_socket(site.tracking_socket, descriptor)
        log.info("MLflow serves, its data is in %s.", site.tracking_dir)
        await uvicorn.Server(config).serve(sockets=[listener])


def _protocol(callers: frozenset[int]) -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    allowed = callers | {0, os.geteuid()}

    class KnownCallers(H11Protocol):  # type: ignore[misc]
        """HTTP for the uids that may use the socket; others are cut off."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            uid = peer_credentials(transport.get_extra_info("socket"))[1]
            if uid not in allowed:
                log.warning("The uid %s may not use this socket.", uid)
                transport.abort()

    return KnownCallers
