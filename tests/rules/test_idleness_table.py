"""In which situation does a server run on, is its user warned or asked to save, and when does it end?

Each row is one moment of a server that is ready since 12:00 UTC on Wednesday, 25 November 2026. `h`, `m` and
`s` are hours, minutes and seconds after that; the site is in Berlin (13:00 there).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.rules.idleness import Signals, Verdict, Warned, decide
from jupyter_sandbox_spawner.rules.lifetimes import (
    LifetimeRule,
    Lifetimes,
    Subject,
    Weekly,
    in_force,
    limits,
)

START = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
EVERY_DAY = tuple(range(7))
WEEKEND = (5, 6)


def at(h: float = 0, m: float = 0, s: float = 0) -> datetime:
    """An instant after the server became ready."""
    return START + timedelta(hours=h, minutes=m, seconds=s)


def hours(begins: int, ends: int, days: tuple[int, ...] = EVERY_DAY) -> tuple[Weekly, ...]:
    """From and to full hours."""
    return (Weekly(days=days, begins=begins * 60, ends=ends * 60),)


def site(*rules: LifetimeRule) -> Lifetimes:
    """Berlin, with these rules."""
    return Lifetimes(timezone="Europe/Berlin", rules=rules)


UNSEEN = Signals()
NO_RULES = Lifetimes()
OLD_NIGHTS = site(LifetimeRule(name="old", hours=hours(20, 6), max_age=90_000))
FREE_NIGHTS = site(LifetimeRule(name="free", hours=hours(20, 6), never_idle=True))
NIGHTS = site(LifetimeRule(name="nights", hours=hours(20, 6), closed=True))
SHORT_NIGHTS = site(LifetimeRule(name="nights", hours=hours(20, 6), idle_timeout=900))
STAFF = LifetimeRule(name="staff", groups=("staff",), never_idle=True)
STAFF_FIRST = site(STAFF, *SHORT_NIGHTS.rules)
STAFF_LAST = site(*SHORT_NIGHTS.rules, STAFF)
WEEKENDS = site(LifetimeRule(name="weekends", hours=hours(0, 24, WEEKEND), idle_timeout=600))
GPUS = site(LifetimeRule(name="gpus", gpu=True, gpu_idle_timeout=1800))
TIRED = site(LifetimeRule(name="tired", max_age=7200))
SKIPPED = site(LifetimeRule(name="skipped", hours=hours(2, 3), closed=True))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A situation (see the columns in ROWS) and what must come of it."""

    name: str
    now: datetime
    gives: str
    ends: datetime | None = None
    rule: str = ""
    said: Signals = UNSEEN
    ttl: datetime | None = None
    idle: int | None = 3600
    warned: tuple[Warned, ...] = ()
    book: Lifetimes = NO_RULES
    groups: tuple[str, ...] = ()
    gpus: int = 0
    profile: str = "cpu"
    since: datetime = START
    max_age: int | None = None
    why: str = ""


def told(kind: str, ahead: int, end: datetime) -> tuple[Warned, ...]:
    """What was told last."""
    return (Warned(kind=kind, ahead=ahead, at=end),)  # type: ignore[arg-type]


def busy(said: datetime, used: datetime | None = None) -> Signals:
    """The server said at that moment that a kernel is busy."""
    return Signals(busy=True, said_at=said, said_used_at=used)


def gpu(worked: datetime | None, **others: object) -> Signals:
    """A GPU that worked last then, beside a person who uses pages all the time."""
    return Signals(gpu_used_at=worked, **others)  # type: ignore[arg-type]


