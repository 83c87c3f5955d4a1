"""Does control mend what crashes left, with real inventories, and the proxy's routes within seconds?"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.control import records, waiting
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.lifetime import Lifetime
from jupyter_sandbox_spawner.control.parts import Parts, Tuning
from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.control.routes import RouteKeeper, route_faults
from jupyter_sandbox_spawner.control.signals import Watcher
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.control.terms import OwnTerms
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuWish
from jupyter_sandbox_spawner.models import SandboxSpec

from .control_neighbours import asked, spec
from .control_street import Street, parts_of, street

FRONT = "http://127.0.0.1:9999"
ALICE = spec("alice")


class Mending:
    """Control's reconciler on a street."""

    def __init__(self, here: Street, parts: Parts) -> None:
        self.here, self.parts = here, parts
        stopper = Stopper(parts)
        self.lifetime = Lifetime(parts, Watcher(parts), stopper)
        self.reconciler = Reconciler(parts, stopper, self.lifetime)

    async def start(self, wanted: SandboxSpec) -> None:
        """A running server that everybody knows."""
        assert (await Admissions(self.parts, self.lifetime.watch).admit(asked(wanted))).admitted
        self.here.running(wanted)
        now = self.here.clock.now()
        await self.parts.store.run(lambda db: records.mark_ready(db, wanted.id, now, {}))

    async def minutes(self, count: int) -> None:
        """A pass now and one after each minute."""
        for _ in range(count + 1):
            await self.reconciler.step()
            self.here.clock.pass_time(60)

    async def status(self, sandbox: str) -> tuple[str, str | None]:
        """Status and reason on record."""
        found = await self.parts.store.run(lambda db: records.by_id(db, sandbox))
        return ("none", None) if found is None else (found.status, found.stop_code)

    async def actions(self) -> list[str]:
        """What the audit says was mended."""
        lines = await self.parts.audit.lines(limit=1000)
        return [line["action"] for line in lines if line["action"].startswith("reconcile.")]


@pytest.fixture
async def mending() -> AsyncIterator[Mending]:
    """Alice's server runs."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cr", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        parts = await stack.enter_async_context(parts_of(here, Tuning(routes_every=0.1, tick=0.05)))
        found = Mending(here, parts)
        await found.start(ALICE)
        yield found


async def test_agreement_is_left_alone(mending: Mending) -> None:
    """Ten passes over a street in order do nothing."""
    await mending.minutes(10)
    assert await mending.actions() == []
    assert mending.here.launcher.removed == mending.here.gateway.closed == mending.here.hub.deleted == []


async def test_lost_doors_are_opened_again(mending: Mending) -> None:
    """A sandbox whose gateway state was lost gets its doors back at the next pass."""
    mending.here.gateway.entries.clear()
    await mending.reconciler.step()
    assert mending.here.gateway.opened == [ALICE.id]
    assert await mending.actions() == ["reconcile.reopen"]


async def test_a_ready_server_that_control_was_not_told_of_is_ready(mending: Mending) -> None:
    """A record left at "admitted" by a crash is corrected, so that idleness counts for its server, too."""
    other = spec("bob")
    assert (await Admissions(mending.parts, mending.lifetime.watch).admit(asked(other))).admitted
    mending.here.running(other)
    await mending.reconciler.step()
    assert await mending.status(other.id) == ("ready", None)
    assert await mending.actions() == ["reconcile.confirm"]


async def test_a_lost_database_is_learned_again(mending: Mending) -> None:
    """A running server that only the database forgot is adopted, not stopped."""
    other = spec("bob")
    mending.here.running(other)
    await mending.minutes(2)
    assert await mending.status(other.id) == ("ready", None)
    assert mending.here.launcher.removed == []


GUARDED = """
- display_name: Small
  slug: cpu-small
  default: true
  sandbox:
    cpu: 1
    memory: 1G
    ttl: 2d
    extend: {by: 1h, at_most: 4h}
    secrets:
      - {name: inside}
      - {name: outside, delivery: proxy, host: api.example.org}
