"""Which rule holds when, in a time zone whose clocks are set, and until when?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.lifetimes import (
    InForce,
    LifetimeRule,
    Lifetimes,
    Subject,
    Weekly,
    in_force,
    limits,
)
from jupyter_sandbox_spawner.rules.weekly_hours import WHOLE_WEEK, minutes_of, spans

BERLIN = "Europe/Berlin"
EVERY_DAY = tuple(range(7))
NIGHT = Weekly(days=EVERY_DAY, begins=20 * 60, ends=6 * 60)
WEEKEND = Weekly(days=(5, 6), begins=0, ends=1440)
ANYBODY = Subject(profile="cpu", idle_timeout=3600)
UNHURRIED = settings(deadline=None, max_examples=30)


def utc(month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    """An instant of 2026."""
    return datetime(2026, month, day, hour, minute, tzinfo=timezone.utc)


def closed(*hours: Weekly, zone: str = BERLIN) -> Lifetimes:
    """One rule that closes in these hours."""
    return Lifetimes(timezone=zone, rules=(LifetimeRule(name="nights", hours=hours, closed=True),))


def test_hours_over_midnight_hold_on_both_days() -> None:
    """From 20:00 to 06:00 it is closed, and the next opening and closing are known on both sides."""
    book = closed(NIGHT)
    for now in (utc(11, 25, 19), utc(11, 26, 0), utc(11, 26, 4, 59)):
        found = in_force(book, now, ANYBODY)
        assert (found.rule, found.since, found.closed_until) == ("nights", utc(11, 25, 19), utc(11, 26, 5))
    for now in (utc(11, 25, 18, 59), utc(11, 25, 12)):
        found = in_force(book, now, ANYBODY)
        assert (found.rule, found.closed_until, found.closes_at) == ("", None, utc(11, 25, 19))
        assert (found.since, found.changes_at) == (utc(11, 25, 5), utc(11, 25, 19))


def test_a_night_and_a_weekend_are_one_closure() -> None:
    """Where one rule's hours or two closing rules touch, it opens when all of them are over."""
    weekend = LifetimeRule(name="weekends", hours=(WEEKEND,), closed=True)
    book = Lifetimes(timezone=BERLIN, rules=(weekend, *closed(NIGHT).rules))
    found = in_force(book, utc(11, 28, 12), ANYBODY)
    assert (found.rule, found.since, found.closed_until) == ("weekends", utc(11, 27, 19), utc(11, 30, 5))


# Clocks go from 02:00 to 03:00 on 29 March and from 03:00 to 02:00 on 25 October 2026.
CHANGES = (
    ("the hour that does not exist", utc(3, 29), (120, 180), None),
    ("half of it", utc(3, 29), (120, 150), None),
    ("into it: until the skip", utc(3, 29), (60, 150), (utc(3, 29, 0), utc(3, 29, 1))),
    ("out of it: from the skip", utc(3, 29), (150, 240), (utc(3, 29, 1), utc(3, 29, 2))),
    ("over it: an hour less", utc(3, 28), (1200, 360), (utc(3, 28, 19), utc(3, 29, 4))),
    ("the hour that comes twice", utc(10, 25), (120, 180), (utc(10, 25, 0), utc(10, 25, 2))),
    ("into it: until the second time", utc(10, 25), (60, 150), (utc(10, 24, 23), utc(10, 25, 1, 30))),
    ("out of it: from the first time", utc(10, 25), (150, 240), (utc(10, 25, 0, 30), utc(10, 25, 3))),
    ("over it: an hour more", utc(10, 24), (1200, 360), (utc(10, 24, 18), utc(10, 25, 5))),
)


@pytest.mark.parametrize(("name", "day", "hours", "span"), CHANGES, ids=[row[0] for row in CHANGES])
def test_hours_on_days_when_clocks_are_set(
    name: str, day: datetime, hours: tuple[int, int], span: tuple[datetime, datetime] | None
) -> None:
    """Hours begin when a clock shows them first and end when it shows them last."""
    weekly = Weekly(days=EVERY_DAY, begins=hours[0], ends=hours[1])
    found = list(spans([weekly], BERLIN, day.toordinal(), day.toordinal()))
    assert found == ([span] if span else [])


def test_the_first_match_by_profile_group_gpu_wins_and_is_named() -> None:
    """Each condition leaves out who does not meet it; a rule's value takes the place of the profile's."""
    book = Lifetimes(
        rules=(
            LifetimeRule(name="gpus", gpu=True, gpu_idle_timeout=60),
            LifetimeRule(name="staff", groups=("staff", "ops"), never_idle=True),
            LifetimeRule(name="cpus", profiles=("cpu",), gpu=False, idle_timeout=60, max_age=600),
            LifetimeRule(name="rest", max_age=900),
        )
    )
    now = utc(11, 25)

    def holds(**facts: object) -> tuple[str, int | None, int | None]:
        found = in_force(book, now, Subject(**{"profile": "x", "idle_timeout": 5, **facts}))  # type: ignore[arg-type]
        return found.rule, found.idle_timeout, found.max_age

    assert holds(gpus=2, groups=["staff"]) == ("gpus", 5, None)
    assert holds(groups=["ops"]) == ("staff", None, None)
    assert holds(profile="cpu", groups=["guests"]) == ("cpus", 60, 600)
    assert holds() == ("rest", 5, 900)


