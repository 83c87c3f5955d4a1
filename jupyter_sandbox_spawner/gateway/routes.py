"""What may other programs ask of the gateway? HTTP in, one call of the registry, JSON out."""

from __future__ import annotations

from aiohttp import web

from ..errors import BootError, ConfigurationError
from ..models import BootDocument, EgressPolicy, GatewayEntry, OpenDoors
from ..wire import decode_json, encode
from .events import Spool
from .metrics import render
from .registry import Registry

__all__ = ["add_routes"]

_LONGEST_POLL = 600.0  # seconds


class _Routes:
    def __init__(self, registry: Registry, spool: Spool, front_url: str) -> None:
        self._registry = registry
        self._spool = spool
        self._front_url = front_url

    async def open(self, request: web.Request) -> web.Response:
        entry = decode_json(GatewayEntry, await request.read())
        directory = await self._registry.open(request.match_info["id"], entry)
        return web.json_response(encode(OpenDoors(directory=directory, front_url=self._front_url)))

    async def boot(self, request: web.Request) -> web.Response:
        sandbox = self._registry.get(request.match_info["id"])
        sandbox.boot.offer(decode_json(BootDocument, await request.read()))
        return web.json_response({"ok": True})

    async def ready(self, request: web.Request) -> web.Response:
        sandbox = self._registry.get(request.match_info["id"])
        timeout = _number(request, "timeout", 0.0, _LONGEST_POLL)
        ready = await sandbox.wait_ready(timeout)
        if sandbox.boot.aborted.is_set():
            raise BootError(
                "Another uid connected to the boot door; this start is aborted.",
                code="boot.foreign",
                remedy="Start the server again; the gateway's events name the uid.",
            )
        return web.json_response({"ready": ready})

    async def egress(self, request: web.Request) -> web.Response:
        policy = decode_json(EgressPolicy, await request.read())
        await self._registry.set_egress(request.match_info["id"], policy)
        return web.json_response({"ok": True})

    async def drain(self, request: web.Request) -> web.Response:
        self._registry.get(request.match_info["id"]).draining = True
        return web.json_response({"ok": True})

    async def close(self, request: web.Request) -> web.Response:
        await self._registry.close(request.match_info["id"])
        return web.Response(status=204)

    async def inventory(self, request: web.Request) -> web.Response:
        return web.json_response([encode(sandbox.inventory()) for sandbox in self._registry])

    async def events(self, request: web.Request) -> web.Response:
        after = int(_number(request, "after", 0, 2**62))
        found = await self._spool.after(after, _number(request, "timeout", 0.0, _LONGEST_POLL))
        return web.json_response([encode(event) for event in found])

    async def acknowledge(self, request: web.Request) -> web.Response:
        document = await request.json()
        seq = document.get("seq") if isinstance(document, dict) else None
        if not isinstance(seq, int) or isinstance(seq, bool):
            raise ConfigurationError(f"seq: {seq!r} is not a number.", code="wire.invalid", field="seq")
        self._spool.acknowledge(seq)
        return web.json_response({"ok": True})

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=render(self._registry, self._spool))


def add_routes(app: web.Application, registry: Registry, spool: Spool, front_url: str) -> None:
    """Put the gateway's own door on an application."""
    routes = _Routes(registry, spool, front_url)
    app.router.add_put("/sandboxes/{id}", routes.open)
    app.router.add_put("/sandboxes/{id}/boot", routes.boot)
    app.router.add_get("/sandboxes/{id}/ready", routes.ready)
    app.router.add_patch("/sandboxes/{id}/egress", routes.egress)
    app.router.add_post("/sandboxes/{id}/drain", routes.drain)
    app.router.add_delete("/sandboxes/{id}", routes.close)
    app.router.add_get("/sandboxes", routes.inventory)
    app.router.add_get("/events", routes.events)
    app.router.add_post("/events/ack", routes.acknowledge)
    app.router.add_get("/health", routes.health)
    app.router.add_get("/metrics", routes.metrics)


def _number(request: web.Request, name: str, default: float, most: float) -> float:
    text = request.query.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise ConfigurationError(
            f"{name}: {text!r} is not between 0 and {most}.", code="wire.invalid", field=name
        )
    return value
