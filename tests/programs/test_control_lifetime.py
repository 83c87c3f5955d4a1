"""Do sandboxes end when they should, with the reason on record before the act, whatever crashes?"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.control import Claims
from jupyter_sandbox_spawner.control import happenings, records
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.lifetime import Lifetime
from jupyter_sandbox_spawner.control.parts import Parts, Tuning
from jupyter_sandbox_spawner.control.records import SandboxRecord
from jupyter_sandbox_spawner.control.signals import Watcher
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.models import SandboxSpec

from .control_neighbours import START, asked, spec
from .control_street import Street, parts_of, street

TUNING = Tuning(settle=0, tick=0.05, hub_patience=60)


@pytest.fixture
async def here() -> AsyncIterator[Street]:
    """The neighbours, serving."""
    with tempfile.TemporaryDirectory(prefix="cl", dir="/tmp") as name:
        async with street(Path(name)) as place:
            yield place


class Running:
    """Control's lifetime part on one set of parts."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.watcher = Watcher(parts)
        self.lifetime = Lifetime(parts, self.watcher, Stopper(parts))

    async def start(self, here: Street, wanted: SandboxSpec, **terms: int) -> None:
        """Admit it and let it be ready everywhere."""
        answer = await Admissions(self.parts, self.lifetime.watch).admit(asked(wanted, **terms))
        assert answer.admitted, answer
        here.running(wanted, here.clock.now())
        now = here.clock.now()
        await self.parts.store.run(lambda db: records.mark_ready(db, wanted.id, now, {}))

    async def record(self, wanted: SandboxSpec) -> SandboxRecord:
        """Its record now."""
        found = await self.parts.store.run(lambda db: records.by_id(db, wanted.id))
        assert found is not None
        return found

    async def turn(self) -> None:
        """One pass, and all that it began."""
        await self.lifetime.step()
        await self.lifetime.settled()

    async def live(self, here: Street, seconds: float, step: float = 10) -> None:
        """Let time pass in steps, with a pass after each."""
        for _ in range(int(seconds / step)):
            here.clock.pass_time(step)
            await self.turn()


async def test_the_one_minute_profile_is_stopped_with_its_reason(here: Street) -> None:
    """After its TTL a server is ended through the hub, and its record says why."""
    wanted = spec(ttl=60)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.live(here, 50)
        assert here.hub.deleted == []
        await running.live(here, 20)
        assert here.hub.deleted == [("alice", "")]
        found = await running.record(wanted)
    assert (found.stop_code, found.stop_why) == ("stop.ttl", "Its time was up after 1 min.")


async def test_the_reason_is_on_disk_before_the_act(here: Street) -> None:
    """When the hub hears of the stop, database and audit have the reason already."""
    wanted = spec(ttl=60)
    seen: list[str] = []
    lines = here.directory / "audit/audit.ndjson"
    here.hub.on_stop = lambda user, server: seen.append(lines.read_text())
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.live(here, 70)
    assert '"action":"sandbox.stop"' in seen[0]
    assert '"code":"stop.ttl"' in seen[0]


async def test_a_deadline_survives_a_restart(here: Street) -> None:
    """Control that starts after the deadline ends the server at once; before it, at the same instant."""
    wanted = spec(ttl=600)
    async with parts_of(here, TUNING) as parts:
        await Running(parts).start(here, wanted)
    here.clock.pass_time(300)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.lifetime.load()
        await running.turn()
        assert here.hub.deleted == []
        assert (await running.record(wanted)).deadline == START + timedelta(seconds=600)
    here.clock.pass_time(301)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.lifetime.load()
        await running.turn()
    assert here.hub.deleted == [("alice", "")]


