"""Is what sandboxes use counted once, also when control or the launcher dies, and kept for the right name?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from jupyter_sandbox_spawner.control import ledger, records, usage_records
from jupyter_sandbox_spawner.control.accounting import Accounting
from jupyter_sandbox_spawner.control.adopting import Adopted, adopt
from jupyter_sandbox_spawner.control.parts import Parts
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.control.store import Store
from jupyter_sandbox_spawner.control.usage_report import usage_document
from jupyter_sandbox_spawner.errors import ConfigurationError, UnreachableError
from jupyter_sandbox_spawner.gpus import GpuDevice
from jupyter_sandbox_spawner.models import Resources, SandboxSpec
from jupyter_sandbox_spawner.rules.usage import Used

from .control_neighbours import asked, spec
from .control_street import Street, parts_of, street

HOUR = 3600.0
T = TypeVar("T")


class StoreThatDies(Store):
    """A database whose control ends after its second transaction."""

    def __init__(self, real: Store) -> None:
        self._real = real
        self._left = 2

    async def run(self, question: Callable[[Connection], T]) -> T:
        """The first two are committed."""
        self._left -= 1
        if self._left < 0:
            raise asyncio.CancelledError
        return await self._real.run(question)


class Metered:
    """Control's parts on a street, and the counting."""

    def __init__(self, here: Street, parts: Parts) -> None:
        self.here, self.parts = here, parts
        self.accounting = Accounting(parts, days=30)

    async def admit(self, wanted: SandboxSpec, *groups: str) -> None:
        """It is admitted now."""
        now = self.here.clock.now()
        request = replace(asked(wanted), groups=groups)
        await self.parts.store.run(lambda db: records.admit(db, request, now, None))

    async def release(self, wanted: SandboxSpec) -> None:
        """It ends now."""
        now = self.here.clock.now()
        await self.parts.store.run(lambda db: records.release(db, wanted.id, "ended.test", "", now))

    async def passes(self, seconds: float, step: float = 60.0) -> None:
        """Time goes by, and control counts as often as it does."""
        while seconds > 0:
            self.here.clock.pass_time(min(step, seconds))
            seconds -= step
            await self.accounting.count()

    async def used(self, by: str = "user", **more: str) -> dict[str, Used]:
        """The report's hours, as seconds."""
        query = {"by": by, "since": "2026-11-01", "until": "2026-11-30", **more}
        document = await usage_document(self.parts, query)
        items = [*document["items"], {**document["total"], "name": "total"}]
        return {
            item["name"]: Used(
                seconds=round(item["server_hours"] * HOUR, 2),
                cpu_seconds=round(item["cpu_hours"] * HOUR, 2),
                gb_seconds=round(item["memory_gb_hours"] * HOUR, 2),
                gpu_seconds=round(item["gpu_hours"] * HOUR, 2),
            )
            for item in items
        }


@pytest_asyncio.fixture
async def metered() -> AsyncIterator[Metered]:
    """A control that counts when it is told."""
    async with AsyncExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="cu", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(place)))
        yield Metered(here, await stack.enter_async_context(parts_of(here)))


async def test_time_memory_and_processors_are_counted(metered: Metered) -> None:
    """A server of 1 GB that computed half an hour of two, by user, group, profile and day."""
    wanted = spec()
    await metered.admit(wanted, "physics")
    metered.here.launcher.use(wanted.id, HOUR / 2)
    await metered.passes(2 * HOUR)
    two = Used(seconds=2 * HOUR, cpu_seconds=HOUR / 2, gb_seconds=2 * HOUR)
    names = {"user": "alice", "group": "physics", "profile": "cpu-small", "day": "2026-11-25"}
    for by, name in names.items():
        assert await metered.used(by) == {name: two, "total": two}


