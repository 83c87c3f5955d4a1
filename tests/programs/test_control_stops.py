"""Are many ended at the same minute so many at once, each asked for once, while others are judged on time?

SANDBOX_CHAOS=1 has a thousand due at once, else a hundred.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from jupyter_sandbox_spawner.control import happenings, records
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.models import SandboxSpec

from .control_neighbours import HubWithServers, asked, spec
from .control_street import Street, parts_of
from .test_control_lifetime import Running, here

__all__ = ["here"]

AT_ONCE = 20
DUE = 1000 if os.environ.get("SANDBOX_CHAOS") == "1" else 100


class SlowHub(HubWithServers):
    """A hub whose stops take until `gate` opens; it counts those under way. `says_202`: answers before."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.now, self.most = 0, 0
        self.asked, self.reached = asyncio.Event(), asyncio.Event()
        self.says_202 = False

    async def _stop(self, request: web.Request) -> web.Response:
        if self.says_202:
            self.deleted.append((request.match_info["user"], ""))
            self.reached.set()
            return web.Response(status=202)
        self.asked.set()
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == AT_ONCE:
            self.reached.set()
        await self.gate.wait()
        self.now -= 1
        return await super()._stop(request)


async def on_a_slow_hub(here: Street) -> SlowHub:
    """The street's hub, stopping slowly."""
    await here.close("hub")
    here.hub = hub = SlowHub()
    await here.serve("hub")
    return hub


async def many(running: Running, here: Street, count: int, **more: Any) -> list[SandboxSpec]:
    """So many that run, admitted long ago and without the audit's help."""
    found = [spec(f"u{number}", **more) for number in range(count)]
    now = here.clock.now()

    def write(connection: Any) -> None:
        for wanted in found:
            ttl = wanted.ttl
            deadline = now + timedelta(seconds=ttl) if ttl else None
            records.admit(connection, asked(wanted), now, deadline)
            records.mark_ready(connection, wanted.id, now, {})

    await running.parts.store.run(write)
    for wanted in found:
        here.running(wanted, now)
        running.lifetime.watch(wanted.id)
    return found


@pytest.mark.timeout(400)
async def test_many_due_at_once_are_ended_within_the_limit(here: Street) -> None:
    """Never more than the limit are asked for together, each once, and another is warned meanwhile."""
    hub = await on_a_slow_hub(here)
    other = spec("other", ttl=1860)
    async with parts_of(here, Tuning(settle=0, tick=0.05, stops_at_once=AT_ONCE, stops_apart=0)) as parts:
        running = Running(parts)
        await many(running, here, DUE, ttl=60)
        await running.start(here, other)
        here.clock.pass_time(61)
        await running.lifetime.step()
        await hub.reached.wait()
        here.clock.pass_time(5)
        await running.lifetime.step()
        events = await parts.store.run(lambda db: happenings.events_of(db, other.id, 0))
        assert [event["kind"] for event in events] == ["warning"]
        assert hub.deleted == []
        hub.gate.set()
        await running.lifetime.settled()
        await running.turn()
    assert hub.most == AT_ONCE
    assert sorted(hub.deleted) == sorted((f"u{number}", "") for number in range(DUE))


async def test_many_warned_at_once_are_written_in_pieces(here: Street) -> None:
    """No transaction holds up the database for all of them, and each is told once."""
    async with parts_of(here, Tuning(settle=0, tick=0.05)) as parts:
        running = Running(parts)
        found = await many(running, here, 450, ttl=3600)
        here.clock.pass_time(1801)
        pieces: list[int] = []
        parts.store.listen(lambda changed: pieces.append(len(changed)))
        await running.lifetime.step()
        told = await parts.store.run(
            lambda db: [len(happenings.events_of(db, wanted.id, 0)) for wanted in found]
        )
    assert told == [1] * 450
    assert [count for count in pieces if count] == [200, 200, 50]


async def test_stops_do_not_begin_in_a_heap(here: Street) -> None:
    """The hub is not asked for the next one sooner than the pause after the last."""
    asked: list[float] = []
    here.hub.on_stop = lambda user, server: asked.append(asyncio.get_running_loop().time())
    async with parts_of(here, Tuning(settle=0, tick=0.05, stops_apart=0.1)) as parts:
        running = Running(parts)
        await many(running, here, 4, ttl=60)
        here.clock.pass_time(61)
        await running.turn()
    gaps = [after - before for before, after in pairwise(asked)]
    assert len(gaps) == 3
    assert min(gaps) > 0.05


async def test_use_that_comes_while_a_stop_waits_for_its_turn_counts(here: Street) -> None:
    """Signals are taken when the turn has come, not when the end was due."""
    hub = await on_a_slow_hub(here)
    late = spec("u1", idle_timeout=600)
    async with parts_of(here, Tuning(settle=0, tick=0.05, stops_at_once=1)) as parts:
        running = Running(parts)
        first = spec("u0", ttl=601)
        await running.start(here, first)
        await running.start(here, late)
        here.clock.pass_time(300)
        await running.lifetime.step()
        here.clock.pass_time(301)
        await running.lifetime.step()
        here.clock.pass_time(10)
        here.gateway.add(late, here.clock.now())
        hub.gate.set()
        await running.lifetime.settled()
        assert hub.deleted == [("u0", "")]
        await running.live(here, 660, 60)
    assert hub.deleted == [("u0", ""), ("u1", "")]


async def test_a_stop_that_the_hub_works_on_keeps_its_turn_until_the_end(here: Street) -> None:
    """After a 202 nobody asks again before the hub's plugin says that it is over."""
    hub = await on_a_slow_hub(here)
    hub.says_202 = True
    wanted = spec(ttl=60)
    async with parts_of(here, Tuning(settle=0, tick=0.05)) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        here.clock.pass_time(61)
        await running.lifetime.step()
        await hub.reached.wait()
        for _ in range(3):
            here.clock.pass_time(10)
            running.lifetime.watch(wanted.id)
            await running.lifetime.step()
        assert hub.deleted == [("alice", "")]
        record = await running.record(wanted)
        await running.lifetime.stopper.release(record, "ended.stopped", "", 0)
        await running.lifetime.settled()
        await running.turn()
    assert hub.deleted == [("alice", "")]


async def test_who_asks_for_a_stop_under_way_gets_its_answer(here: Street) -> None:
    """A user and control at the same moment are one question to the hub."""
    hub = await on_a_slow_hub(here)
    wanted = spec(ttl=60)
    async with parts_of(here, Tuning(settle=0, tick=0.05)) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        stopper, record = running.lifetime.stopper, await running.record(wanted)
        first = asyncio.create_task(stopper.stop(record, "stop.by_user", "It was stopped.", "alice"))
        await hub.asked.wait()
        second = asyncio.create_task(stopper.ask(record))
        await asyncio.sleep(0)
        hub.gate.set()
        assert await asyncio.gather(first, second) == [True, True]
    assert hub.deleted == [("alice", "")]
