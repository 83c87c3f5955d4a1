"""Which pods was the gateway's wires told of? A small real server that keeps what it hears, in its order."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from jupyter_sandbox_spawner.serving import application

__all__ = ["PodsWithMemory"]


@dataclass
class PodsWithMemory:
    """The own door of the gateway's wires: `heard` has every call, `tickets` the hash by sandbox."""

    heard: list[tuple[str, ...]] = field(default_factory=list)
    tickets: dict[str, str] = field(default_factory=dict)

    def app(self) -> web.Application:
        """The routes that the hub uses."""
        app = application(frozenset())
        app.router.add_put("/pods/{id}", self._register)
        app.router.add_put("/pods/{id}/address", self._address)
        app.router.add_post("/pods/{id}/suspend", self._noted)
        app.router.add_post("/pods/{id}/resume", self._noted)
        app.router.add_delete("/pods/{id}", self._forget)
        return app

    async def _register(self, request: web.Request) -> web.Response:
        sandbox = request.match_info["id"]
        self.tickets[sandbox] = (await request.json())["ticket_sha256"]
        self.heard.append(("register", sandbox))
        return web.Response(status=204)

    async def _address(self, request: web.Request) -> web.Response:
        self.heard.append(("address", request.match_info["id"], (await request.json())["address"]))
        return web.Response(status=204)

    async def _forget(self, request: web.Request) -> web.Response:
        self.heard.append(("forget", request.match_info["id"]))
        self.tickets.pop(request.match_info["id"], None)
        return web.Response(status=204)

    async def _noted(self, _: web.Request) -> web.Response:
        return web.Response(status=204)
