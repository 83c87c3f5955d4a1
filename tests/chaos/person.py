"""What does a person do whose server is caught in a crash? They look, wait, and try again; no new login."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp

from hub_config.demo.visitor import Refusal, Visitor
from hub_config.demo.working import insist
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.errors import ProgramError
from jupyter_sandbox_spawner.models import InventoryItem
from tests.support.house import House

__all__ = ["come_back", "leave", "sandboxes_of", "try_start", "until"]

TROUBLE = (Refusal, aiohttp.ClientError, ConnectionError, asyncio.TimeoutError)
_LOOK = 0.05  # seconds


async def sandboxes_of(house: House, name: str) -> list[InventoryItem]:
    """The launcher's records of this person's sandboxes."""
    client = LauncherClient(house.site.launcher_socket)
    async with client:
        return [item for item in await client.inventory() if item.user == name]


async def until(what: Callable[[], Awaitable[object]], within: float = 60.0) -> None:
    """Wait until an awaitable answer of `what` is true."""
    start = time.monotonic()
    while True:
        with suppress(ProgramError, *TROUBLE):  # whoever is asked was just killed
            if await what():
                return
        assert time.monotonic() - start < within, what
        await asyncio.sleep(_LOOK)


async def try_start(visitor: Visitor, profile: str = "small", server: str = "") -> str:
    """Start once: empty when it runs, else what the person was told."""
    try:
        await visitor.start(profile, server)
    except TROUBLE as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""


async def come_back(
    visitor: Visitor, profile: str = "small", server: str = "", within: float = 120.0
) -> None:
    """Try until the server runs and its page answers."""
    start = time.monotonic()
    while time.monotonic() - start < within:
        # The hub or the proxy may be away, or the start lost with it: try again.
        with suppress(*TROUBLE):
            user = await visitor.call("GET", visitor.hub(f"api/users/{visitor.name}"))
            found = user["servers"].get(server)
            if found is None:
                await visitor.start(profile, server)
            elif found["pending"]:
                async for _ in visitor.progress(server):
                    continue
            page = await visitor.open(visitor.server("lab", server=server))
            if page.status == 200 and page.path.startswith(visitor.server("lab", server=server).path):
                return
        await asyncio.sleep(10 * _LOOK)
    raise AssertionError(f"the server of {visitor.name} did not come back within {within:.0f} s")


async def leave(visitor: Visitor, server: str = "") -> None:
    """Stop the server, again where the hub was away meanwhile."""

    async def gone() -> None:
        user = await visitor.call("GET", visitor.hub(f"api/users/{visitor.name}"))
        if server in user["servers"]:
            await visitor.stop(server)

    await insist(gone)
