"""Is what was used counted once, on the right day, for the right people and at the right price?"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.rules.prices import Prices, cost
from jupyter_sandbox_spawner.rules.usage import GB, Holding, Portion, Used, advance, between, days_of, summed

NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
HOUR = 3600.0


def test_a_counter_counts_what_was_added_since() -> None:
    """A missed reading loses nothing: the next one has it all."""
    assert advance(10.0, 25.0) == 15.0


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    """A reading below the one before is a new counter, and all of it was used since."""
    assert advance(10.0, 4.0) == 4.0


def test_the_first_reading_counts_whole_and_none_counts_nothing() -> None:
    """A sandbox's processor time begins at zero; what cannot be measured is not guessed."""
    assert (advance(None, 4.0), advance(10.0, None), advance(None, None)) == (4.0, 0.0, 0.0)


def test_days_begin_at_midnight_utc() -> None:
    """Two and a half days are three dates, with the seconds of each."""
    found = list(days_of(NOON, NOON + timedelta(days=2)))
    assert found == [
        (date(2026, 11, 25), 12 * HOUR),
        (date(2026, 11, 26), 24 * HOUR),
        (date(2026, 11, 27), 12 * HOUR),
    ]


def test_days_of_other_zones_are_those_of_utc() -> None:
    """One o'clock at night in UTC+2 is the day before."""
    there = datetime(2026, 11, 26, 1, tzinfo=timezone(timedelta(hours=2)))
    assert [day for day, _ in days_of(there, there + timedelta(minutes=5))] == [date(2026, 11, 25)]


def test_no_time_is_no_day() -> None:
    """An end at the beginning, or before it as after a clock was set back, is nothing."""
    assert list(days_of(NOON, NOON)) == list(days_of(NOON, NOON - timedelta(hours=1))) == []


def test_use_is_shared_out_over_midnight() -> None:
    """Memory and devices by time, processor time by the seconds of each day."""
    late = NOON + timedelta(hours=11)
    found = between(late, late + timedelta(hours=4), Holding(memory=2 * GB, gpus=1), 400.0)
    first, second = date(2026, 11, 25), date(2026, 11, 26)
    assert found[first] == Used(seconds=HOUR, cpu_seconds=100.0, gb_seconds=2 * HOUR, gpu_seconds=HOUR)
    assert found[second].cpu_seconds == 300.0
    assert sum((item for item in found.values()), Used()).seconds == 4 * HOUR


def test_a_last_reading_after_the_end_is_not_lost() -> None:
    """Processor time that is read after the end counts on the day of the end, and adds no time."""
    assert between(NOON, NOON, Holding(memory=GB), 7.0) == {NOON.date(): Used(cpu_seconds=7.0)}


def portion(user: str, *groups: str, kind: str = "", gpu: float = 0.0) -> Portion:
    """An hour of one processor."""
    used = Used(seconds=HOUR, cpu_seconds=HOUR, gpu_seconds=gpu)
    return Portion(used=used, user=user, groups=groups, profile="cpu", day="2026-11-25", gpu_kind=kind)


def test_a_user_in_two_groups_counts_in_both_and_once_in_the_total() -> None:
    """By group the lines add up to more than the total; one without a group has a line too."""
    found = [portion("alice", "physics", "staff"), portion("bob", "physics"), portion("carol")]
    lines, total = summed(found, "group", Prices())
    assert {line.name: line.used.seconds / HOUR for line in lines} == {"": 1, "physics": 2, "staff": 1}
    assert total.used.seconds == 3 * HOUR


@pytest.mark.parametrize(
    ("by", "names"), [("user", ["alice", "bob"]), ("profile", ["cpu"]), ("day", ["2026-11-25"])]
)
def test_lines_are_named_by_what_was_asked(by: str, names: list[str]) -> None:
    """Each name once, in order."""
    wanted = {"user": "user", "profile": "profile", "day": "day"}
    found = [portion("bob"), portion("alice"), portion("bob")]
    lines, _ = summed(found, wanted[by], Prices())  # type: ignore[arg-type]
    assert [line.name for line in lines] == names


def test_without_prices_nothing_has_a_cost() -> None:
    """No currency, no cost: not even 0."""
    lines, total = summed([portion("alice")], "user", Prices())
    assert (lines[0].cost, total.cost) == (None, None)


def test_kinds_of_gpu_have_their_own_price_and_any_is_that_of_the_others() -> None:
    """A MIG instance costs its own, every other kind what `any` says."""
    prices = Prices(currency="EUR", cpu_hour=0.5, gpu_hour={"any": 2.0, "mig-1g.10gb": 0.25})
    assert cost(prices, 2, 100, {"mig-1g.10gb": 4, "nvidia-h100": 3}) == 1 + 1 + 6
    found = [portion("alice", kind="mig-1g.10gb", gpu=HOUR), portion("alice", kind="nvidia-h100", gpu=HOUR)]
    lines, _ = summed(found, "user", prices)
    assert lines[0].cost == 2 * 0.5 + 0.25 + 2.0
    assert lines[0].gpu_seconds == {"mig-1g.10gb": HOUR, "nvidia-h100": HOUR}
