"""What happens to deadlines when the wall clock jumps, the machine sleeps, or control was away meanwhile?"""

from __future__ import annotations

import pytest

from .control_neighbours import spec
from .control_street import Street, parts_of
from .test_control_lifetime import TUNING, Running, here

__all__ = ["here"]


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_jumps_an_hour_takes_and_gives_no_time(here: Street, hours: int) -> None:
    """Deadlines move with the clock, idleness counts anew, and the audit says by how much it jumped."""
    timed, idle = spec(ttl=1800), spec("bob", idle_timeout=1800)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, timed)
        await running.start(here, idle)
        await running.live(here, 300, 60)
        here.clock.jump(hours * 3600)
        await running.turn()
        assert here.hub.deleted == []
        left = (await running.record(timed)).deadline
        assert left is not None
        assert (left - here.clock.now()).total_seconds() == 1500
        await running.live(here, 1440, 60)
        assert here.hub.deleted == []
        await running.live(here, 120, 60)
        assert here.hub.deleted == [("alice", "")]
        await running.live(here, 420, 60)
        assert here.hub.deleted == [("alice", ""), ("bob", "")]
        lines = await parts.audit.lines(limit=1000)
    (jumped,) = [line for line in lines if line["action"] == "clock.jumped"]
    assert jumped["detail"] == {"seconds": hours * 3600, "deadlines_moved": 2}


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_jump_while_control_was_away_is_noticed(here: Street, hours: int) -> None:
    """The last reading of both clocks is kept, so a jump between two runs moves the deadlines too."""
    wanted = spec(ttl=1800)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.live(here, 60, 30)
    here.clock.pass_time(60)
    here.clock.jump(hours * 3600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.lifetime.load()
        found = await running.record(wanted)
    assert found.deadline is not None
    assert (found.deadline - here.clock.now()).total_seconds() == 1800 - 120


async def test_a_machine_that_slept_did_not_jump(here: Street) -> None:
    """Eight hours of sleep are time that passed: the TTL is over and nothing is moved."""
    wanted = spec(ttl=1800)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.turn()
        here.clock.pass_time(8 * 3600)
        await running.turn()
    assert here.hub.deleted == [("alice", "")]