async def test_a_pass_again_adds_nothing(metered: Metered) -> None:
    """The same moment counted ten times is counted once."""
    wanted = spec()
    await metered.admit(wanted)
    metered.here.launcher.use(wanted.id, 30)
    await metered.passes(60)
    for _ in range(10):
        await metered.accounting.count()
    assert (await metered.used())["alice"] == Used(seconds=60, cpu_seconds=30, gb_seconds=60)


async def test_each_day_has_its_own_row(metered: Metered) -> None:
    """From noon over midnight to six: twelve hours and six, with one look a day."""
    wanted = spec()
    await metered.admit(wanted)
    await metered.passes(18 * HOUR, step=6 * HOUR)
    found = await metered.used("day")
    assert {day: used.seconds / HOUR for day, used in found.items()} == {
        "2026-11-25": 12,
        "2026-11-26": 6,
        "total": 18,
    }


async def test_what_ended_between_two_passes_is_counted_to_its_end(metered: Metered) -> None:
    """A sandbox that no pass ever saw: its time is exact, its processor time by the launcher's last word."""
    await metered.accounting.count()
    wanted = spec()
    await metered.admit(wanted)
    metered.here.clock.pass_time(20)
    await metered.release(wanted)
    metered.here.launcher.use(wanted.id, 7)  # gone, and read once more before it went
    await metered.passes(120)
    assert (await metered.used())["alice"] == Used(seconds=20, cpu_seconds=7, gb_seconds=20)


