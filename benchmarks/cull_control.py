"""How does control know as many servers as the hub? Filled books; launcher and gateway are stand-ins."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from aiohttp import web
from sqlalchemy import func, select, update

from hub_config.demo.running import CHECKOUT
from jupyter_sandbox_spawner.clients.control import ControlClient
from jupyter_sandbox_spawner.control.store import Store, database_of
from jupyter_sandbox_spawner.control.tables import sandboxes
from jupyter_sandbox_spawner.gpus import GpuInventory
from jupyter_sandbox_spawner.models import (
    Capabilities,
    GatewayInventory,
    InventoryItem,
    Status,
    Usage,
)
from jupyter_sandbox_spawner.serving import listening_socket
from jupyter_sandbox_spawner.settings import Site, write_site
from jupyter_sandbox_spawner.wire import encode

from .cull_hub import FullHub, sandbox_name, user_name
from .cull_rows import admit
from .machine import end_of, free_port, program, until_it_listens
from .row import BenchmarkError

__all__ = ["Books", "Running", "open_books", "running_control"]

_LOOKED_WITHIN = 300.0


@dataclass(frozen=True)
class Running:
    """Control, which has looked at everybody once."""

    process: int
    client: ControlClient
    marks: Path
    log: Path

    def marked(self) -> int:
        """How often it has looked at everybody."""
        return self.marks.read_text().count("looked") if self.marks.exists() else 0

    async def look_at_all(self) -> float:
        """Everybody is due; the seconds until it has looked at all."""
        before, began = self.marked(), time.perf_counter()
        os.kill(self.process, signal.SIGUSR1)
        await self.until_marked(before + 1)
        return time.perf_counter() - began

    async def until_marked(self, times: int) -> None:
        """Raises BenchmarkError where it does not come to that."""
        deadline = time.monotonic() + _LOOKED_WITHIN
        while self.marked() < times:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"control does not look at all servers:\n{end_of(self.log)}")
            await asyncio.sleep(0.02)  # a foreign program has no other sign


class Books:
    """Control's database and the stand-ins, which know the same servers."""

    def __init__(self, directory: Path, site: Site, store: Store) -> None:
        self.directory, self.site, self.store = directory, site, store
        self.known: dict[str, tuple[str, str, str]] = {}
        self._answers: dict[str, bytes] = {}

    async def fill(self, servers: int) -> None:
        """Every server of the hub, used within the last ten minutes."""
        now = datetime.now(timezone.utc)
        for first in range(1, servers + 1, 500):
            numbers = range(first, min(first + 500, servers + 1))
            await self.store.run(partial(admit, numbers=numbers, now=now))
            for number in numbers:
                self.known[sandbox_name(number)] = _documents(number, now - timedelta(seconds=number % 600))

    async def due(self, numbers: Iterable[int], at: datetime) -> None:
        """These end then; they were warned already."""
        warned = [{"kind": "ttl", "ahead": 1, "at": at.isoformat()}]
        for number in numbers:
            this = update(sandboxes).where(sandboxes.c.id == sandbox_name(number))
            query = this.values(deadline=at, warned=warned)
            await self.store.run(lambda db, query=query: db.execute(query))  # type: ignore[misc]

    async def forget(self, numbers: Iterable[int]) -> None:
        """These were ended by somebody else."""
        gone = [sandbox_name(number) for number in numbers]
        query = update(sandboxes).where(sandboxes.c.id.in_(gone)).values(status="released")
        await self.store.run(lambda db: db.execute(query))
        for name in gone:
            self.known.pop(name, None)
        self._answers.clear()

    async def open_among(self, numbers: Sequence[int]) -> int:
        """How many of these control still holds for open."""
        names = [sandbox_name(number) for number in numbers]
        query = select(func.count()).where(sandboxes.c.id.in_(names), sandboxes.c.status != "released")
        return int(await self.store.run(lambda db: db.execute(query).scalar_one()))

    def listed(self, which: int) -> bytes:
        """All documents of one kind, in one answer."""
        kind = str(which)
        if kind not in self._answers:
            if which == 2:
                pairs = (f"{json.dumps(name)}: {told[2]}" for name, told in self.known.items())
                self._answers[kind] = ('{"sandboxes": {' + ", ".join(pairs) + "}}").encode()
            else:
                self._answers[kind] = (
                    "[" + ", ".join(told[which] for told in self.known.values()) + "]"
                ).encode()
        return self._answers[kind]

    def remove(self, name: str, which: str) -> None:
        """It is stopped: launcher and gateway forget it at the same time."""
        if which == "launcher" and name in self.known:
            del self.known[name]
            self._answers.clear()


