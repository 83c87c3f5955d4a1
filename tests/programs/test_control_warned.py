"""Is each warning given once and each server ended once, at its time, however often control is killed?

SANDBOX_CHAOS=1 kills after every step, else a few times; CHAOS_SEED says at which moments.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.models import SandboxSpec
from tests.support.control_databases import ask

from .clocked_control import write_clock
from .control_neighbours import START, asked, spec
from .control_street import Street, street
from .test_control_program import Program

CHAOS = os.environ.get("SANDBOX_CHAOS") == "1"
SEED = int(os.environ.get("CHAOS_SEED", "10"))
LIFE = 2400
NOTICES = {1800: "warning", 600: "warning", 120: "warning", 30: "save"}  # seconds before the end
STEPS = (590, 20, 1180, 20, 465, 20, 75, 20, 15)  # around each of them, and past the end


class ClockedProgram(Program):
    """Control by a clock that the test moves."""

    module = "tests.programs.clocked_control"

    def __init__(self, here: Street) -> None:
        super().__init__(here)
        self.clock = here.directory / "clock"
        self.environment["TEST_CLOCK"] = str(self.clock)
        self.kills = 0
        self.show_time()

    def show_time(self) -> None:
        """Control's clock is the street's."""
        clock = self.here.clock
        write_clock(self.clock, clock.now(), clock.elapsed(), clock.boot())

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.here.clock.pass_time(seconds)
        self.show_time()

    def told(self, wanted: SandboxSpec) -> list[tuple[str, str]]:
        """Kind and reason of all that its user was told."""
        rows = ask(
            self.database, f"SELECT kind, detail FROM events WHERE sandbox = '{wanted.id}' ORDER BY id"
        )
        found = [(kind, json.loads(raw) if isinstance(raw, str) else raw) for kind, raw in rows]
        return [(kind, detail["code"]) for kind, detail in found]

    def has_told(self, wanted: SandboxSpec, kinds: tuple[str, ...]) -> bool:
        """Was that told first, in this order?"""
        return tuple(kind for kind, _ in self.told(wanted))[: len(kinds)] == kinds

    def has_passed(self) -> bool:
        """Did control look at its clock since the test moved it?"""
        rows = ask(self.database, "SELECT number FROM settings WHERE name = 'clock'")
        return [row[0] for row in rows] == [self.here.clock.elapsed()]


@pytest.fixture
async def program() -> AsyncIterator[ClockedProgram]:
    """Not started yet; whatever runs at the end is ended."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cw", dir="/tmp"))
        found = ClockedProgram(await stack.enter_async_context(street(Path(name))))
        for act in (found.end, found.hub.close, found.admin.close):
            stack.push_async_callback(act)
        yield found


async def until(true: Callable[[], bool]) -> None:
    """Returns when it is true."""
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never was")


async def kill_and_start(program: ClockedProgram, chance: random.Random) -> None:
    """Kill it at some moment of its next passes."""
    await asyncio.sleep(chance.random() * 0.06)
    await program.end()
    program.kills += 1
    await program.start()


@pytest.mark.proves("H08")
@pytest.mark.timeout(300)
async def test_kill_9_between_warning_and_stop_misses_hastens_and_repeats_nothing(
    program: ClockedProgram, control: Callable[[str, bool], None]
) -> None:
    """Each warning and the request to save come once, the end not before its time, and once."""
    chance = random.Random(SEED)
    wanted, again = spec(ttl=LIFE), spec(nonce="2", ttl=LIFE)
    ended: list[timedelta] = []
    hub = program.here.hub
    hub.on_stop = lambda user, server: ended.append(program.here.clock.now() - START)
    await program.start()
    assert (await program.hub.admit(asked(wanted))).admitted
    program.here.running(wanted, program.here.clock.now())
    await program.hub.ready(wanted.id, {})
    due: list[str] = []
    for number, step in enumerate(STEPS):
        before = LIFE - (program.here.clock.now() - START).total_seconds()
        program.pass_time(step)
        due += [kind for ahead, kind in NOTICES.items() if before - step <= ahead < before]
        if CHAOS or number % 3 == 1 or before <= step:
            await kill_and_start(program, chance)
        await until(partial(program.has_told, wanted, tuple(due)))
        assert ended == [] or before <= step
    await until(lambda: ended != [])
    # Its user starts anew before control, killed once more, could hear that the first is over.
    await kill_and_start(program, chance)
    assert (await program.hub.admit(asked(again))).admitted
    program.here.running(again, program.here.clock.now())
    await program.hub.ready(again.id, {})
    await kill_and_start(program, chance)
    program.pass_time(300)
    await until(program.has_passed)
    await program.end()
    control(f"it was killed (seed {SEED})", program.kills >= 4)
    codes = [("warning", "warning.ttl")] * 3 + [("save", "warning.ttl"), ("stopping", "stop.ttl")]
    assert program.told(wanted) == codes
    assert len(ended) == 1
    assert ended[0] >= timedelta(seconds=LIFE)
    assert program.told(again) == []
    assert ("alice", "") in hub.servers


async def test_control_that_was_down_for_an_hour_tells_what_is_still_ahead(
    program: ClockedProgram,
) -> None:
    """The warning that stands then is given, none of those that are past, and the end is where it was."""
    wanted = spec(ttl=2 * 3600)
    await program.start()
    assert (await program.hub.admit(asked(wanted))).admitted
    program.here.running(wanted, program.here.clock.now())
    await program.hub.ready(wanted.id, {})
    program.pass_time(50 * 60)
    await program.end()
    program.pass_time(3600)
    await program.start()
    await until(lambda: program.told(wanted) != [])
    assert program.told(wanted) == [("warning", "warning.ttl")]
    assert program.here.hub.deleted == []
    program.pass_time(10 * 60)
    await until(lambda: program.here.hub.deleted != [])
    await program.end()
    assert program.here.hub.deleted == [("alice", "")]