"""


@pytest.mark.parametrize(
    ("zone", "hours", "granted"), [("phi", 8, ["inside"]), ("", 48, ["inside", "outside"])]
)
async def test_an_adopted_sandbox_is_as_narrow_as_its_zone(
    mending: Mending, tmp_path: Path, zone: str, hours: int, granted: list[str]
) -> None:
    """In a zone by the launcher's word it ends after 8 hours, is not extended and has no secret as an exit;
    without one its profile holds. Doors whose entry nobody knows are not opened, and no pass breaks."""
    file = tmp_path / "profiles.yaml"
    file.write_text(GUARDED)
    mending.reconciler._parts = replace(mending.parts, terms=OwnTerms(str(file)))
    other = spec("bob")
    mending.here.running(other)
    items = mending.here.launcher.items
    items[other.id] = replace(items[other.id], zone=zone)
    before = mending.here.clock.now()
    await mending.minutes(2)
    found = await mending.parts.store.run(lambda db: records.by_id(db, other.id))
    assert found is not None
    assert (found.zone, found.extend_by) == (zone, None)
    assert found.deadline is not None
    assert timedelta(hours=hours) <= found.deadline - before <= timedelta(hours=hours, minutes=3)
    assert sorted(item["name"] for item in found.grants) == granted
    mending.here.gateway.entries.pop(other.id)
    await mending.minutes(2)
    assert other.id not in mending.here.gateway.opened


@pytest.mark.parametrize(
    ("label", "hours_ago", "left"),
    [("172800", 20, 28 * 60), ("172800", 60, 30), ("172800", -5, 48 * 60), ("-5", 1, None), ("", 1, None)],
)
async def test_after_a_lost_database_time_goes_on(
    mending: Mending, label: str, hours_ago: int, left: int | None
) -> None:
    """A TTL counts from the start by the launcher's record; one that is over leaves half an hour to be
    warned in. A start in the future or a TTL that is no number gives nobody more time."""
    other = spec("bob")
    mending.here.running(other)
    items, now = mending.here.launcher.items, mending.here.clock.now()
    status = replace(items[other.id].status, started_at=now - timedelta(hours=hours_ago))
    labels = {**items[other.id].labels, "ttl": label}
    items[other.id] = replace(items[other.id], status=status, labels=labels)
    await mending.reconciler.step()
    found = await mending.parts.store.run(lambda db: records.by_id(db, other.id))
    assert found is not None
    assert found.deadline == (None if left is None else now + timedelta(minutes=left))


async def test_an_adopted_sandbox_has_its_devices_again(mending: Mending) -> None:
    """What its labels name is not given to anybody else, also a device that is not found any more."""
    other = spec("bob", gpu_devices=("GPU-0", "GPU-gone"))
    mending.here.launcher.devices = (GpuDevice(id="GPU-0", kind="nvidia-h100"),)
    mending.here.running(other)
    await mending.minutes(2)
    found = await mending.parts.store.run(waiting.taken_now)
    assert {item.device for item in found} == {"GPU-0", "GPU-gone"}
    wish = GpuWish(count=1)
    answer = await Admissions(mending.parts, mending.lifetime.watch).admit(asked(spec("carol"), gpu=wish))
    assert answer.code == "gpu.all_taken"


async def test_a_dead_sandbox_is_ended_at_the_hub_with_its_reason(mending: Mending) -> None:
    """A sandbox that died is ended at the hub after a minute, and the record keeps what the launcher saw."""
    mending.here.launcher.add(
        ALICE, "stopped", exit_code=137, reason="It was ended for using too much memory."
    )
    await mending.minutes(1)
    assert mending.here.hub.deleted == [("alice", "")]
    await mending.minutes(3)
    found = await mending.parts.store.run(lambda db: records.by_id(db, ALICE.id))
    assert found is not None
    assert (found.status, found.stop_code) == ("released", "ended.died")
    assert (found.stop_why, found.exit_code) == ("It was ended for using too much memory.", 137)


async def test_what_nobody_has_is_closed(mending: Mending) -> None:
    """A record without hub server and sandbox is released, its doors are closed."""
    mending.here.hub.servers.clear()
    mending.here.launcher.items.clear()
    await mending.minutes(2)
    assert await mending.status(ALICE.id) == ("released", "ended.gone")
    assert mending.here.gateway.closed == [ALICE.id]


async def test_a_sandbox_the_hub_forgot_is_cut_off_then_removed(mending: Mending) -> None:
    """It is quarantined after a minute and removed after ten; nothing of it is left."""
    mending.here.hub.servers.clear()
    await mending.minutes(2)
    assert mending.here.gateway.closed == [ALICE.id]
    assert mending.here.launcher.removed == []
    await mending.minutes(10)
    assert mending.here.launcher.removed == [ALICE.id]
    assert await mending.status(ALICE.id) == ("released", "orphan.hub_forgot")


async def test_a_hub_that_finds_its_server_again_gets_it_back(mending: Mending) -> None:
    """A quarantined sandbox that the hub lists again has its doors opened and is kept."""
    servers = dict(mending.here.hub.servers)
    mending.here.hub.servers.clear()
    await mending.minutes(2)
    mending.here.hub.servers.update(servers)
    await mending.minutes(1)
    assert ALICE.id in mending.here.gateway.opened
    await mending.minutes(15)
    assert mending.here.launcher.removed == []


@pytest.mark.parametrize("silent", ["hub", "launcher", "gateway"])
async def test_a_silent_neighbour_costs_nobody_a_server(mending: Mending, silent: str) -> None:
    """While one of them does not answer for an hour nothing is stopped, removed or released."""
    await mending.here.close(silent)
    await mending.minutes(60)
    assert mending.here.hub.deleted == mending.here.launcher.removed == mending.here.gateway.closed == []
    assert await mending.status(ALICE.id) == ("ready", None)


@pytest.mark.proves("T16")
async def test_a_stop_that_the_hub_lost_is_finished(mending: Mending) -> None:
    """When the hub says it is over and the sandbox lives on, it is ended all the same."""
    stopper = Stopper(mending.parts)
    found = await mending.parts.store.run(lambda db: records.by_id(db, ALICE.id))
    assert found is not None
    await stopper.stop(found, "stop.ttl", "Time.", "control")
    assert mending.here.launcher.removed == []
    await mending.minutes(2)
    assert mending.here.launcher.removed == [ALICE.id]
    assert await mending.status(ALICE.id) == ("released", "stop.ttl")


async def test_leftovers_of_a_released_sandbox_go_at_once(mending: Mending) -> None:
    """What a crash in the middle of a stop left at launcher and gateway is removed at the next pass."""
    now = mending.here.clock.now()
    await mending.parts.store.run(lambda db: records.release(db, ALICE.id, "ended.exit", "x", now))
    mending.here.hub.servers.clear()
    await mending.reconciler.step()
    assert mending.here.launcher.removed == [ALICE.id]
    assert mending.here.gateway.closed == [ALICE.id]


@pytest.mark.proves("Q09")
async def test_a_hundred_half_finished_starts_leave_nothing(mending: Mending) -> None:
    """Starts that were cut at every possible stage are all cleaned up; the running server stays."""
    for number in range(100):
        wanted = spec(f"u{number}")
        if number % 2:
            await Admissions(mending.parts, mending.lifetime.watch).admit(asked(wanted))
        if number % 3:
            mending.here.gateway.add(wanted)
        if number % 5:
            mending.here.launcher.add(wanted, "pending" if number % 7 else "stopped")
    await mending.minutes(25)
    assert list(mending.here.launcher.items) == [ALICE.id]
    assert list(mending.here.gateway.entries) == [ALICE.id]
    assert [record.id for record in await mending.parts.store.run(records.all_open)] == [ALICE.id]


def test_routes_are_compared_by_path_and_target(mending: Mending) -> None:
    """Missing, wrong and stale routes differ, and the hub without one; host names and services do not."""
    (entry,) = mending.here.gateway.entries.values()
    good = {"/": "http://127.0.0.1:1", "/services/x/": "http://127.0.0.1:2", "/user/alice/": FRONT}
    assert route_faults(good, [entry], FRONT) == frozenset()
    assert route_faults({"alice.hub.example/user/alice/": FRONT}, [entry], FRONT) == frozenset()
    assert route_faults({}, [entry], FRONT) == {"/user/alice/"}
    assert route_faults({"/user/alice/": "http://127.0.0.1:5"}, [entry], FRONT) == {"/user/alice/"}
    assert route_faults({**good, "/user/bob/": FRONT}, [entry], FRONT) == {"/user/bob/"}
    assert route_faults({}, [replace(entry, ready=False)], FRONT) == frozenset()
    assert route_faults(good, [entry], FRONT, "/") == frozenset()
    assert (
        route_faults({"hub.example/": "http://x", "/user/alice/": FRONT}, [entry], FRONT, "/") == frozenset()
    )
    assert route_faults({"/user/alice/": FRONT}, [entry], FRONT, "/") == {"/"}
    odd = replace(entry, prefix="/user/a%40b/")
    assert route_faults({"/user/a@b/": FRONT}, [odd], FRONT) == frozenset()


async def test_a_route_deleted_by_hand_is_healed(mending: Mending) -> None:
    """The next comparison finds it and the hub puts it back."""
    hub = mending.here.hub
    hub.on_check = lambda: hub.routes.update({"/user/alice/": FRONT})
    keeper = RouteKeeper(mending.parts, FRONT, 1)
    await asyncio.wait_for(keeper.step(), 10)
    assert hub.routes == {"/user/alice/": FRONT}
    assert hub.checks == 1
    await asyncio.wait_for(keeper.step(), 10)
    assert hub.checks == 1


async def test_a_restarted_proxy_has_its_routes_at_once(mending: Mending) -> None:
    """When the proxy is first seen, and when its process has come back, the hub is asked without waiting."""
    slow = replace(mending.parts, tuning=Tuning(routes_every=3600))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    keeper = RouteKeeper(slow, FRONT, port)
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    watching = asyncio.create_task(keeper.watch_proxy())
    connection, _ = await asyncio.wait_for(loop.sock_accept(listener), 10)
    await asyncio.wait_for(keeper.step(), 10)
    assert mending.here.hub.checks == 1
    listener.close()
    connection.close()
    await asyncio.wait_for(watching, 10)
    watching = asyncio.create_task(keeper.watch_proxy())
    with socket.create_server(("127.0.0.1", port)):
        await asyncio.wait_for(keeper.step(), 10)
    assert mending.here.hub.checks == 2
    await asyncio.wait_for(watching, 10)


async def test_many_routes_come_in_pages(mending: Mending) -> None:
    """With more routes than a page holds none is missed."""
    mending.here.hub.routes = {f"/user/u{number:04}/": FRONT for number in range(450)}
    assert len(await mending.parts.hub.routes()) == 450
    for number in range(450):
        mending.here.hub.add(f"u{number:04}")
    assert len(await mending.parts.hub.servers()) == 451