async def test_a_pass_that_is_cut_off_is_made_whole(
    metered: Metered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control that dies after the first sandboxes, and another an hour later: everything, once."""
    for number in range(6):
        wanted = spec(user=f"u{number}", nonce=str(number))
        await metered.admit(wanted)
        metered.here.launcher.use(wanted.id, 10)
    metered.here.clock.pass_time(HOUR)
    monkeypatch.setattr(usage_records, "PAGE", 2)
    with pytest.raises(asyncio.CancelledError):
        await Accounting(replace(metered.parts, store=StoreThatDies(metered.parts.store)), days=30).count()
    assert len(await metered.used()) == 2 + 1
    metered.here.clock.pass_time(HOUR)
    await metered.accounting.count()
    found = await metered.used()
    assert found["total"] == Used(seconds=12 * HOUR, cpu_seconds=60, gb_seconds=12 * HOUR)


async def test_a_launcher_that_is_away_is_made_up_for(metered: Metered) -> None:
    """Nothing is counted without readings; the next pass has all of the time and of the counter."""
    wanted = spec()
    await metered.admit(wanted)
    await metered.passes(60)
    await metered.here.close("launcher")
    metered.here.clock.pass_time(HOUR)
    with pytest.raises(UnreachableError):
        await metered.accounting.count()
    assert (await metered.used())["alice"].seconds == 60
    await metered.here.serve("launcher")
    metered.here.launcher.use(wanted.id, 99)
    await metered.passes(60)
    assert (await metered.used())["alice"] == Used(seconds=HOUR + 120, cpu_seconds=99, gb_seconds=HOUR + 120)


async def test_gpus_count_by_the_kind_that_the_ledger_has(metered: Metered) -> None:
    """Two devices for an hour are two hours, of their own kind; different ones are of any kind."""
    devices = [GpuDevice(id=f"GPU-{number}", kind=f"nvidia-{number // 3}") for number in range(4)]
    for user, given in (("alice", devices[:2]), ("bob", devices[2:])):
        wanted = spec(user, gpu_devices=tuple(device.id for device in given))
        await metered.admit(wanted)
        now = metered.here.clock.now()
        owner = ledger.Owner(sandbox=wanted.id, user=user, server="", profile="cpu-small")
        gives = partial(
            ledger.hold, now=now, owner=owner, resources=wanted.resources, groups=(), devices=given
        )
        await metered.parts.store.run(gives)
    await metered.passes(HOUR, step=HOUR)
    document = await usage_document(metered.parts, {"by": "user"})
    assert [item["gpu_hours_by_kind"] for item in document["items"]] == [{"nvidia-0": 2.0}, {"any": 2.0}]


async def test_a_member_of_two_groups_counts_in_both_and_once_in_all(metered: Metered) -> None:
    """Groups as they were at the admission."""
    await metered.admit(spec(), "physics", "staff")
    await metered.admit(spec(user="bob"), "staff")
    await metered.passes(HOUR, step=HOUR)
    found = await metered.used("group")
    assert {name: used.seconds / HOUR for name, used in found.items()} == {
        "physics": 1,
        "staff": 2,
        "total": 2,
    }


async def test_a_deleted_users_rows_are_kept_under_another_name(metered: Metered) -> None:
    """The next user of the name finds nothing, and the sum stays."""
    await metered.admit(spec())
    await metered.passes(60)
    await Stopper(metered.parts).forget_user("alice")
    await metered.accounting.count()
    found = await metered.used()
    assert found["total"].seconds == 60
    assert "alice" not in found
    assert [name for name in found if name.endswith("/alice")]
    assert (await metered.used(user="alice"))["total"].seconds == 0


async def test_a_clock_that_jumps_is_no_use(metered: Metered) -> None:
    """An hour that did not pass is not counted, forwards or backwards."""
    await metered.admit(spec())
    await metered.passes(60)
    for jump in (HOUR, -HOUR):
        metered.here.clock.jump(jump)
        await metered.parts.store.run(partial(usage_records.shift, jump=timedelta(seconds=jump)))
        await metered.passes(60)
    assert (await metered.used())["alice"].seconds == 180


async def test_an_adopted_server_is_counted_by_the_ledger(metered: Metered) -> None:
    """Its spec is lost: memory, devices and their kind are those that the ledger holds for it."""
    wanted, device = spec(), GpuDevice(id="GPU-1", kind="nvidia-h100")
    found = Adopted(
        id=wanted.id,
        user="alice",
        server="",
        profile="lab",
        ttl=None,
        idle_timeout=None,
        resources=Resources(cpu=1, memory=2 << 30),
        gpus=(device,),
    )
    now = metered.here.clock.now()
    await metered.parts.store.run(lambda db: adopt(db, found, now))
    await metered.passes(HOUR, step=600)
    assert (await metered.used())["alice"] == Used(seconds=HOUR, gb_seconds=2 * HOUR, gpu_seconds=HOUR)
    document = await usage_document(metered.parts, {"since": "2026-11-01", "until": "2026-11-30"})
    assert document["total"]["gpu_hours_by_kind"] == {"nvidia-h100": 1.0}


async def test_old_days_are_forgotten(metered: Metered) -> None:
    """Rows are kept for as many days as the site says."""
    wanted = spec()
    await metered.admit(wanted)
    await metered.passes(60)
    await metered.release(wanted)
    metered.here.clock.pass_time(29 * 86400)
    await metered.accounting.count()
    assert (
        len(await metered.parts.store.run(lambda db: usage_records.day_of(db, date(2026, 11, 25), "user")))
        == 1
    )
    metered.here.clock.pass_time(2 * 86400)
    await metered.accounting.count()
    assert not await metered.parts.store.run(lambda db: usage_records.day_of(db, date(2026, 11, 25), "user"))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "planet"}, "by"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-25", "until": "2026-11-24"}, "until"),
        ({"since": "1970-01-01"}, "until"),
        ({"since": "9999-12-01", "until": "9999-12-31"}, "until"),
    ],
)
async def test_a_question_that_makes_no_sense_is_told_so(
    metered: Metered, query: dict[str, str], field: str
) -> None:
    """The error names the field, the value and what to write."""
    with pytest.raises(ConfigurationError) as caught:
        await usage_document(metered.parts, query)
    assert (caught.value.field, caught.value.code) == (field, "wire.invalid")
    assert caught.value.remedy