def test_without_rules_the_profile_holds_for_ever() -> None:
    """No rule: nothing to look for again."""
    assert in_force(Lifetimes(), utc(11, 25), ANYBODY) == InForce(idle_timeout=3600)


def test_facts_of_a_record_become_limits() -> None:
    """A server that is not ready is not idle; the site's age gives way to a ttl, a rule's does not."""
    now = utc(11, 25)
    site = limits(InForce(idle_timeout=60), now, None, 600, False, ())
    assert (site.idle_timeout, site.max_age_at) == (None, now + timedelta(seconds=600))
    ready = limits(InForce(idle_timeout=60), now, now, 600, True, ())
    assert (ready.idle_timeout, ready.max_age_at, ready.deadline) == (60, None, now)
    ruled = limits(InForce(rule="tired", max_age=300), now, now, 600, True, ())
    assert ruled.max_age_at == now + timedelta(seconds=300)


hours = st.builds(
    Weekly,
    days=st.sets(st.integers(0, 6), min_size=1).map(lambda found: tuple(sorted(found))),
    begins=st.integers(0, 47).map(lambda half: half * 30),
    ends=st.integers(1, 48).map(lambda half: half * 30),
).filter(lambda weekly: weekly.begins != weekly.ends)
books = st.builds(
    Lifetimes,
    timezone=st.sampled_from([BERLIN, "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
    rules=st.lists(
        st.builds(
            LifetimeRule,
            name=st.sampled_from(["a", "b", "c"]),
            hours=st.lists(hours, min_size=1, max_size=3).map(tuple),
            closed=st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
)
instants = st.integers(0, 366 * 24 * 4).map(lambda quarter: utc(1, 1) + timedelta(minutes=15 * quarter))


def shown(book: Lifetimes, now: datetime) -> LifetimeRule | None:
    """The first rule by what a clock on the wall shows: right wherever no clock is set."""
    local = now.astimezone(ZoneInfo(book.timezone))
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    return next((rule for rule in book.rules if minutes_of(rule.hours) >> minute & 1), None)


def is_steady(book: Lifetimes, now: datetime) -> bool:
    """No clock is set there from the day before to the day after."""
    place, day = ZoneInfo(book.timezone), timedelta(days=1)
    return (now - day).astimezone(place).utcoffset() == (now + day).astimezone(place).utcoffset()


@UNHURRIED
@given(books, instants)
def test_the_rule_is_the_first_that_a_clock_on_the_wall_names(book: Lifetimes, now: datetime) -> None:
    """Reckoned by spans and by minutes of the week, it is the same rule; closed never looks open."""
    found, rule = in_force(book, now, ANYBODY), shown(book, now)
    if is_steady(book, now):
        assert found.rule == (rule.name if rule else "")
        assert (found.closed_until is not None) == (rule is not None and rule.closed)


@UNHURRIED
@given(books, instants)
def test_the_instants_that_are_told_are_kept(book: Lifetimes, now: datetime) -> None:
    """It changes, closes and opens when it was said, not before."""
    found = in_force(book, now, ANYBODY)
    second = timedelta(seconds=1)
    if found.changes_at is not None:
        assert found.changes_at > now
        before = in_force(book, max(found.changes_at - second, now), ANYBODY)
        assert (before.rule, before.closed_until) == (found.rule, found.closed_until)
    if found.since is not None:
        assert found.since <= now
    if found.closes_at is not None:
        assert in_force(book, found.closes_at, ANYBODY).closed_until is not None
        assert in_force(book, found.closes_at - second, ANYBODY).closed_until is None
    if found.closed_until is not None and found.closed_until - now < timedelta(days=8):
        assert in_force(book, found.closed_until, ANYBODY).closed_until is None
        assert in_force(book, found.closed_until - second, ANYBODY).closed_until == found.closed_until


def test_hours_as_minutes_of_a_week() -> None:
    """Sunday night runs into Monday; no hours are all hours."""
    sunday = minutes_of([Weekly(days=(6,), begins=1439, ends=1)])
    assert sunday == 1 | 1 << (7 * 1440 - 1)
    assert minutes_of([]) == WHOLE_WEEK == minutes_of([Weekly(days=EVERY_DAY, begins=0, ends=1440)])
