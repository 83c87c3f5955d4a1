"""How do the same pages look with and without the gateway before them? One hostile server, two addresses.

Law: what is refused by the gateway's address works at the other one, so that the gateway alone is to blame.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiohttp import web

from tests.programs.gateway_house import Relay, entry, gateway_house

__all__ = ["PREFIX", "TwoWays", "two_ways"]

PREFIX = "/user/ada/"
# A worker that tells a foreign host of itself before it is installed, or finds that it cannot.
WORKER = """oninstall = (event) => event.waitUntil(
  fetch(new URL(location).searchParams.get('tell'), {mode: 'no-cors'}).catch(() => null));
onactivate = (event) => event.waitUntil(clients.claim());"""


@dataclass(frozen=True)
class TwoWays:
    """Origins of the server: `ours` by the gateway, `free` without it."""

    ours: str
    free: str


async def _page(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><body>a page of ada</body>", content_type="text/html")


async def _worker(_: web.Request) -> web.Response:
    headers = {"Service-Worker-Allowed": "/"}
    return web.Response(text=WORKER, content_type="text/javascript", headers=headers)


async def _cookies(_: web.Request) -> web.Response:
    answer = web.Response(text="cookies")
    for cookie in ("wide=1; Path=/", "hubs=1; Path=/hub/", f"own=1; Path={PREFIX}", "plain=1"):
        answer.headers.add("Set-Cookie", cookie)
    return answer


@asynccontextmanager
async def _serving() -> AsyncIterator[TwoWays]:
    app = web.Application()
    app.router.add_get(PREFIX + "worker.js", _worker)
    app.router.add_get(PREFIX + "deep/cookies", _cookies)
    app.router.add_get("/{tail:.*}", _page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with gateway_house() as house:
            _, directory = await house.open(entry("ada"))
            async with Relay(directory, port):
                yield TwoWays(f"http://localhost:{house.front_port}", f"http://localhost:{port}")
    finally:
        await runner.cleanup()


@contextmanager
def two_ways() -> Iterator[TwoWays]:
    """The server and a gateway, in a thread: Playwright keeps a loop of its own running in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="two ways", daemon=True)
    thread.start()
    stack = AsyncExitStack()

    def wait_close() -> None:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(60)

    try:
        yield asyncio.run_coroutine_threadsafe(stack.enter_async_context(_serving()), loop).result(120)
    finally:
        wait_close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