DAY = 24.0
ROWS = (
    # Use, and what only looks like it
    Row(name="fresh", now=at(m=10), gives="keep", ends=at(1)),
    Row(name="unused", now=at(1), gives="stop idle", ends=at(1), why="It was not used for 1 h."),
    Row(name="a person uses it", now=at(5), said=Signals(door_used_at=at(4.9)), gives="keep", ends=at(5.9)),
    Row(name="a script computes without a kernel", now=at(5), said=Signals(cpu_used_at=at(5)), gives="keep",
        ends=at(6)),
    Row(name="running cell for 3 days", now=at(72), said=busy(at(72, s=-20), START), gives="keep",
        why="busy"),
    Row(name="running cell, its page closed, quiet", now=at(72), said=busy(at(72), at(1)), gives="keep"),
    Row(name="busy terminal", now=at(9), said=Signals(said_used_at=at(9), said_at=at(9)), gives="keep",
        ends=at(10)),
    Row(name="tab left open overnight", now=at(14), said=Signals(said_at=at(14), door_used_at=at(0.5)),
        gives="stop idle", ends=at(1.5)),
    Row(name="busy word two minutes old", now=at(5, s=120), said=busy(at(5)), gives="keep"),
    Row(name="busy word stale: idleness counts from it", now=at(5, s=121), said=busy(at(5)), gives="keep",
        ends=at(6)),
    Row(name="busy word an hour old", now=at(6), said=busy(at(5)), gives="stop idle", ends=at(6)),
    Row(name="busy until its time is up", now=at(8), said=busy(at(8)), ttl=at(8), gives="stop ttl",
        ends=at(8)),
    Row(name="busy, its time nearly up", now=at(7.5), said=busy(at(7.5)), ttl=at(8), gives="warn ttl 1800",
        ends=at(8), why="save your work"),
    Row(name="faked: used in the future", now=at(1), said=Signals(said_used_at=at(9), door_used_at=at(9)),
        gives="stop idle", ends=at(1)),
    Row(name="faked: busy in the future", now=at(1), said=busy(at(1, s=1)), gives="stop idle", ends=at(1)),
    Row(name="faked: a flood of busy words", now=at(9), said=busy(at(9), at(9)), ttl=at(8), gives="stop ttl",
        ends=at(8)),
    Row(name="faked: a flood of words that it is used", now=at(9), said=Signals(said_used_at=at(9)),
        max_age=7200, gives="stop max_age", ends=at(2)),
    # Clocks, sleep, downtime
    Row(name="clock jumps back", now=at(m=30), said=Signals(door_used_at=at(2), floor=at(m=30)),
        gives="keep", ends=at(1.5)),
    Row(name="clock jumps ahead", now=at(9), said=Signals(floor=at(9)), gives="keep", ends=at(10)),
    Row(name="laptop asleep, cell goes on", now=at(9), said=busy(at(9), at(0.2)), gives="keep"),
    Row(name="laptop asleep, nothing runs", now=at(1.2), said=Signals(door_used_at=at(0.2)),
        gives="stop idle", ends=at(1.2)),
    Row(name="control away over the deadline", now=at(9), said=busy(at(9)), ttl=at(8), gives="stop ttl",
        ends=at(8), why="Its time was up after 9 h."),
    Row(name="control away over the end of idleness", now=at(2), gives="stop idle", ends=at(1)),
    Row(name="control away over a rule's end: told first", now=at(9), book=SHORT_NIGHTS, rule="nights",
        said=Signals(door_used_at=at(7.5)), gives="warn idle 120", ends=at(9, m=2)),
    Row(name="told after that, time passed", now=at(9, m=2), book=SHORT_NIGHTS, rule="nights",
        said=Signals(door_used_at=at(7.5)), warned=told("idle", 30, at(9, m=2)), gives="stop idle",
        ends=at(9, m=2)),
    # Warnings and saving
    Row(name="first warning", now=at(7.5), idle=None, ttl=at(8), gives="warn ttl 1800", ends=at(8)),
    Row(name="no warning twice", now=at(7.6), idle=None, ttl=at(8), warned=told("ttl", 1800, at(8)),
        gives="keep", ends=at(8)),
    Row(name="moved end: warned anew", now=at(8, m=50), idle=None, ttl=at(9), warned=told("ttl", 120, at(8)),
        gives="warn ttl 600", ends=at(9)),
    Row(name="asked to save", now=at(7, m=59, s=30), idle=None, ttl=at(8), warned=told("ttl", 120, at(8)),
        gives="save ttl 30", ends=at(8), why="saved now"),
    Row(name="late: warned before it is asked to save", now=at(7, m=59, s=50), idle=None, ttl=at(8),
        gives="warn ttl 120", ends=at(8)),
    Row(name="saving is not use", now=at(1), said=Signals(cpu_used_at=at(1, s=-5), said_used_at=at(1, s=-8)),
        warned=told("idle", 30, at(1)), gives="stop idle", ends=at(1)),
    Row(name="saving to a remote place is not use", now=at(1), said=Signals(egress_used_at=at(1, s=-5)),
        warned=told("idle", 30, at(1)), gives="stop idle", ends=at(1)),
    Row(name="a person while it is saved is use", now=at(1), said=Signals(door_used_at=at(1, s=-5)),
        warned=told("idle", 30, at(1)), gives="keep", ends=at(2, s=-5)),
    Row(name="a download is use", now=at(1), said=Signals(egress_used_at=at(0.9)),
        warned=told("idle", 600, at(1)), gives="keep", ends=at(1.9)),
    Row(name="a warning in a terminal is not use", now=at(m=31), said=Signals(said_used_at=at(m=30, s=9)),
        warned=told("idle", 1800, at(1)), gives="keep", ends=at(1)),
    Row(name="somebody comes after the warning", now=at(m=59), said=Signals(door_used_at=at(m=58)),
        warned=told("idle", 120, at(1)), gives="keep", ends=at(1, m=58)),
    Row(name="extended up to the cap", now=at(11.9), idle=None, ttl=at(12), gives="warn ttl 600",
        ends=at(12)),
    # GPUs
    Row(name="GPU idle, kernel says busy", now=at(9), book=GPUS, gpus=1, rule="gpus", said=gpu(at(2),
        busy=True, said_at=at(9), door_used_at=at(9)), gives="keep"),
    Row(name="GPU idle and quiet", now=at(3), book=GPUS, gpus=1, said=gpu(at(2.5), door_used_at=at(3)),
        warned=told("gpu_idle", 30, at(3)), gives="stop gpu_idle", ends=at(3), rule="gpus",
        why="Its GPU did not work for 30 min, by the rule gpus."),
    Row(name="GPU idle soon", now=at(3, m=-2), book=GPUS, gpus=1, said=gpu(at(2.5), door_used_at=at(2.9)),
        gives="warn gpu_idle 120", ends=at(3), rule="gpus", why="work on the GPU keeps it"),
    Row(name="GPU works", now=at(3), book=GPUS, gpus=1, said=gpu(at(3), door_used_at=at(3)), gives="keep",
        ends=at(3.5), rule="gpus"),
    Row(name="GPU not measured", now=at(9), book=GPUS, gpus=1, said=gpu(None, door_used_at=at(9)),
        gives="keep", ends=at(10)),
    Row(name="GPU in the future", now=at(m=29), book=GPUS, gpus=1, said=gpu(at(9), door_used_at=at(m=29)),
        gives="warn gpu_idle 120", ends=at(m=30), rule="gpus"),
    Row(name="rule for GPUs, server without one", now=at(9), book=GPUS, said=gpu(at(2), door_used_at=at(9)),
        gives="keep", ends=at(10)),
    # Kept on request
    Row(name="kept past its idle limit", now=at(2), said=Signals(keep_until=at(4)), gives="keep", ends=at(4),
        why="You asked to keep it until 16:00 UTC."),
    Row(name="kept until then, not longer", now=at(4), said=Signals(keep_until=at(4)), gives="stop idle",
        ends=at(4)),
    Row(name="kept past the ttl", now=at(8), said=Signals(keep_until=at(20)), ttl=at(8), gives="stop ttl",
        ends=at(8)),
    Row(name="kept into closed hours", now=at(7), said=Signals(keep_until=at(20)), book=NIGHTS,
        warned=told("schedule", 30, at(7)), gives="stop schedule", ends=at(7), rule="nights"),
    # Schedules: 20:00 in Berlin is 19:00 UTC in winter, `h` 7
    Row(name="before the night", now=at(6), said=busy(at(6)), book=NIGHTS, gives="keep", ends=at(7),
        rule="nights"),
    Row(name="night ahead", now=at(6.5), said=busy(at(6.5)), book=NIGHTS, gives="warn schedule 1800",
        ends=at(7), rule="nights", why="It stops at 20:00 (Europe/Berlin), in 30 min, because no server"),
    Row(name="night begins, busy or not", now=at(7), said=busy(at(7)), book=NIGHTS, rule="nights",
        warned=told("schedule", 30, at(7)), gives="stop schedule", ends=at(7)),
    Row(name="after midnight it is still the same night", now=at(13), said=busy(at(13)), book=NIGHTS,
        rule="nights", warned=told("schedule", 30, at(7)), gives="stop schedule", ends=at(7)),
    Row(name="rule written at midnight: told first", now=at(11), said=busy(at(11)), book=NIGHTS,
        rule="nights", gives="warn schedule 120", ends=at(11, m=2)),
    Row(name="night rule begins: never at once", now=at(7), said=Signals(door_used_at=at(6.5)),
        rule="nights", book=SHORT_NIGHTS, gives="warn idle 120", ends=at(7, m=2)),
    Row(name="shorter at night", now=at(9), said=Signals(door_used_at=at(9)), book=SHORT_NIGHTS,
        gives="keep", ends=at(9.25), rule="nights"),
    Row(name="by day the profile's own", now=at(19), said=Signals(door_used_at=at(18.9)), book=SHORT_NIGHTS,
        gives="keep", ends=at(19.9)),
    # A night in which idleness ends nothing is over at 05:00 UTC, `h` 17
    Row(name="free night", now=at(16.9), said=Signals(door_used_at=at(6.9)), book=FREE_NIGHTS, gives="keep",
        rule="free"),
    Row(name="the morning after a free night: told first", now=at(17), said=Signals(door_used_at=at(6.9)),
        book=FREE_NIGHTS, gives="warn idle 120", ends=at(17, m=2)),
    Row(name="nobody looked that morning: told first", now=at(18), said=Signals(door_used_at=at(6.9)),
        book=FREE_NIGHTS, gives="warn idle 120", ends=at(18, m=2)),
    Row(name="told, and unused still", now=at(17, m=2), said=Signals(door_used_at=at(6.9)),
        warned=told("idle", 30, at(17, m=2)), book=FREE_NIGHTS, gives="stop idle", ends=at(17, m=2)),
    Row(name="unused by day after a free night", now=at(20), said=Signals(door_used_at=at(18)),
        book=FREE_NIGHTS, gives="stop idle", ends=at(19)),
    Row(name="the site's age after a rule's longer one", now=at(17), said=busy(at(17)), max_age=7200,
        book=OLD_NIGHTS, gives="warn max_age 120", ends=at(17, m=2)),
    Row(name="weekend", now=at(3 * DAY), said=Signals(door_used_at=at(3 * DAY)), book=WEEKENDS, gives="keep",
        ends=at(3 * DAY, m=10), rule="weekends"),
    Row(name="no weekend", now=at(1 * DAY), said=Signals(door_used_at=at(1 * DAY)), book=WEEKENDS,
        gives="keep", ends=at(1 * DAY + 1)),
    Row(name="spring: hours that do not exist close nothing", since=datetime(2026, 3, 28, 20,
        tzinfo=timezone.utc), now=datetime(2026, 3, 29, 1, tzinfo=timezone.utc), idle=None, book=SKIPPED,
        gives="keep", rule="skipped", ends=datetime(2026, 3, 30, 0, tzinfo=timezone.utc)),
    Row(name="autumn: the hour that comes twice is closed twice", idle=None, book=SKIPPED, rule="skipped",
        since=datetime(2026, 10, 24, 20, tzinfo=timezone.utc), gives="stop schedule", now=datetime(2026, 10,
        25, 1, 30, tzinfo=timezone.utc), ends=datetime(2026, 10, 25, 0, tzinfo=timezone.utc),
        warned=told("schedule", 30, datetime(2026, 10, 25, 0, tzinfo=timezone.utc))),
    # Who is meant
    Row(name="exempt group", now=at(12), book=STAFF_FIRST, groups=("staff",), gives="keep", rule="staff",
        why="It has no time limit, by the rule staff."),
    Row(name="not of that group", now=at(9), book=STAFF_FIRST, groups=("guests",), rule="nights",
        said=Signals(door_used_at=at(9)), gives="keep", ends=at(9.25)),
    Row(name="first match wins", now=at(9), book=STAFF_LAST, groups=("staff",), rule="nights",
        said=Signals(door_used_at=at(9)), gives="keep", ends=at(9.25)),
    Row(name="profile that no rule knows", now=at(1), profile="gone", gives="stop idle", ends=at(1),
        book=site(LifetimeRule(name="cpus", profiles=("cpu",), never_idle=True))),
    Row(name="profile that a rule knows", now=at(1), gives="keep", rule="cpus",
        book=site(LifetimeRule(name="cpus", profiles=("cpu",), never_idle=True))),
    Row(name="a rule's age, busy or not", now=at(2), said=busy(at(2)), book=TIRED, rule="tired",
        warned=told("max_age", 30, at(2)), gives="stop max_age", ends=at(2)),
    Row(name="a rule's age beside a ttl", now=at(1.5), said=busy(at(1.5)), book=TIRED, ttl=at(8),
        rule="tired", gives="warn max_age 1800", ends=at(2)),
    Row(name="the site's age only without a ttl", now=at(3), said=busy(at(3)), ttl=at(8), max_age=7200,
        gives="keep", ends=at(8)),
)  # fmt: skip


def decided(row: Row) -> Verdict:
    """What the rules say of that row."""
    subject = Subject(profile=row.profile, groups=row.groups, gpus=row.gpus, idle_timeout=row.idle)
    rule = in_force(row.book, row.now, subject)
    return decide(row.now, limits(rule, row.since, row.ttl, row.max_age, True, row.warned), row.said)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_each_situation(row: Row) -> None:
    """Action, kind and instant of the end, its rule, and words of the reason."""
    found = decided(row)
    words = row.gives.split()
    assert found.action == words[0], found
    if words[1:]:
        assert found.code == f"{'stop' if found.action == 'stop' else 'warning'}.{words[1]}"
    if words[2:]:
        assert found.warned == Warned(kind=words[1], ahead=int(words[2]), at=found.at)  # type: ignore[arg-type]
    assert (found.at, found.rule) == (row.ends, row.rule), found
    assert row.why in found.why


def test_the_table_is_whole() -> None:
    """At least forty situations, each with a name of its own."""
    assert len({row.name for row in ROWS}) == len(ROWS) >= 40
