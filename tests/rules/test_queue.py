"""Does everybody in the queue for GPUs keep the place, get a turn, and read a time that holds?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.gpus import GpuDevice
from jupyter_sandbox_spawner.rules.queue import INTEREST, RESERVED, Taken, Waiting, givable, matches, settle

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
H100 = tuple(GpuDevice(id=f"GPU-{number}", kind="nvidia-h100") for number in range(3))
PART = GpuDevice(id="MIG-0", kind="mig-1g.10gb", parent="GPU-0")


def waits(number: int, count: int = 1, kind: str = "any", ttl: int | None = 3600) -> Waiting:
    """A ticket that is kept."""
    return Waiting(id=number, kind=kind, count=count, ttl=ttl, kept_until=NOON + INTEREST)


def taken(number: int, hours: float | None) -> Taken:
    """A GPU that is given, for so many hours."""
    return Taken(device=f"GPU-{number}", until=None if hours is None else NOON + timedelta(hours=hours))


@pytest.mark.parametrize(
    ("kind", "device", "fits"),
    [
        ("any", H100[0], True),
        ("nvidia-h100", H100[0], True),
        ("nvidia-a100", H100[0], False),
        ("any", PART, False),
        ("mig-1g.10gb", PART, True),
        ("mig-2g.20gb", PART, False),
    ],
)
def test_a_kind_is_exact_and_any_is_whole(kind: str, device: GpuDevice, fits: bool) -> None:
    """Parts of a GPU are given by their name only."""
    assert matches(device, kind) == fits


def test_a_gpu_is_given_whole_or_in_parts() -> None:
    """With an instance on it there, or given, it is not given whole; given whole, its instances are not."""
    assert H100[0] not in givable((*H100, PART))
    assert H100[0] not in givable(H100, [Taken(device="MIG-9", parent="GPU-0")])
    assert PART not in givable((*H100, PART), [Taken(device="GPU-0")])


def test_times_come_from_deadlines_in_order() -> None:
    """The n-th in the queue gets the n-th device that is freed, and later ones what those before free."""
    gone = [taken(0, 4), taken(1, 1), taken(2, 2)]
    queue = settle(NOON, H100, gone, [waits(number, ttl=7200) for number in range(1, 6)])
    hours = [(turn.eta - NOON) / timedelta(hours=1) if turn.eta else None for turn in queue.turns]
    assert hours == [1, 2, 3, 4, 4]
    assert [turn.position for turn in queue.turns] == [1, 2, 3, 4, 5]


def test_no_time_is_promised_where_there_is_no_deadline() -> None:
    """One that runs without end is counted on last, and then the time is unknown."""
    queue = settle(NOON, H100[:2], [taken(0, None), taken(1, 1)], [waits(1, ttl=None), waits(2), waits(3)])
    assert [turn.eta for turn in queue.turns] == [NOON + timedelta(hours=1), None, None]


def test_one_past_its_deadline_is_about_to_be_free() -> None:
    """It is not free yet, and the time is now."""
    (turn,) = settle(NOON, H100[:1], [taken(0, -1)], [waits(1)]).turns
    assert (turn.position, turn.eta, turn.devices) == (1, NOON, ())


def test_a_turn_is_reserved_and_outlives_others() -> None:
    """What was reserved stays so, also when somebody before it waits for more than is free."""
    first = settle(NOON, H100[:2], [taken(0, 1)], [waits(2)]).turns[0]
    assert first.waiting.reserved_until == NOON + RESERVED
    later = settle(NOON, H100[:2], [taken(0, 1)], [waits(1, count=2), first.waiting])
    assert [turn.position for turn in later.turns] == [1, 0]
    assert later.turns[1].devices == ("GPU-1",)


def test_a_reserved_device_that_is_gone_is_replaced() -> None:
    """The turn goes on with another device, or the place is kept."""
    first = settle(NOON, H100[:1], [], [waits(1)]).turns[0]
    assert settle(NOON, H100[1:], [], [first.waiting]).turns[0].devices == ("GPU-1",)
    kept = settle(NOON, H100[1:2], [taken(1, 1)], [first.waiting]).turns[0]
    assert (kept.position, kept.waiting.reserved_until) == (1, None)


def test_who_cannot_be_served_holds_up_nobody() -> None:
    """A ticket for more than there is now keeps its place without keeping devices."""
    queue = settle(NOON, H100[:1], [], [waits(1, count=2), waits(2)])
    assert [turn.devices for turn in queue.turns] == [(), ("GPU-0",)]


def test_places_count_those_who_want_the_same() -> None:
    """`any` and a product compete; a MIG profile does not."""
    queue = settle(
        NOON,
        (*H100[1:], PART),
        [taken(1, 1), taken(2, 1), Taken(device="MIG-0", parent="GPU-0")],
        [waits(1), waits(2, kind="mig-1g.10gb"), waits(3, kind="nvidia-h100")],
    )
    assert [turn.position for turn in queue.turns] == [1, 1, 2]


def test_turns_end_and_tickets_are_dropped() -> None:
    """At the end of its turn, or of what was promised, a ticket is not kept."""
    turn = settle(NOON, H100[:1], [], [waits(1)]).turns[0]
    assert settle(NOON + RESERVED, H100[:1], [], [turn.waiting]).turns == ()
    assert settle(NOON + INTEREST, H100[:1], [], [waits(1)]).turns == ()
