"""What does the hub hear of a server that starts, runs, or died, and what does asking cost the launcher?"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from aiohttp import web

from jupyter_sandbox_spawner.clients.control import Released
from jupyter_sandbox_spawner.errors import UnreachableError
from jupyter_sandbox_spawner.hub import deaths
from jupyter_sandbox_spawner.hub.lifecycle import Lifecycle
from jupyter_sandbox_spawner.hub.running import BELIEVED, Running
from jupyter_sandbox_spawner.hub.spawner import SandboxSpawner
from jupyter_sandbox_spawner.models import Doors
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.serving import listening_socket
from jupyter_sandbox_spawner.settings import Site, write_site
from tests.backends.facts import SPEC

from .standins import GatewayWithMemory, LauncherOverMemory

Control = Callable[[str, bool], None]
USERS = 1000


async def test_a_start_is_not_an_end(control: Control) -> None:
    """While a start ends what an earlier one left, nobody is told that the server has ended."""
    spawner = SandboxSpawner()
    control("without a sandbox it does not run", await spawner.poll() == 0)
    spawner.sandbox_id, spawner._starting = "sb-of-an-earlier-start", True
    assert await spawner.poll() is None
    spawner.sandbox_id = ""
    assert await spawner.poll() is None


async def test_an_undoing_that_broke_stops_no_later_start(
    street: Street, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """A fault of our own while a start is undone is raised once at most; its id is kept."""
    spawner = await street.spawner("ada")
    started = spawner.sandbox_id

    async def broken(*_: object) -> None:
        raise RuntimeError("a fault of our own")

    with monkeypatch.context() as patch:
        patch.setattr(Lifecycle, "released", broken)
        spawner._undoing = asyncio.ensure_future(
            spawner._undo(started, Released(code="start.failed", why=""))
        )
        await spawner._undone()
    spawner.clear_state()
    control("what is left is known", spawner.sandbox_id == started)
    await spawner.stop()
    assert spawner.sandbox_id == ""


class Street:
    """A launcher that counts its calls, and as many spawners as there are running sandboxes."""

    def __init__(self, root: Path) -> None:
        self.launcher = LauncherOverMemory()
        self.calls: Counter[str] = Counter()
        self.known: list[str] = []
        ports = {"public_port": 1, "hub_port": 1, "proxy_api_port": 1, "front_port": 1}
        self.site = Site(run_dir=str(root), state_dir=str(root), profiles="", **ports)  # type: ignore[arg-type]
        self.site_file = str(root / "site.json")
        write_site(root / "site.json", self.site)
        self.gateway = GatewayWithMemory(self.launcher.backend)
        self._runners: list[web.AppRunner] = []

    async def serve(self, app: web.Application, path: str) -> None:
        """Serve one program."""

        @web.middleware
        async def count(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self.calls[request.match_info.get_info().get("formatter", request.path)] += 1
            return await handler(request)

        app.middlewares.append(count)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, listening_socket(path)).start()

    async def close(self) -> None:
        """End both programs."""
        for runner in self._runners:
            await runner.cleanup()

    async def spawner(self, user: str) -> SandboxSpawner:
        """A spawner as the hub has it for a running server."""
        own = replace(SPEC, id=sandbox_id(user, "", "1"), user=user)
        await self.launcher.backend.create(own, Doors(directory="/doors"), {})
        await self.launcher.backend.start(own.id)
        spawner = Ready(site_file=self.site_file)
        spawner.user = SimpleNamespace(name=user, spawners={"": spawner})
        spawner.sandbox_id = own.id
        return spawner


class Ready(SandboxSpawner):
    """A spawner whose server is up; what the hub is told of its end is kept in `ends`."""

    ready = True

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.ends: list[int] = []
        self.ended = asyncio.Event()

    async def poll_and_notify(self) -> int | None:
        status: int | None = await self.poll()
        if status is not None:
            self.ends.append(status)
            self.ended.set()
        return status


@pytest_asyncio.fixture
async def street() -> AsyncIterator[Street]:
    root = Path(tempfile.mkdtemp(prefix="poll", dir="/tmp"))
    here = Street(root)
    await here.serve(here.launcher.app(), here.site.launcher_socket)
    await here.serve(here.gateway.app(), here.site.gateway_socket)
    try:
        yield here
    finally:
        for follower in deaths._followers.pop(asyncio.get_running_loop(), {}).values():
            follower._task.cancel()
            await asyncio.gather(follower._task, return_exceptions=True)
        await here.close()
        shutil.rmtree(root)


async def test_a_thousand_polls_are_one_call(street: Street) -> None:
    """Polling 1000 running servers asks the launcher for one list, twice over."""
    spawners = [await street.spawner(f"user-{number}") for number in range(USERS)]
    for _ in range(2):
        assert await asyncio.gather(*(spawner.poll() for spawner in spawners)) == [None] * USERS
    assert street.calls["/running"] in (1, 2)  # the follower of deaths may have asked before them
    assert street.calls["/sandboxes/{id}"] == 0


async def test_a_death_is_told_by_its_event(street: Street, control: Control) -> None:
    """While the list says that it runs, the event of its end is enough; its neighbour goes on."""
    dead, alive = await street.spawner("ada"), await street.spawner("bob")
    control("both run", [await dead.poll(), await alive.poll()] == [None, None])
    await street.launcher.backend.finish(dead.sandbox_id, 137, "killed for memory")
    await asyncio.wait_for(dead.ended.wait(), 5)
    assert dead.ends == [137]
    assert await alive.poll() is None
    assert (dead.sandbox_id, alive.ends) == ("", [])


async def test_a_death_without_an_event_is_found(street: Street, control: Control) -> None:
    """One that vanished while the launcher was away is found as soon as that answers again."""
    lost, alive = await street.spawner("ada"), await street.spawner("bob")
    control("both run", [await lost.poll(), await alive.poll()] == [None, None])
    street.launcher.away = True
    while not street.launcher.refused:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # the stand-in announces nothing
    # No event is left: neither the sandbox nor its end is known to the new launcher.
    street.launcher.backend._places.pop(lost.sandbox_id)
    street.launcher.away = False
    await asyncio.wait_for(lost.ended.wait(), 5)
    assert await alive.poll() is None


async def test_a_launcher_that_is_away_proves_no_end(street: Street) -> None:
    """While nobody can tell, the hub hears of no end, and a thousand polls are not a thousand calls."""
    street.launcher.away = True
    spawners = [await street.spawner(f"user-{number}") for number in range(20)]
    assert await asyncio.gather(*(spawner.poll() for spawner in spawners)) == [None] * 20
    assert street.calls["/running"] <= 2


class Clock:
    """A clock that is set by the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_list_is_believed_for_a_while_only() -> None:
    """An older list than that makes nobody run: it is asked for anew, and its failure is no answer."""
    clock, answers = Clock(), [frozenset({"sb-a"})]

    async def ask() -> frozenset[str]:
        if not answers:
            raise UnreachableError("The launcher is away.", code="launcher.unreachable")
        return answers.pop()

    running = Running(ask, clock)
    assert await running.includes("sb-a")
    clock.now = BELIEVED
    assert await running.includes("sb-a")
    clock.now = BELIEVED + 0.1
    assert "sb-a" not in running
    with pytest.raises(UnreachableError):
        await running.includes("sb-a")


async def test_an_end_outlives_a_list_on_its_way(control: Control) -> None:
    """A list that was made before an end and comes after it does not bring the sandbox back."""
    answer: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()

    async def ask() -> frozenset[str]:
        return await answer

    running = Running(ask)
    looks = [asyncio.create_task(running.includes(name)) for name in ("sb-a", "sb-b")]
    await asyncio.sleep(0)
    running.over("sb-a")
    answer.set_result(frozenset({"sb-a", "sb-b"}))
    found = await asyncio.gather(*looks)
    control("the other one runs", found[1])
    assert found == [False, True]
