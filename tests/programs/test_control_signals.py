"""Does a sandbox keep itself, or end another, by what it says? Each witness is shown with its rank."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from jupyter_sandbox_spawner.clients.control import Claims
from jupyter_sandbox_spawner.control import happenings
from jupyter_sandbox_spawner.errors import ProgramError
from jupyter_sandbox_spawner.models import Usage

from .control_neighbours import spec
from .control_street import Street, parts_of
from .test_control_api import ALICE, BOB, Control, control_program
from .test_control_lifetime import TUNING, Running, here

__all__ = ["control_program", "here"]

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("witness", ["claim", "door"])
async def test_an_instant_in_the_future_proves_nothing_ever(
    here: Street, witness: str, control: Callable[[str, bool], None]
) -> None:
    """Neither now nor when its time has come; an honest twin that says the present is kept."""
    liar, honest = spec(idle_timeout=600), spec("bob", idle_timeout=600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        for wanted in (liar, honest):
            await running.start(here, wanted)
        if witness == "door":
            here.gateway.add(liar, here.clock.now() + HOUR)
        else:
            future = here.clock.now() + timedelta(seconds=590)
            running.watcher.claim(liar.id, Claims(kernels=1, busy=0, last_activity=future))
        for _ in range(22):
            now = here.clock.now()
            running.watcher.claim(honest.id, Claims(kernels=1, busy=0, last_activity=now))
            await running.live(here, 30, 30)
    control("the twin is kept by what it honestly says", ("bob", "") not in here.hub.deleted)
    assert here.hub.deleted == [("alice", "")]


async def test_traffic_of_the_hook_before_a_stop_is_no_use(
    here: Street, control: Callable[[str, bool], None]
) -> None:
    """A server whose hook moves much at every request to save ends all the same; a download keeps one."""
    saver, loader = spec(idle_timeout=600), spec("bob", idle_timeout=600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        for wanted in (saver, loader):
            await running.start(here, wanted)
            here.gateway.add(wanted)
        for _ in range(70):
            await running.live(here, 10, 10)
            here.gateway.add(loader, egress=here.clock.now())
            events = await parts.store.run(lambda db: happenings.events_of(db, saver.id, 0))
            if [event["kind"] for event in events][-1:] == ["save"] and not here.hub.deleted:
                here.gateway.add(saver, egress=here.clock.now())
    control("outbound traffic is use", ("bob", "") not in here.hub.deleted)
    assert here.hub.deleted == [("alice", "")]


async def test_an_instant_without_a_zone_stops_no_pass(here: Street) -> None:
    """A word that cannot be compared is no word, and the sandbox that says it ends like any other."""
    wanted = spec(idle_timeout=600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        naive = here.clock.now().replace(tzinfo=None)
        running.watcher.claim(wanted.id, Claims(kernels=1, busy=0, last_activity=naive))
        await running.live(here, 660, 60)
    assert here.hub.deleted == [("alice", "")]


async def test_a_flood_of_claims_moves_no_deadline_and_keeps_no_neighbour(
    control_program: Control, control: Callable[[str, bool], None]
) -> None:
    """Two hundred busy claims by one sandbox: its time is up as before, and another's idleness goes on."""
    here, lifetime = control_program.here, control_program.lifetime
    for number in range(200):
        body = {"kernels": 10**9, "busy": 10**9, "last_activity": f"2099-01-01T00:00:{number % 60:02}Z"}
        status, _ = await control_program.ask("POST", "/api/self/claims", BOB.id, body=body)
        assert status in (200, 204)
    for _ in range(65):
        here.clock.pass_time(30)
        await lifetime.step()
        await lifetime.settled()
        await control_program.ask("POST", "/api/self/claims", BOB.id, body={"kernels": 1, "busy": 1})
    control("the other was idle for too long", ("alice", "") in here.hub.deleted)
    assert here.hub.deleted == [("alice", "")]
    here.clock.pass_time(1800)
    await lifetime.step()
    await lifetime.settled()
    assert here.hub.deleted == [("alice", ""), ("bob", "")]


async def test_a_sandbox_speaks_for_itself_alone(
    control_program: Control, control: Callable[[str, bool], None]
) -> None:
    """Whatever id it writes into its words, the claim is that of the sandbox that the gateway names."""
    named: dict[str, Any] = {"kernels": 1, "busy": 1, "sandbox": ALICE.id}
    status, _ = await control_program.ask("POST", "/api/self/claims", BOB.id, body=named)
    assert status == 400
    path = f"/api/self/claims?sandbox={ALICE.id}"
    await control_program.ask("POST", path, BOB.id, body={"kernels": 1, "busy": 1})
    seen = {item.id: await _kernels(control_program, item.id) for item in (ALICE, BOB)}
    control("the claim counts for who made it", seen[BOB.id] == "busy")
    assert seen[ALICE.id] is None


