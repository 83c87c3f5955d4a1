"""Is anything lost, leaked or overtaken when control is killed over and over amid starts, ends and a queue?

CHAOS_KILLS says how often on each database (default 3; a whole run takes 50), CHAOS_SEED at which moments.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.control import Admission
from jupyter_sandbox_spawner.control.store import Store
from jupyter_sandbox_spawner.control.waiting import waiting_now
from jupyter_sandbox_spawner.errors import ProgramError
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuWish
from jupyter_sandbox_spawner.models import SandboxSpec
from tests.support.control_databases import BOTH, fresh_database
from tests.support.ledger_facts import Limits, broken

from .control_neighbours import asked, spec
from .control_street import street
from .test_control_program import Program

KILLS = int(os.environ.get("CHAOS_KILLS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "9"))
POOL = tuple(f"GPU-{number}" for number in range(3))
DEVICES = tuple(GpuDevice(id=name, kind="h100") for name in POOL)
WAITING = 6
Control = Callable[[str, bool], None]


class Crowd:
    """People who start and end servers, and one queue for GPUs whose order is known.

    Who asks and is not answered asks again, as the hub does: first with the same id, then for a new sandbox.
    """

    def __init__(self, program: Program, chance: random.Random) -> None:
        self.program, self.chance = program, chance
        self.admitted: dict[str, SandboxSpec] = {}
        self.ending: set[str] = set()
        self.ended: set[str] = set()
        self.answers = 0
        self._answered = asyncio.Condition()
        self.queue: list[str] = []
        self.turns: list[tuple[str, str]] = []  # who was first in the queue, and who got the device
        self._numbers = itertools.count()

    async def wait(self, true: Callable[[], bool]) -> None:
        """Until it is true after an answer."""
        async with self._answered:
            await self._answered.wait_for(true)

    async def _note(self) -> None:
        async with self._answered:
            self.answers += 1
            self._answered.notify_all()

    async def people(self) -> None:
        """Ordinary starts, half of which end at once."""
        while True:
            wanted = spec(f"p{next(self._numbers)}", ttl=86_400)
            answer = await self._ask(wanted, None)
            if answer.admitted and self.chance.random() < 0.5:
                await self._end(wanted)

    async def line(self) -> None:
        """Six wait; whoever has had a device gives it back and waits again, behind all others."""
        holders: list[str] = []
        names = [f"g{number}" for number in range(len(POOL) + WAITING)]
        for name in names:
            if (await self._wants(name)).admitted:
                holders.append(name)
            else:
                self.queue.append(name)
        while True:
            leaver = holders.pop(0)
            await self._end(self._holding(leaver))
            for name in list(self.queue):
                if (await self._wants(name)).admitted:
                    self.turns.append((self.queue[0], name))
                    self.queue.remove(name)
                    holders.append(name)
                    break
            if not (await self._wants(leaver)).admitted:
                self.queue.append(leaver)
            else:
                self.turns.append((self.queue[0] if self.queue else leaver, leaver))
                holders.append(leaver)

    def _holding(self, user: str) -> SandboxSpec:
        return [item for item in self.admitted.values() if item.user == user and item.id not in self.ending][
            -1
        ]

    async def _wants(self, user: str) -> Admission:
        return await self._ask(spec(user, nonce=f"n{next(self._numbers)}", ttl=86_400), GpuWish(count=1))

    async def _ask(self, wanted: SandboxSpec, wish: GpuWish | None) -> Admission:
        while True:
            try:
                answer = await self.program.hub.admit(asked(wanted, gpu=wish))
            except ProgramError:
                await asyncio.sleep(0.05)
                continue
            await self._note()
            if answer.admitted:
                self.admitted[wanted.id] = answer.spec or wanted
            elif answer.code == "admission.id_used":
                wanted = replace(spec(wanted.user, nonce=f"n{next(self._numbers)}"), ttl=wanted.ttl)
                continue
            return answer

    async def _end(self, wanted: SandboxSpec) -> None:
        self.ending.add(wanted.id)
        while True:
            with suppress(ProgramError):
                await self.program.hub.released(wanted.id, "ended.by_user", "Its user stopped it.")
                self.ended.add(wanted.id)
                return
            await asyncio.sleep(0.05)


@pytest.fixture(params=BOTH)
async def program(request: pytest.FixtureRequest) -> AsyncIterator[Program]:
    """Control on this database, not started yet."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ck", dir="/tmp")))
        here = await stack.enter_async_context(street(place))
        here.launcher.devices = DEVICES
        here.database = stack.enter_context(fresh_database(place, request.param))
        found = Program(here, here.database if request.param == "postgresql" else "")
        for act in (found.end, found.hub.close, found.admin.close):
            stack.push_async_callback(act)
        yield found


@pytest.mark.proves("H08")
@pytest.mark.timeout(120 + 40 * KILLS)
async def test_kill_9_at_random_moments_loses_leaks_and_overtakes_nothing(
    program: Program, control: Control
) -> None:
    """Every answer is on record, no device is held for nobody, and the queue moved in its order."""
    chance = random.Random(SEED)
    crowd = Crowd(program, chance)
    await program.start()
    acting = [asyncio.create_task(act) for act in (crowd.line(), crowd.people(), crowd.people())]
    for _ in range(KILLS):
        goal = crowd.answers + chance.randrange(1, 8)
        await crowd.wait(lambda goal=goal: crowd.answers >= goal)  # type: ignore[misc]
        await asyncio.sleep(chance.random() * 0.05)
        await program.end()
        await program.start()
    await crowd.wait(lambda: len(crowd.turns) >= 2)
    for task in acting:
        task.cancel()
    ended = await asyncio.gather(*acting, return_exceptions=True)
    assert all(isinstance(item, asyncio.CancelledError) for item in ended), ended
    # A request may be under way still; the next start closes what nobody was told of.
    await program.end()
    await program.start()
    await program.end()
    print(
        f"seed {SEED}: {KILLS} kills, {len(crowd.admitted)} admitted, {len(crowd.turns)} turns of the queue"
    )
    control("servers started and devices changed hands", len(crowd.admitted) > len(POOL))
    await _compare(program, crowd)


async def _compare(program: Program, crowd: Crowd) -> None:
    limits = Limits(devices=POOL, user_servers=1, user_gpus=1, group="", group_gpus=len(POOL))
    async with Store(program.database) as store:
        assert await store.run(lambda db: broken(db, limits)) == []
        left = [item.id for item in await store.run(waiting_now)]
    assert left == sorted(left)
    told = set(crowd.admitted)
    assert told <= program.audited("admission", "allowed")
    assert program.rows("NOT audited AND status != 'released'") == set()
    assert told - crowd.ending <= program.rows("status != 'released' AND audited")
    assert not crowd.ended & program.rows("status != 'released'")
    assert program.findings() == []
    assert [got for first, got in crowd.turns] == [first for first, got in crowd.turns]
