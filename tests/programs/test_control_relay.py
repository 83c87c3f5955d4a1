"""Is the hub told, rarely, of what was measured, and of nothing that a server says of itself?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.control.parts import Parts, Tuning
from jupyter_sandbox_spawner.control.relaying import ActivityRelay
from jupyter_sandbox_spawner.errors import ProgramError
from tests.programs.control_neighbours import START, spec
from tests.programs.control_street import Street, parts_of, street

Control = Callable[[str, bool], None]
ALICE, GPU, BOB = spec("alice"), spec("alice", "gpu"), spec("bob")
EVERY = 1800.0


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Street]:
    async with street(tmp_path) as found:
        yield found


@pytest.fixture
async def parts(here: Street) -> AsyncIterator[Parts]:
    async with parts_of(here, Tuning(activity_every=EVERY, activity_per_second=1000)) as found:
        yield found


async def test_measured_use_reaches_the_hub(here: Street, parts: Parts) -> None:
    """Use of two servers of a user is one call with the measured instants; an unused one is not told of."""
    here.running(ALICE, START - timedelta(minutes=3))
    here.running(GPU, START - timedelta(minutes=9))
    here.running(BOB)
    relay = ActivityRelay(parts)
    await relay.relay()
    here.clock.pass_time(2 * EVERY)
    assert await relay.relay() == 2
    ((user, body),) = here.hub.told
    assert (user, body["last_activity"]) == ("alice", "2026-11-25T11:57:00+00:00")
    assert {name: said["last_activity"] for name, said in body["servers"].items()} == {
        "": "2026-11-25T11:57:00+00:00",
        "gpu": "2026-11-25T11:51:00+00:00",
    }


async def test_constant_use_is_told_once_an_interval(here: Street, parts: Parts) -> None:
    """A server in use all day costs the hub at most one call in 30 minutes, however often is looked."""
    here.running(ALICE)
    relay = ActivityRelay(parts)
    for _ in range(24 * 12):
        here.clock.pass_time(300)
        here.gateway.add(ALICE, here.clock.now())
        await relay.relay()
    assert 24 * 3600 / (1.25 * EVERY + 300) - 1 <= len(here.hub.told) <= 24 * 3600 / EVERY


async def test_work_without_a_page_is_use(here: Street, parts: Parts, control: Control) -> None:
    """CPU counts as use at the hub too; an idle process does not."""
    here.running(ALICE)
    here.running(BOB)
    relay = ActivityRelay(parts)
    for _ in range(3):
        here.launcher.use(ALICE.id, 0.5 * EVERY)
        here.launcher.use(BOB.id, 0.01 * EVERY)
        await relay.relay()
        here.clock.pass_time(EVERY)
    control("alice's work is told", [user for user, _ in here.hub.told][:1] == ["alice"])
    assert "bob" not in [user for user, _ in here.hub.told]


@pytest.mark.proves("H03")
async def test_no_future_instant_reaches_the_hub(here: Street, parts: Parts, control: Control) -> None:
    """After the clock was set back, an instant ahead of now is kept until it is past."""
    here.running(ALICE, START + timedelta(hours=5))
    relay = ActivityRelay(parts)
    await relay.relay()
    here.clock.pass_time(2 * EVERY)
    assert await relay.relay() == 0
    here.clock.pass_time(5 * 3600)
    control("once it is past it is told", await relay.relay() == 1)


async def test_a_server_that_the_hub_stopped_meanwhile_is_left(here: Street, parts: Parts) -> None:
    """The hub's "no such server" ends nothing: others are told, and it is not asked again at once."""
    here.running(ALICE, START)
    here.running(BOB, START)
    del here.hub.servers["alice", ""]
    relay = ActivityRelay(parts)
    await relay.relay()
    here.clock.pass_time(2 * EVERY)
    await relay.relay()
    assert [user for user, _ in here.hub.told] == ["bob"]
    assert await relay.relay() == 0


@pytest.mark.parametrize("status", [500, 403])
async def test_what_the_hub_fails_at_keeps_nobody_else_waiting(
    here: Street, parts: Parts, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An error at one user, or at many, ends no pass; it is logged once and not asked again at once."""
    for number in range(3):
        here.running(spec(f"odd-{number}"), START - timedelta(hours=1))
        here.hub.fails_at[f"odd-{number}"] = status
    here.running(BOB, START)
    relay = ActivityRelay(parts)
    await relay.relay()
    here.clock.pass_time(2 * EVERY)
    assert await relay.relay() == 4
    assert [user for user, _ in here.hub.told] == ["bob"]
    assert await relay.relay() == 0
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [str(status) in record.getMessage() for record in warnings] == [True]


async def test_a_hub_that_is_away_is_told_later(here: Street, parts: Parts) -> None:
    """What could not be told is told as soon as the hub answers."""
    here.running(ALICE, START)
    relay = ActivityRelay(parts)
    await relay.relay()
    here.clock.pass_time(2 * EVERY)
    here.hub.broken = True
    with pytest.raises(ProgramError):
        await relay.relay()
    here.hub.broken = False
    assert await relay.relay() == 1


async def test_calls_keep_the_hubs_pace(here: Street) -> None:
    """However many are due, calls follow each other at the rate that was set."""
    async with parts_of(here, Tuning(activity_every=EVERY, activity_per_second=20)) as parts:
        for number in range(10):
            here.running(spec(f"user-{number}"), START)
        relay = ActivityRelay(parts)
        await relay.relay()
        here.clock.pass_time(2 * EVERY)
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await relay.relay() == 10
        assert clock() - began >= 9 / 20
