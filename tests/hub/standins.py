"""Which programs does a hub under test talk to? Small real servers on unix sockets and loopback ports.

The launcher serves the shipped memory backend; the gateway keeps what it is told and has a front that
answers as a single-user server does; the proxy keeps routes. Their switches play the faults.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from aiohttp import web

from jupyter_sandbox_spawner.backends.memory import MemoryBackend
from jupyter_sandbox_spawner.clients.launcher import CreateRequest
from jupyter_sandbox_spawner.errors import BackendError, UnreachableError
from jupyter_sandbox_spawner.gpus import GpuInventory
from jupyter_sandbox_spawner.models import (
    BootDocument,
    GatewayEntry,
    GatewayInventory,
    OpenDoors,
    UserPlace,
)
from jupyter_sandbox_spawner.serving import application, listening_socket
from jupyter_sandbox_spawner.wire import decode, encode

__all__ = ["GatewayWithMemory", "LauncherOverMemory", "LoopThread", "ProxyWithRoutes"]

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LoopThread:
    """An event loop of its own in a thread, so that tests may block while the programs answer."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []

    def __enter__(self) -> LoopThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for runner in self._runners:
            self.run(runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that runs in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def serve(self, app: web.Application, path: str = "") -> int:
        """Serve an application on a unix socket, or on a free loopback port, which is returned."""
        return self.run(self._serve(app, path))

    async def _serve(self, app: web.Application, path: str) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        if path:
            await web.SockSite(runner, listening_socket(path)).start()
            return 0
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])


