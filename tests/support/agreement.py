"""Do hub, control, launcher, gateway and proxy name the same servers, and is nothing left of the others?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import aiohttp

from hub_config.demo.leftovers import dead_traces
from hub_config.demo.visitor import Refusal, Visitor
from jupyter_sandbox_spawner.clients.control import ControlAdminClient, control_socket
from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.errors import ProgramError

from .house import House

__all__ = ["Proxy", "Sources", "disagreement", "until_agreed"]

Server = tuple[str, str]
_LOOK = 0.5  # seconds; five inventories have no common event


class Proxy:
    """The proxy's own API, with the token that its process holds; only root can do this."""

    def __init__(self, house: House) -> None:
        self._url = f"http://127.0.0.1:{house.site.proxy_api_port}/api/routes"
        environment = Path(f"/proc/{house.programs.pid('proxy')}/environ").read_bytes().split(b"\0")
        token = next(item for item in environment if item.startswith(b"CONFIGPROXY_AUTH_TOKEN="))
        self._headers = {"Authorization": "token " + token.decode().partition("=")[2]}

    async def routes(self) -> Mapping[str, Any]:
        """Every route, by its path."""
        found: Mapping[str, Any] = await self._call("GET", "")
        return found

    async def delete(self, path: str) -> None:
        """Remove a route behind everybody's back."""
        await self._call("DELETE", quote(path))

    async def _call(self, method: str, path: str) -> Any:
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.request(method, self._url + path) as answer,
        ):
            answer.raise_for_status()
            text = await answer.text()
            return json.loads(text) if text else None


@dataclass(frozen=True)
class Sources:
    """The servers as each source names them, and the ids of the sandboxes that live."""

    hub: Collection[Server]
    control: Collection[Server]
    launcher: Collection[Server]
    gateway: Collection[Server]
    routes: Collection[Server]
    alive: Collection[str]


async def sources(house: House, admin: Visitor) -> Sources:
    """Ask all five."""
    launcher = LauncherClient(house.site.launcher_socket)
    gateway = GatewayClient(house.site.gateway_socket)
    control = ControlAdminClient(control_socket(house.site, "admin"))
    async with launcher, gateway, control:
        running = await launcher.inventory()
        open_doors = await gateway.inventory()
        records = (await control.sandboxes())["items"]
    users = await admin.call("GET", admin.hub("api/users"))
    return Sources(
        hub=sorted((user["name"], name) for user in users for name in user["servers"]),
        control=sorted((item["user"], item["server"]) for item in records),
        launcher=sorted((item.user, item.server) for item in running),
        gateway=sorted((item.user, item.server) for item in open_doors),
        routes=sorted(_server(path) for path in await Proxy(house).routes() if path.startswith("/user/")),
        alive={item.id for item in running},
    )


def _server(path: str) -> Server:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    return parts[1], parts[2] if len(parts) > 2 else ""


async def disagreement(house: House, admin: Visitor) -> str:
    """What differs or was left over now; empty when all is well."""
    found = await sources(house, admin)
    lists = {name: getattr(found, name) for name in ("hub", "control", "launcher", "gateway", "routes")}
    if len({tuple(names) for names in lists.values()}) > 1:
        return f"the inventories differ: {lists}"
    left = (await asyncio.to_thread(dead_traces, house.running.root, found.alive)).found()
    return f"left over: {left}" if left else ""


async def until_agreed(house: House, admin: Visitor, within: float) -> float:
    """Seconds until everything agrees and nothing is left over; fails with what differs."""
    start = time.monotonic()
    while True:
        try:
            found = await disagreement(house, admin)
        except (ProgramError, Refusal, aiohttp.ClientError) as error:
            found = f"somebody does not answer: {error}"
        seconds = time.monotonic() - start
        if not found:
            return round(seconds, 1)
        assert seconds < within, found
        await asyncio.sleep(_LOOK)
