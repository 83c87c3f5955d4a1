"""How does a program of a test reach the real broker as from a sandbox? By a door like the gateway's.

It is the end of a sandbox's relay: a loopback port in front of the gateway's rule and the broker's socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from jupyter_sandbox_spawner.rules.api_filter import ANSWER_HEADERS, allowed_calls, decide
from jupyter_sandbox_spawner.rules.identity import SANDBOX_HEADER

__all__ = ["broker_door", "finished"]


@asynccontextmanager
async def broker_door(socket: str, sandbox: str, user: str, token: str) -> AsyncIterator[dict[str, str]]:
    """The environment of a process in that sandbox; its calls reach the broker at this socket."""
    calls = allowed_calls("/jh/", user)

    async def answer(request: web.Request) -> web.Response:
        call = decide(calls, request.method.encode(), request.raw_path.encode())
        if call is None or call.to != "broker":
            return web.json_response({"code": "api.not_allowed", "message": "Not open."}, status=403)
        headers = {SANDBOX_HEADER: sandbox}
        for name in ("Authorization", "Content-Type"):
            if name in request.headers:
                headers[name] = request.headers[name]
        body = await request.read()
        async with session.request(call.method, call.target, data=body, headers=headers) as got:
            passed = {
                name: text for name, text in got.headers.items() if name.lower().encode() in ANSWER_HEADERS
            }
            return web.Response(status=got.status, body=await got.read(), headers=passed)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    connector = aiohttp.UnixConnector(socket)
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            yield {
                "JUPYTER_SANDBOX": "1",
                "JUPYTERHUB_API_URL": f"http://127.0.0.1:{port}/jh/hub/api",
                "JUPYTERHUB_API_TOKEN": token,
                "NO_PROXY": "127.0.0.1,localhost",
                "no_proxy": "127.0.0.1,localhost",
            }
        finally:
            await runner.cleanup()


async def finished(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Status, output and errors of a process."""
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()