@dataclass
class LauncherOverMemory:
    """The launcher's API over MemoryBackend; `address` is that of every sandbox, if they are pods.

    `away`: every call is answered as if nobody were there (503). `immortal`: stop fails.
    `dies_with`: a sandbox ends as soon as it started, with that exit code and log, in which `{token}` stands
    for what `token()` gives.
    """

    backend: MemoryBackend = field(default_factory=MemoryBackend)
    away: bool = False
    refused: int = 0
    immortal: bool = False
    dies_with: tuple[int, str] | None = None
    token: Callable[[], str] = lambda: ""
    gpus: GpuInventory = field(default_factory=GpuInventory)
    requests: list[CreateRequest] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    address: str = ""

    def app(self) -> web.Application:
        """The routes."""
        app = application(frozenset())
        app.router.add_put("/users/{user}", self._guarded(self._place))
        app.router.add_delete("/users/{user}", self._guarded(self._retire))
        app.router.add_get("/events", self._guarded(self._events))
        app.router.add_get("/sandboxes/{id}/usage", self._guarded(self._usage))
        app.router.add_put("/sandboxes/{id}", self._guarded(self._create))
        app.router.add_post("/sandboxes/{id}/start", self._guarded(self._start))
        app.router.add_get("/sandboxes/{id}", self._guarded(self._status))
        app.router.add_get("/sandboxes/{id}/ended", self._guarded(self._ended))
        app.router.add_get("/sandboxes/{id}/log", self._guarded(self._log))
        app.router.add_post("/sandboxes/{id}/stop", self._guarded(self._stop))
        app.router.add_delete("/sandboxes/{id}", self._guarded(self._remove))
        app.router.add_get("/sandboxes", self._guarded(self._inventory))
        app.router.add_get("/gpus", self._guarded(self._gpus))
        app.router.add_get("/running", self._guarded(self._running))
        return app

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if self.away:
                self.refused += 1
                raise UnreachableError("The launcher is away.", code="launcher.unreachable")
            return await handler(request)

        return guarded

    async def _events(self, request: web.Request) -> web.Response:
        # Long polls here are short, so that a test's end need not wait for one.
        wait = min(1.0, float(request.query["timeout"]))
        found = await self.backend.events(int(request.query["after"]), wait)
        return web.json_response([encode(event) for event in found])

    async def _usage(self, request: web.Request) -> web.Response:
        return web.json_response(encode(await self.backend.usage(request.match_info["id"])))

    async def _retire(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        if any(item.user == user for item in await self.backend.inventory()):
            return web.json_response({"code": "users.busy", "message": "It has a sandbox."}, status=409)
        self.retired.append(user)
        return web.Response(status=204)

    async def _place(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        return web.json_response(encode(UserPlace(user=user, host_uid=3_000_001, home=f"/homes/{user}")))

    async def _create(self, request: web.Request) -> web.Response:
        asked = decode(CreateRequest, await request.json())
        self.requests.append(asked)
        return web.json_response(encode(await self.backend.create(asked.spec, asked.doors, asked.overlay)))

    async def _start(self, request: web.Request) -> web.Response:
        sandbox = request.match_info["id"]
        await self.backend.start(sandbox)
        status = await self.backend.status(sandbox)
        if self.dies_with is not None:
            code, text = self.dies_with
            await self.backend.finish(sandbox, code, "the server ended", text.format(token=self.token()))
        return web.json_response(encode(replace(status, address=self.address) if status else None))

    async def _status(self, request: web.Request) -> web.Response:
        status = await self.backend.status(request.match_info["id"])
        if status is None:
            return web.json_response({"code": "sandbox.unknown", "message": "There is none."}, status=404)
        return web.json_response(encode(status))

    async def _ended(self, request: web.Request) -> web.Response:
        status = await self.backend.ended(request.match_info["id"], float(request.query["timeout"]))
        return web.Response(status=204) if status is None else web.json_response(encode(status))

    async def _log(self, request: web.Request) -> web.Response:
        return web.json_response({"text": await self.backend.log_tail(request.match_info["id"])})

    async def _stop(self, request: web.Request) -> web.Response:
        if self.immortal:
            raise BackendError("3 processes survived SIGKILL.", code="stop.survivors")
        body = await request.json()
        return web.json_response(encode(await self.backend.stop(request.match_info["id"], body["grace"])))

    async def _remove(self, request: web.Request) -> web.Response:
        await self.backend.remove(request.match_info["id"])
        return web.Response(status=204)

    async def _inventory(self, request: web.Request) -> web.Response:
        return web.json_response([encode(item) for item in await self.backend.inventory()])

    async def _gpus(self, request: web.Request) -> web.Response:
        return web.json_response(encode(self.gpus))

    async def _running(self, request: web.Request) -> web.Response:
        over = ("stopped", "failed")
        found = [item.id for item in await self.backend.inventory() if item.status.value not in over]
        return web.json_response(found)


@dataclass
class GatewayWithMemory:
    """The gateway's API over a dictionary. `silent`: no server becomes ready; else those that run are."""

    backend: MemoryBackend
    front_port: int = 0
    silent: bool = False
    version: str = ""
    doors: str = "/doors"
    entries: dict[str, GatewayEntry] = field(default_factory=dict)
    documents: dict[str, BootDocument] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    drained: dict[str, Any] = field(default_factory=dict)

    def app(self) -> web.Application:
        """The routes of the gateway's own door."""
        app = application(frozenset())
        app.router.add_put("/sandboxes/{id}", self._open)
        app.router.add_put("/sandboxes/{id}/boot", self._boot)
        app.router.add_get("/sandboxes/{id}/ready", self._ready)
        app.router.add_delete("/sandboxes/{id}", self._close)
        app.router.add_post("/sandboxes/{id}/drain", self._drain)
        app.router.add_get("/sandboxes", self._inventory)
        app.router.add_get("/events", self._events)
        return app

    def front(self) -> web.Application:
        """The front: every open sandbox answers 200 as a single-user server would."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        return app

    def last_token(self) -> str:
        """The hub token in the newest boot document."""
        return list(self.documents.values())[-1].environment["JUPYTERHUB_API_TOKEN"]

    async def _open(self, request: web.Request) -> web.Response:
        sandbox = request.match_info["id"]
        self.entries[sandbox] = decode(GatewayEntry, await request.json())
        opened = OpenDoors(
            directory=f"{self.doors}/{sandbox}", front_url=f"http://127.0.0.1:{self.front_port}"
        )
        return web.json_response(encode(opened))

    async def _boot(self, request: web.Request) -> web.Response:
        self.documents[request.match_info["id"]] = decode(BootDocument, await request.json())
        return web.json_response({})

    async def _ready(self, request: web.Request) -> web.Response:
        status = await self.backend.status(request.match_info["id"])
        ready = not self.silent and status is not None and status.value == "running"
        if not ready:
            # Long polls here are short, so that a fault switched off is noticed soon.
            await asyncio.sleep(min(0.2, float(request.query["timeout"])))
        return web.json_response({"ready": ready})

    async def _drain(self, request: web.Request) -> web.Response:
        self.drained[request.match_info["id"]] = await request.json()
        return web.json_response({"running": 0})

    async def _close(self, request: web.Request) -> web.Response:
        self.entries.pop(request.match_info["id"], None)
        self.closed.append(request.match_info["id"])
        return web.Response(status=204)

    async def _inventory(self, request: web.Request) -> web.Response:
        counts = {"connections": 0, "bytes_in": 0, "bytes_out": 0, "denials": 0}
        items = [
            GatewayInventory(
                id=sandbox,
                user=entry.user,
                server=entry.server,
                prefix=entry.prefix,
                ready=True,
                booted=True,
                last_activity=None,
                **counts,
            )
            for sandbox, entry in self.entries.items()
        ]
        return web.json_response([encode(item) for item in items])

    async def _events(self, request: web.Request) -> web.Response:
        await asyncio.sleep(min(1.0, float(request.query["timeout"])))
        return web.json_response([])

    async def _answer(self, request: web.Request) -> web.Response:
        open_here = any(request.path.startswith(entry.prefix) for entry in self.entries.values())
        headers = {"X-JupyterHub-Version": self.version} if self.version else {}
        return web.json_response({"path": request.path}, status=200 if open_here else 404, headers=headers)


@dataclass
class ProxyWithRoutes:
    """configurable-http-proxy's REST API over a dictionary."""

    routes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self) -> web.Application:
        """The routes of the proxy's API."""
        app = web.Application()
        app.router.add_get("/api/routes", self._list)
        app.router.add_post("/api/routes{path:.*}", self._add)
        app.router.add_delete("/api/routes{path:.*}", self._delete)
        return app

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(self.routes)

    async def _add(self, request: web.Request) -> web.Response:
        self.routes[request.match_info["path"]] = await request.json()
        return web.Response(status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self.routes.pop(request.match_info["path"], None)
        return web.Response(status=204)