def _documents(number: int, used: datetime) -> tuple[str, str, str]:
    user, name = user_name(number), sandbox_name(number)
    at_launcher = InventoryItem(
        id=name, user=user, server="", status=Status(value="running"), labels={"profile": "bench"}
    )
    at_gateway = GatewayInventory(
        id=name,
        user=user,
        server="",
        prefix=f"/user/{user}/",
        ready=True,
        booted=True,
        connections=1,
        bytes_in=1,
        bytes_out=1,
        denials=0,
        last_activity=used,
    )
    usage = Usage(cpu_seconds=1.0, memory=1 << 28, memory_peak=1 << 28, pids=10)
    launcher, gateway, used_up = (json.dumps(encode(item)) for item in (at_launcher, at_gateway, usage))
    return launcher, gateway, used_up


@asynccontextmanager
async def open_books(directory: Path, hub: FullHub, say: Callable[[str], None]) -> AsyncIterator[Books]:
    """Filled, with launcher and gateway at their sockets."""
    async with AsyncExitStack() as stack:
        (directory / "run").mkdir(mode=0o700)
        site = Site(
            run_dir=str(directory / "run"),
            state_dir=str(directory / "state"),
            profiles="",
            public_port=1,
            hub_port=hub.port,
            proxy_api_port=hub.proxy_port,
            front_port=hub.servers_port,
            control_port=free_port(),
        )
        write_site(directory / "site.json", site)
        token = directory / "run/control.token"
        token.touch(mode=0o600)
        token.write_text(hub.token)
        store = await stack.enter_async_context(Store(database_of(site)))
        books = Books(directory, site, store)
        say(f"filling control's books with {hub.servers} servers")
        await books.fill(hub.servers)
        for name, app in (("launcher", _launcher(books)), ("gateway", _gateway(books))):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening_socket(f"{site.run_dir}/{name}.sock")).start()
        yield books


def _launcher(books: Books) -> web.Application:
    hard = {"cpu": True, "memory": True, "pids": True}
    stopped = json.dumps(encode(Status(value="stopped", exit_code=0))).encode()
    app = web.Application()
    _answers(
        app,
        "/capabilities",
        lambda: _told(Capabilities(backend="oci", level="hard", limits=hard, runtimes={})),
    )
    _answers(app, "/gpus", lambda: _told(GpuInventory()))
    _answers(app, "/sandboxes", lambda: books.listed(0))
    _answers(app, "/usages", lambda: books.listed(2))
    _answers(
        app, "/sandboxes/{id}/usage", lambda: _told(Usage(cpu_seconds=1.0, memory=1, memory_peak=1, pids=1))
    )

    async def stop(request: web.Request) -> web.Response:
        return web.Response(body=stopped, content_type="application/json")

    app.router.add_post("/sandboxes/{id}/stop", stop)
    app.router.add_delete("/sandboxes/{id}", _remover(books, "launcher"))
    return app


def _gateway(books: Books) -> web.Application:
    app = web.Application()
    _answers(app, "/sandboxes", lambda: books.listed(1))

    async def events(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("timeout", "0")))
        return web.json_response([])

    async def done(request: web.Request) -> web.Response:
        return web.Response(status=204)

    app.router.add_get("/events", events)
    app.router.add_post("/{path:.*}", done)
    app.router.add_delete("/sandboxes/{id}", _remover(books, "gateway"))
    return app


def _answers(app: web.Application, path: str, body: Callable[[], bytes]) -> None:
    async def told(request: web.Request) -> web.Response:
        return web.Response(body=body(), content_type="application/json")

    app.router.add_get(path, told)


def _told(value: object) -> bytes:
    return json.dumps(encode(value)).encode()


def _remover(books: Books, which: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def remove(request: web.Request) -> web.StreamResponse:
        books.remove(request.match_info["id"], which)
        return web.Response(status=204)

    return remove


@asynccontextmanager
async def running_control(books: Books, *more: str) -> AsyncIterator[Running]:
    """The program; it has looked at everybody once when the block begins."""
    directory = books.directory
    marks, log = directory / "marks", directory / "control.log"
    marks.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "benchmarks.cull_program", str(directory / "site.json")),
        *(f"{books.site.run_dir}/control.token", str(marks), *more),
    ]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    async with program(command, log, environment) as process:
        await until_it_listens(books.site.control_socket("hub"), process, log)
        client = ControlClient(books.site.control_socket("hub"), 120)
        try:
            running = Running(process.pid, client, marks, log)
            await running.until_marked(1)
            yield running
        finally:
            await client.close()
