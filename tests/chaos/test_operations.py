"""Does everything agree, and is nothing left over, after 200 operations at random, with programs killed?

CHAOS_OPERATIONS says how many (default 200), CHAOS_SEED which ones.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import web

from hub_config.demo.leftovers import dead_traces
from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.errors import ProgramError
from tests.chaos.hub_desk import Desk, Seat
from tests.chaos.small_site import PROGRAMS, SmallSite
from tests.docker.daemon import run_daemon
from tests.programs.control_neighbours import HubWithServers

OPERATIONS = int(os.environ.get("CHAOS_OPERATIONS", "200"))
SEED = int(os.environ.get("CHAOS_SEED", "11"))
PEOPLE = ("alice", "bob", "carol", "dave")
AT_ONCE = 4
Control = Callable[[str, bool], None]


class Strikes:
    """What happens to a small site at random."""

    def __init__(self, small: SmallSite, desk: Desk) -> None:
        self.small, self.desk = small, desk
        self.chance = random.Random(SEED)
        self._killing = asyncio.Lock()
        self._left = OPERATIONS
        self._kinds: dict[Callable[[Seat], object], int] = {
            self._start: 44,
            self._stop: 20,
            self._cancel: 6,
            self._kill_first: 6,
            self._crash: 6,
            self._delete_cgroup: 4,
            self._delete_bundle: 3,
            self._delete_doors: 3,
            self._delete_entry: 3,
            self._delete_container: 3,
            self._kill_program: 5,
        }

    async def play(self) -> None:
        """All operations, some at once; then every other server is stopped."""
        await asyncio.gather(*(self._worker() for _ in range(AT_ONCE)))
        await self.small.answers()
        await self.desk.poll()
        for seat in self.desk.seats[::2]:
            await self.desk.stop(seat, 0.2)
        await self.desk.quiet()

    async def _worker(self) -> None:
        while self._left > 0:
            self._left -= 1
            seat = self.chance.choice(self.desk.seats)
            (kind,) = self.chance.choices(list(self._kinds), list(self._kinds.values()))
            self.desk.seen[f"op {kind.__name__}"] += 1
            done = kind(seat)
            if asyncio.iscoroutine(done):
                await done
            await self.desk.poll()

    async def _start(self, seat: Seat) -> None:
        await self.desk.start(seat)

    async def _stop(self, seat: Seat) -> None:
        await self.desk.stop(seat, self.chance.choice((0.0, 1.0)))

    async def _cancel(self, seat: Seat) -> None:
        """A start that its user cancels a moment later."""
        task = asyncio.create_task(self.desk.start(seat))
        await asyncio.sleep(self.chance.random() * 0.6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _kill_first(self, seat: Seat) -> None:
        """kill -9 of the sandbox's first process."""
        for pid in self._processes(seat)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _crash(self, seat: Seat) -> None:
        """kill -9 of the server inside."""
        for pid in self._processes(seat)[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _delete_cgroup(self, seat: Seat) -> None:
        """Its cgroups are emptied and taken away by hand."""
        for pid in self._processes(seat):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cgroups = Cgroups()
        for name in cgroups.find(seat.sandbox) if seat.sandbox else ():
            for place in Path("/sys/fs/cgroup").glob(f"*/{name}"):
                with suppress(OSError):
                    place.rmdir()

    def _delete_bundle(self, seat: Seat) -> None:
        self._erase(f"{self.small.site.launcher_dir}/sandboxes", seat.sandbox)

    def _delete_doors(self, seat: Seat) -> None:
        self._erase(self.small.site.doors_dir, seat.sandbox)

    def _delete_entry(self, seat: Seat) -> None:
        """The gateway's memory of it on disk; it is gone once the gateway restarts."""
        if seat.sandbox:
            Path(self.small.site.run_dir, "gateway", f"{seat.sandbox}.json").unlink(missing_ok=True)

    async def _delete_container(self, seat: Seat) -> None:
        """`docker rm -f` by hand; `runc delete -f` on the local backend."""
        if not seat.sandbox:
            return
        if self.small.daemon is not None:
            command = ["docker", "--host", f"unix://{self.small.daemon.socket}", "rm", "-f"]
            command.append(f"jupyter-sandbox-spawner-{seat.sandbox}")
        else:
            state = f"{self.small.site.launcher_dir}/runtime"
            command = ["runc", "--root", state, "delete", "--force", seat.sandbox]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
        await process.wait()

    async def _kill_program(self, _seat: Seat) -> None:
        name = self.chance.choice(list(PROGRAMS))
        self.desk.seen[f"killed {name}"] += 1
        async with self._killing:
            await self.small.kill(name)

    def _processes(self, seat: Seat) -> list[int]:
        """Its processes, the first one first."""
        cgroups = Cgroups()
        names = cgroups.find(self._word(seat)) if seat.sandbox else ()
        return sorted({pid for name in names for pid in cgroups.processes(name)})

    def _word(self, seat: Seat) -> str:
        """What its cgroups are named after: its id, or its container's."""
        if self.small.daemon is None:
            return seat.sandbox
        record = self.small.records().get(seat.sandbox)
        return record.container if record is not None and record.container else seat.sandbox

    def _erase(self, directory: str, sandbox: str) -> None:
        if sandbox:
            shutil.rmtree(f"{directory}/{sandbox}", ignore_errors=True)


async def disagreement(small: SmallSite, api: HubWithServers) -> str:
    """What differs or was left over now; empty when all is well."""
    running = await small.launcher.inventory()
    doors = await small.gateway.inventory()
    records = (await small.control.sandboxes())["items"]
    lists = {
        "hub": sorted(api.servers),
        "control": sorted((item["user"], item["server"]) for item in records),
        "launcher": sorted((item.user, item.server) for item in running),
        "gateway": sorted((item.user, item.server) for item in doors),
    }
    if len({tuple(names) for names in lists.values()}) > 1:
        return f"the inventories differ: {lists}"
    found = await small.control.reconcile(False)
    left = found["leftovers"]
    if found["due"] or found["waiting"] or found["silent"] or left["due"] or left["waiting"]:
        return f"control has something to mend: {found}"
    left = (await asyncio.to_thread(dead_traces, small.directory, {item.id for item in running})).found()
    if left:
        return f"left over: {left}"
    names = small.daemon.ask("ps", "--all", "--format", "{{.Names}}").split() if small.daemon else []
    return f"containers are left over: {names}" if len(names) > len(running) else ""


async def deadlines(small: SmallSite) -> dict[str, float]:
    """By sandbox, when its TTL is over."""
    found = (await small.control.sandboxes())["items"]
    return {item["id"]: datetime.fromisoformat(item["deadline"]).timestamp() for item in found}


async def until_agreed(small: SmallSite, api: HubWithServers, within: float) -> float:
    """Seconds until everything agrees; fails with what differs."""
    began = time.monotonic()
    while True:
        try:
            found = await disagreement(small, api)
        except ProgramError as error:
            found = f"somebody does not answer: {error}"
        seconds = time.monotonic() - began
        if not found:
            return round(seconds, 1)
        assert seconds < within, f"{found}\n{small.log()}"
        await asyncio.sleep(0.5)  # inventories have no common event


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.lane("docker"))])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SmallSite, Desk]]:
    """A small site that runs, with the hub's stand-in, on this backend."""
    async with AsyncExitStack() as stack:
        daemon = stack.enter_context(run_daemon()) if request.param == "docker" else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jss-", dir="/tmp")))
        api = HubWithServers()
        runner = web.AppRunner(api.app(), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        small = SmallSite(directory, listener.getsockname()[1], _ports(), daemon)
        await small.open()
        seats = [Seat(user=user, server=server) for user in PEOPLE for server in ("", "one")]
        try:
            yield small, Desk(small.site, api, seats)
        finally:
            for item in await small.launcher.inventory():
                await small.launcher.remove(item.id)
            codes = await small.close()
        assert set(codes.values()) == {0}, small.log()


def _ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@pytest.mark.proves("Q09", "H08")
@pytest.mark.timeout(600)
async def test_after_two_hundred_operations_all_agree(
    place: tuple[SmallSite, Desk], control: Control
) -> None:
    """Hub, control, launcher and gateway name the same servers, and no process, cgroup, mount, socket,
    directory or container is left of any other; with control's database lost they agree again, and nobody's
    time begins anew."""
    small, desk = place
    strikes = Strikes(small, desk)
    began = time.monotonic()
    await strikes.play()
    played = time.monotonic() - began
    seconds = await until_agreed(small, desk.api, 60)
    print(f"seed {SEED}, {played:.0f} s: {dict(sorted(desk.seen.items()))}; all agreed after {seconds} s")
    before = await deadlines(small)
    await small.lose_database()
    seconds = await until_agreed(small, desk.api, 60)
    print(f"control's database was lost: {len(before)} servers are known again after {seconds} s")
    assert await deadlines(small) == pytest.approx(before, abs=30)
    control("some servers ran on", len(before) > 0)
    control("servers were started and stopped", min(desk.seen["started"], desk.seen["stopped"]) > 0)
