"""How do the hub and control tell the gateway's wires of pods? JSON over HTTP on a unix socket.

The answers hold no ticket, no key and no digest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ..errors import ConfigurationError
from ..serving import application
from .counts import Counts
from .pods import Pods

__all__ = ["pods_application"]


def pods_application(
    callers: frozenset[int], pods: Pods, counts: Counts, certificates: Callable[[], str]
) -> web.Application:
    """The application of `pods.sock`; `certificates` gives what a scrape reads of them."""
    app = application(callers)

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=counts.render(len(pods)) + certificates())

    async def inventory(_: web.Request) -> web.Response:
        return web.json_response(pods.inventory())

    async def register(request: web.Request) -> web.Response:
        await pods.register(request.match_info["id"], await _text(request, "ticket_sha256"))
        return web.Response(status=204)

    async def address(request: web.Request) -> web.Response:
        await pods.address(request.match_info["id"], await _text(request, "address"))
        return web.Response(status=204)

    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/pods", inventory)
    app.router.add_put("/pods/{id}", register)
    app.router.add_put("/pods/{id}/address", address)
    app.router.add_post("/pods/{id}/suspend", _told(pods.suspend))
    app.router.add_post("/pods/{id}/resume", _told(pods.resume))
    app.router.add_delete("/pods/{id}", _told(pods.forget))
    return app


def _told(verb: Callable[[str], Awaitable[None]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """What is asked of one pod without more words."""

    async def handle(request: web.Request) -> web.Response:
        await verb(request.match_info["id"])
        return web.Response(status=204)

    return handle


async def _text(request: web.Request, name: str) -> str:
    try:
        document = await request.json()
    except ValueError:
        document = None
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise ConfigurationError(
            f"The request has no text {name!r}.", code="pods.invalid", field=name, remedy="Send it as JSON."
        )
    return value
