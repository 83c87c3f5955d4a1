"""What answers behind a relay, where a notebook server would? A real HTTP server with a few paths."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from tests.programs.gateway_house import Relay

__all__ = ["BEGUN", "BLOCK", "LEFT", "Server", "notebook"]

BLOCK = bytes(range(256)) * 4096  # 1 MiB
NAME = web.AppKey("name", str)
BEGUN = web.AppKey("begun", asyncio.Event)
LEFT = web.AppKey("left", asyncio.Event)


async def _who(request: web.Request) -> web.Response:
    shown = {name.lower(): value for name, value in request.headers.items()}
    return web.json_response({"server": request.app[NAME], "path": request.raw_path, "headers": shown})


async def _hostile_headers(request: web.Request) -> web.Response:
    answer = web.Response(text="x")
    for value in ("a=1; Path=/user/ada/", "b=2; Path=/", "c=3; Domain=example.test", "d=4; Path=/user/bob/"):
        answer.headers.add("Set-Cookie", value)
    answer.headers.add("Set-Cookie", "e=5; HttpOnly")
    answer.headers["Service-Worker-Allowed"] = "/"
    answer.headers["Clear-Site-Data"] = '"*"'
    answer.headers["X-Sandbox-Deny"] = "forged"
    answer.headers["Content-Security-Policy"] = "frame-ancestors 'self'; report-uri https://evil.test/"
    return answer


async def _digest(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for chunk in request.content.iter_chunked(1 << 16):
        digest.update(chunk)
    return web.Response(text=digest.hexdigest())


async def _attachment(request: web.Request) -> web.Response:
    return web.Response(text="x", headers={"Content-Disposition": 'attachment; filename="x"'})


async def _bulk(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(100):
        await answer.write(BLOCK)
    return answer


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=8 << 20)
    await socket.prepare(request)
    async for message in socket:
        await (socket.send_bytes if message.type is aiohttp.WSMsgType.BINARY else socket.send_str)(
            message.data
        )
    return socket


async def _slow(request: web.Request) -> web.Response:
    request.app[BEGUN].set()
    try:
        await asyncio.sleep(30)  # a person who leaves a page that takes long
    finally:
        request.app[LEFT].set()
    return web.Response()


class Server:
    """A notebook server's stand-in behind a relay."""

    def __init__(self, name: str) -> None:
        self.app = web.Application(client_max_size=1 << 30)
        self.app[NAME] = name
        self.app[BEGUN], self.app[LEFT] = asyncio.Event(), asyncio.Event()
        prefix = f"/user/{name}"
        self.app.router.add_get(prefix + "/who", _who)
        self.app.router.add_get(prefix + "/headers", _hostile_headers)
        self.app.router.add_put(prefix + "/digest", _digest)
        self.app.router.add_get(prefix + "/bulk", _bulk)
        self.app.router.add_get(prefix + "/attachment", _attachment)
        self.app.router.add_get(prefix + "/echo", _echo)
        self.app.router.add_get(prefix + "/slow", _slow)
        self.app.router.add_get(prefix + "/api/kernels/{id}/channels", _echo)
        self.app.router.add_route("*", prefix + "/{tail:.*}", _who)
        self._runner = web.AppRunner(self.app, handler_cancellation=True)

    async def start(self, directory: str) -> None:
        """Listen on a port of the OS and let a relay dial out from there."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.relay = Relay(directory, self._runner.addresses[0][1])
        await self.relay.__aenter__()

    async def stop(self) -> None:
        """End relay and server."""
        await self.relay.__aexit__()
        await self._runner.cleanup()


@contextlib.asynccontextmanager
async def notebook(name: str, directory: str) -> AsyncIterator[Server]:
    """A stand-in that serves through the doors in a directory until the block ends."""
    server = Server(name)
    await server.start(directory)
    try:
        yield server
    finally:
        await server.stop()