async def _kernels(control_program: Control, sandbox: str) -> Any:
    _, me = await control_program.ask("GET", "/api/self", sandbox)
    return next(item["value"] for item in me["lifetime"]["witnesses"] if item["name"] == "kernels")


async def test_each_witness_is_shown_with_its_time_and_rank(control_program: Control) -> None:
    """What is measured is of the first rank, with the traffic of the doors; what is said of the second."""
    body = {"kernels": 1, "busy": 1}
    await control_program.ask("POST", "/api/self/claims", body=body)
    _, me = await control_program.ask("GET", "/api/self")
    found = {item["name"]: item for item in me["lifetime"]["witnesses"]}
    assert {name: item["rank"] for name, item in found.items()} == {
        "doors": 1,
        "egress": 1,
        "cpu": 1,
        "gpu": 1,
        "kernels": 2,
        "server": 2,
        "keep_alive": 3,
    }
    assert found["doors"]["value"] == {"connections": 1, "bytes_in": 1, "bytes_out": 1}
    assert found["kernels"] == {"name": "kernels", "at": me["now"], "rank": 2, "value": "busy"}


async def test_many_due_are_one_question_to_the_launcher(here: Street) -> None:
    """Nine sandboxes that are due together cost one look at all, a single one a look at itself."""
    single: list[str] = []
    here.launcher.on_usage = single.append
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        found = [spec(f"u{number}", idle_timeout=3600) for number in range(9)]
        for wanted in found:
            await running.start(here, wanted)
            here.launcher.use(wanted.id, 1)
        await running.turn()
        assert single == []
        running.lifetime.watch(found[0].id)
        await running.turn()
    assert single == [found[0].id]


async def test_few_due_of_many_are_asked_for_one_by_one(here: Street) -> None:
    """Ten of two hundred that are known, so many at a time; the launcher does not read all for them."""
    single: list[str] = []
    here.launcher.on_usage = single.append
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        found = [spec(f"u{number}", idle_timeout=3600) for number in range(10)]
        for wanted in found:
            await running.start(here, wanted)
        for number in range(200):
            running.watcher.claim(f"other-{number}", Claims(kernels=1, busy=0))
        await running.watcher.look([await running.record(wanted) for wanted in found])
    assert sorted(single) == sorted(wanted.id for wanted in found)


async def test_a_door_used_a_moment_ahead_is_used_now(
    here: Street, control: Callable[[str, bool], None]
) -> None:
    """A clock that was set back a little hides no use: neither the door's nor what was seen before it."""
    wanted = spec(idle_timeout=600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        record = replace(await running.record(wanted), used_at=here.clock.now())
        here.clock.pass_time(300)
        ages = []
        for ahead in (-1.0, 4.0, 6.0):
            here.clock.pass_time(1)
            now = here.clock.now()
            here.gateway.add(wanted, now + timedelta(seconds=ahead))
            used = (await running.watcher.look([record]))[wanted.id].door_used_at
            ages.append(None if used is None else (now - used).total_seconds())
    control("a use before now counts as it is", ages[0] == 1)
    assert ages[1:] == [0, 303]


async def test_a_gateway_that_does_not_answer_is_asked_once_for_all(here: Street) -> None:
    """Who asks meanwhile, or within a second after it, shares the failure; then it is asked again."""
    asked = 0
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, spec())
        record = await running.record(spec())

        async def fail() -> Any:
            nonlocal asked
            asked += 1
            here.clock.pass_time(10)
            await asyncio.sleep(0)
            raise ProgramError("It does not answer.", code="gateway.unreachable")

        parts.gateway.inventory = fail  # type: ignore[method-assign]
        await asyncio.gather(*(running.watcher.look([record]) for _ in range(5)))
        assert asked == 1
        here.clock.pass_time(1.1)
        await running.watcher.look([record])
    assert asked == 2


async def test_a_gpu_counts_as_used_while_it_works(here: Street) -> None:
    """The first look counts as work, later ones above the threshold, and all while it is not measured."""
    wanted, plain = spec(idle_timeout=3600), spec("bob", idle_timeout=3600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        for item in (wanted, plain):
            await running.start(here, item)
        pair = [await running.record(item) for item in (wanted, plain)]
        began = here.clock.now()
        used = []
        for busy in (0.0, 0.9, 0.0, None, 0.0):
            here.launcher.gpu_busy = {} if busy is None else {wanted.id: busy}
            signals = await running.watcher.look(pair)
            used.append(signals[wanted.id].gpu_used_at)
            here.clock.pass_time(60)
        running.watcher.note({wanted.id: _usage(0.9), "unknown": _usage(0.9)})
        used.append(running.watcher._of(wanted.id).gpu_used_at)
    minutes = [(at - began).total_seconds() / 60 for at in used if at is not None]
    assert minutes == [0, 1, 1, 3, 3, 5]
    assert signals[plain.id].gpu_used_at is None


def _usage(busy: float) -> Usage:
    return Usage(cpu_seconds=0.0, memory=1, memory_peak=1, pids=1, gpu_busy=busy)
