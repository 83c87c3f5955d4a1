"""Does the proxy have a route for every running server, also a moment after it was restarted?

Law: control compares and the hub mends (`POST /hub/api/proxy`); control holds no proxy token. An open
connection to the proxy's API port ends when the proxy dies, so its restart is seen at once, without polling.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from ..models import GatewayInventory
from ..rules.audit import Entry
from .parts import Parts

__all__ = ["RouteKeeper", "route_faults"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_REDIAL = 0.1  # seconds between attempts while the proxy is down; nothing tells us when it is back
_LONGEST_BACKOFF = 300.0
_PER_SERVER = 0.03  # seconds between comparisons for each server: the hub reads the whole table for each page


def route_faults(
    routes: Mapping[str, str], servers: Sequence[GatewayInventory], front_url: str, hub_path: str = ""
) -> frozenset[str]:
    """Path prefixes of ready servers without a route to the front, and routes to the front without a server;
    `hub_path` where the hub itself has no route.

    A route's specification may begin with a host name; its path counts.
    """
    paths = {unquote(spec[spec.find("/") :]): target.rstrip("/") for spec, target in routes.items()}
    front = front_url.rstrip("/")
    known = {unquote(item.prefix): item.ready for item in servers}
    missing = {path for path, ready in known.items() if ready and paths.get(path) != front}
    stale = {path for path, target in paths.items() if target == front and path not in known}
    hubless = {hub_path} - {""} - paths.keys()
    return frozenset(missing | stale | hubless)


class RouteKeeper:
    """Two loops: one watches the proxy itself, one compares the routes."""

    def __init__(
        self,
        parts: Parts,
        front_url: str,
        proxy_port: int,
        hub_path: str = "",
        proxy_host: str = "127.0.0.1",
    ) -> None:
        self._parts = parts
        self._front_url = front_url
        self._hub_path = hub_path
        self._proxy = (proxy_host, proxy_port)
        self._restarted = asyncio.Event()
        self._unmended: frozenset[str] = frozenset()
        self._backoff = parts.tuning.routes_every

    async def watch_proxy(self) -> None:
        """Dial until the proxy is there, have the routes checked, and hold the connection until it ends."""
        reader, writer = await self._dial()
        self._restarted.set()
        try:
            await reader.read()
        except OSError as error:
            log.debug("The proxy's connection ended: %s", error)
        finally:
            writer.close()

    async def step(self) -> None:
        """Wait for the proxy's restart or the next turn, then compare and mend."""
        try:
            await asyncio.wait_for(self._restarted.wait(), self._backoff)
        except asyncio.TimeoutError:
            await self.compare()
            return
        await self._parts.hub.check_routes()
        self._restarted.clear()

    async def compare(self) -> frozenset[str]:
        """Compare once; what differed."""
        servers = await self._parts.gateway.inventory()
        routes = await self._parts.hub.routes()
        faults = route_faults(routes, servers, self._front_url, self._hub_path)
        if not faults:
            calm = max(self._parts.tuning.routes_every, _PER_SERVER * len(servers))
            self._unmended, self._backoff = faults, min(calm, _LONGEST_BACKOFF)
            return faults
        if faults <= self._unmended:
            # The hub was asked already and sees it differently (a server it stops, say): ask less often.
            self._backoff = min(self._backoff * 2, _LONGEST_BACKOFF)
        self._unmended = faults
        some = sorted(faults)[:20]
        log.warning("Routes differ and are mended by the hub: %s", some)
        await self._parts.hub.check_routes()
        await self._parts.audit.write(
            Entry(
                actor="control",
                action="routes.mended",
                outcome="done",
                code="routes.differ",
                detail={"count": len(faults), "some": some},
            ),
            security=False,
        )
        return faults

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_connection(*self._proxy)
            except OSError:
                await asyncio.sleep(_REDIAL)