async def test_an_unused_server_is_culled(here: Street) -> None:
    """Without use a server is stopped after its idle timeout; an open tab is not use."""
    wanted = spec(idle_timeout=600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.live(here, 630, 30)
        found = await running.record(wanted)
    assert here.hub.deleted == [("alice", "")]
    assert (found.stop_code, found.stop_why) == ("stop.idle", "It was not used for 10 min.")


async def test_an_idle_deadline_survives_a_restart_of_control_and_gateway(here: Street) -> None:
    """Use that was seen before both were restarted still counts, and no more than that."""
    wanted = spec(idle_timeout=600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.live(here, 300, 30)
        here.gateway.add(wanted, here.clock.now())
        await running.live(here, 200, 20)
    here.gateway.add(wanted, None)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.lifetime.load()
        await running.live(here, 390, 30)
        assert here.hub.deleted == []
        await running.live(here, 60, 30)
    assert here.hub.deleted == [("alice", "")]


@pytest.mark.parametrize("witness", ["door", "cpu", "claim"])
async def test_use_keeps_a_server(here: Street, witness: str, control: Callable[[str, bool], None]) -> None:
    """Traffic of a person, CPU, or a busy kernel each keep a server past its idle timeout."""
    wanted, unused = spec(idle_timeout=300), spec("bob", idle_timeout=300)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.start(here, unused)
        for _ in range(20):
            if witness == "door":
                here.gateway.add(wanted, here.clock.now())
            elif witness == "cpu":
                here.launcher.cpu[wanted.id] = here.launcher.cpu.get(wanted.id, 0) + 30
            else:
                running.watcher.claim(wanted.id, Claims(kernels=1, busy=1))
            await running.live(here, 30, 30)
    control("the twin that nobody used was culled", ("bob", "") in here.hub.deleted)
    assert ("alice", "") not in here.hub.deleted


async def test_a_cell_that_starts_at_the_last_moment_is_seen(here: Street) -> None:
    """CPU is looked at again right before a stop for idleness."""
    wanted = spec(idle_timeout=300)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        here.clock.pass_time(200)
        await running.turn()
        here.launcher.on_usage = lambda sandbox: (here.clock.pass_time(1), here.launcher.use(sandbox, 0.5))
        here.clock.pass_time(101)
        await running.turn()
        assert here.hub.deleted == []
        here.launcher.on_usage = lambda sandbox: None
        await running.live(here, 450, 30)
    assert here.hub.deleted == [("alice", "")]


async def test_no_idle_stop_before_servers_had_time_to_speak(here: Street) -> None:
    """Just after control's own start nothing is stopped for idleness, since busy words are only in memory."""
    wanted = spec(idle_timeout=300)
    async with parts_of(here, TUNING) as parts:
        await Running(parts).start(here, wanted)
    here.clock.pass_time(1000)
    async with parts_of(here, Tuning(settle=60, tick=0.05)) as parts:
        running = Running(parts)
        await running.lifetime.load()
        await running.live(here, 50, 10)
        assert here.hub.deleted == []
        await running.live(here, 20, 10)
    assert here.hub.deleted == [("alice", "")]


@pytest.mark.parametrize("busy", [True, False])
async def test_no_warning_of_idleness_before_servers_had_time_to_speak(here: Street, busy: bool) -> None:
    """After control's start nobody whose kernel is busy is warned; who says nothing is, a minute later."""
    wanted = spec(idle_timeout=400)
    async with parts_of(here, TUNING) as parts:
        await Running(parts).start(here, wanted)
    here.clock.pass_time(290)
    async with parts_of(here, Tuning(settle=60, tick=0.05)) as parts:
        running = Running(parts)
        await running.lifetime.load()
        await running.live(here, 20, 10)
        if busy:
            running.watcher.claim(wanted.id, Claims(kernels=1, busy=1))
        await running.live(here, 50, 10)
        events = await parts.store.run(lambda db: happenings.events_of(db, wanted.id, 0))
    assert [event["kind"] for event in events] == ([] if busy else ["warning"])


@pytest.mark.parametrize("missing", ["gateway", "launcher"])
async def test_a_silent_witness_proves_no_idleness(here: Street, missing: str) -> None:
    """While gateway or launcher is away nobody is stopped for idleness."""
    wanted = spec(idle_timeout=300)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await here.close(missing)
        await running.live(here, 900, 60)
        assert here.hub.deleted == []
        await here.serve(missing)
        await running.live(here, 420, 60)
    assert here.hub.deleted == [("alice", "")]


async def test_warnings_are_events(here: Street) -> None:
    """Before the end its user can read when and why, each once, and is asked to save at last."""
    wanted = spec(ttl=3600)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        await running.live(here, 3590, 30)
        events = await parts.store.run(lambda db: happenings.events_of(db, wanted.id, 0))
    assert [event["kind"] for event in events] == ["warning", "warning", "warning", "save"]
    assert "30 min" in events[0]["detail"]["why"]


async def test_a_hub_that_is_away_is_asked_again(here: Street) -> None:
    """A stop that the hub did not hear of is asked for until it answers."""
    wanted = spec(ttl=60)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        here.hub.broken = True
        await running.live(here, 90)
        assert (await running.record(wanted)).status == "stopping"
        assert here.launcher.removed == []
        here.hub.broken = False
        await running.live(here, 10)
    assert here.hub.deleted == [("alice", "")]


async def test_a_hub_that_stays_away_does_not_keep_a_server_alive(here: Street) -> None:
    """After the hub's patience the launcher ends it, the doors are closed and the record says so."""
    wanted = spec(ttl=60)
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        await running.start(here, wanted)
        here.hub.broken = True
        await running.live(here, 150)
        found = await running.record(wanted)
    assert here.launcher.removed == [wanted.id]
    assert here.gateway.closed == [wanted.id]
    assert (found.status, found.stop_code) == ("released", "stop.ttl")


async def test_who_is_looked_at_all_the_time_fills_no_memory(here: Street) -> None:
    """Appointments that newer ones made void are thrown away, and the newest of each is kept."""
    async with parts_of(here, TUNING) as parts:
        lifetime = Running(parts).lifetime
        later = here.clock.now() + timedelta(hours=1)
        lifetime.watch("sb-b", later)
        for seconds in range(20_000):
            lifetime.watch("sb-a", here.clock.now() + timedelta(seconds=1 + seconds))
        assert len(lifetime._heap) < 2000
        assert {(later, "sb-b"), (here.clock.now() + timedelta(seconds=20_000), "sb-a")} <= set(
            lifetime._heap
        )


async def test_a_pass_costs_what_is_due(here: Street) -> None:
    """Of two hundred servers only the one that is due is looked at."""
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        for number in range(200):
            wanted = spec(f"u{number}", ttl=90 if number == 7 else 86_400)
            now = here.clock.now()
            deadline = now + timedelta(seconds=wanted.ttl or 0)
            await parts.store.run(
                lambda db, wanted=wanted, now=now, deadline=deadline: records.admit(
                    db, asked(wanted), now, deadline
                )
            )
            running.lifetime.watch(wanted.id)
        await running.turn()
        looked: list[int] = []
        judge = running.lifetime.judge

        async def count(due: list[str]) -> None:
            looked.append(len(due))
            await judge(due)

        running.lifetime.judge = count  # type: ignore[method-assign]
        here.clock.pass_time(91)
        await running.turn()
    assert looked == [1]
