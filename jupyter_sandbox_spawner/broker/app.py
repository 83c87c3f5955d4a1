"""How is the broker put together? The store, the ways to hub and control, three sockets."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Protocol

from aiohttp import web

from ..clients.control import control_socket
from ..clients.grants import ControlBrokerClient
from ..clients.hub import HubClient
from ..clients.resolve import SystemResolver
from ..errors import ConfigurationError
from ..serving import application, listening_socket, private_directory, until_signal
from ..settings import Site
from .admin_api import AdminApi
from .blocks import Blocks
from .control_api import ControlApi
from .exchanges import Exchanges
from .file_store import FileStore
from .parts import Parts
from .permits import Permits
from .proxy import SecretsProxy
from .secrets_api import SecretsApi
from .upstream import Upstream

__all__ = ["CALLERS", "forbid_dumps", "run"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
CALLERS = ("gateway", "control", "admin")
_PR_SET_DUMPABLE = 4  # of linux/prctl.h
_HUB_TIME = 4.0  # seconds; a cell waits


class _Api(Protocol):
    def add_to(self, app: web.Application) -> None: ...


async def run(site: Site, descriptors: Mapping[str, int]) -> None:
    """Serve until SIGTERM or SIGINT. `descriptors`: listening sockets that a supervisor holds, by caller."""
    forbid_dumps()
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, site)
        # With a user's own token only: the broker has none, and may do nothing at the hub.
        hub = await stack.enter_async_context(HubClient(site.hub_api_url, "", timeout=_HUB_TIME))
        exchanges = await stack.enter_async_context(Exchanges(parts.control, parts.blocks))
        upstream = await stack.enter_async_context(Upstream(SystemResolver(), site.internal_services))
        permits = Permits(parts.store, hub, parts.control, parts.blocks)
        proxy = SecretsProxy(permits, exchanges, upstream, site.base_url)
        apis: Mapping[str, tuple[_Api, ...]] = {
            "gateway": (proxy, SecretsApi(parts, hub)),
            "control": (ControlApi(parts),),
            "admin": (AdminApi(parts),),
        }
        for caller, served in apis.items():
            app = application(site.callers_of(f"broker-{caller}"))
            for api in served:
                api.add_to(app)
            await _serve(stack, site.broker_socket(caller), app, descriptors.get(caller))
        log.info(
            "The broker serves; secrets are kept in %s.",
            site.vault.address if site.vault else site.broker_dir,
        )
        await until_signal()


def forbid_dumps() -> None:
    """No core dump, whose limit a pipe in core_pattern passes over, and no look at our memory by our uid."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise ConfigurationError(
            f"The broker cannot forbid core dumps: {os.strerror(ctypes.get_errno())}.",
            code="isolation.refused",
        )


async def _parts(stack: AsyncExitStack, site: Site) -> Parts:
    files = await stack.enter_async_context(FileStore(site.broker_dir))
    blocks = Blocks(site.broker_dir)
    control = ControlBrokerClient(control_socket(site, "broker"))
    stack.push_async_callback(control.close)
    if site.vault is None:
        return Parts(store=files, blocks=blocks, control=control)
    try:
        from .vault_parts import open_vault
    except ImportError as error:
        raise ConfigurationError(
            f"vault is set, and a package for it is missing: {error.name}.",
            code="vault.package_missing",
            field="vault",
            remedy="pip install 'jupyter_sandbox_spawner[vault]'",
        ) from error
    vault = await open_vault(stack, site.vault, site.broker_dir, control, blocks, files)
    return Parts(store=vault.store, blocks=blocks, control=control, vault=vault)


async def _serve(stack: AsyncExitStack, path: str, app: web.Application, descriptor: int | None) -> None:
    if descriptor is None:
        private_directory(path.rpartition("/")[0])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening_socket(path, descriptor), backlog=1024).start()
