"""Which limits of time hold for a server at this moment? The admin's rules, the first that matches, by name.

Law: a rule is chosen by profile, group, GPU and the hour in the site's time zone; where none matches the
profile's own limits hold. A rule's value takes the place of the profile's, and what it does not say stays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from .ends import EndKind
from .idleness import WARNINGS, Limits, Warned
from .weekly_hours import Weekly, local_day, spans

__all__ = [
    "LONGEST_KEEP",
    "InForce",
    "LifetimeRule",
    "Lifetimes",
    "Subject",
    "Weekly",
    "concerns",
    "in_force",
    "limits",
]

LONGEST_KEEP = 8 * 3600
# Hours repeat each week; one more week ahead, because on the day of a time change some do not exist.
_BACK = 9
_AHEAD = 15
_Turn = tuple[datetime, "int | None"]


@dataclass(frozen=True, kw_only=True)
class LifetimeRule:
    """One rule. None in a condition: any; in a limit: the profile's. Seconds.

    `gpu` True: only servers with a GPU. `closed`: in these hours nothing may start and what runs ends.
    `never_idle`: idleness ends nothing here.
    """

    name: str
    profiles: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    gpu: bool | None = None
    hours: tuple[Weekly, ...] = ()
    idle_timeout: int | None = None
    gpu_idle_timeout: int | None = None
    max_age: int | None = None
    never_idle: bool = False
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class Lifetimes:
    """The section `lifetime`. `timezone` is an IANA name; `warnings` are seconds before an end, falling;
    `keep_alive` is how far ahead a user may ask to be kept (0: not at all)."""

    timezone: str = "UTC"
    warnings: tuple[int, ...] = WARNINGS
    keep_alive: int = LONGEST_KEEP
    rules: tuple[LifetimeRule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose limits? `idle_timeout` is the profile's own."""

    profile: str
    groups: Collection[str] = ()
    gpus: int = 0
    idle_timeout: int | None = None


@dataclass(frozen=True, kw_only=True)
class InForce:
    """What holds now. `rule` "": no rule matched. `since`: when this began to hold, None: always.

    `closed_until`: it is closed now, until then; then `since` is when it closed. `closes_at`: the next
    instant at which it will be, by the rule `closing`. `changes_at`: when another rule matches. `by_rule`:
    the ends that `rule` sets itself. See rules/idleness.py Limits, which these become.
    """

    rule: str = ""
    idle_timeout: int | None = None
    gpu_idle_timeout: int | None = None
    max_age: int | None = None
    since: datetime | None = None
    closed_until: datetime | None = None
    closes_at: datetime | None = None
    changes_at: datetime | None = None
    warnings: tuple[int, ...] = WARNINGS
    closing: str = ""
    by_rule: frozenset[EndKind] = frozenset()
    timezone: str = "UTC"


def in_force(lifetimes: Lifetimes, now: datetime, subject: Subject) -> InForce:
    """The first rule that matches now, worked into the profile's limits; pure."""
    rules = [rule for rule in lifetimes.rules if concerns(rule, subject)]
    timed = tuple(rule.hours for rule in rules)
    turns = _turns(timed, lifetimes.timezone, local_day(now, lifetimes.timezone))
    here = bisect_right(turns, now, key=lambda turn: turn[0]) - 1

    def closing(turn: int) -> str:
        number = turns[turn][1]
        return rules[number].name if number is not None and rules[number].closed else ""

    begin, end = here, here + 1
    if closing(here):
        while begin > 0 and closing(begin - 1):
            begin -= 1
        end = next((turn for turn in range(here + 1, len(turns)) if not closing(turn)), len(turns))
    later = next((turn for turn in range(end, len(turns)) if closing(turn)), None)
    number = turns[here][1]
    found = _worked_in(lifetimes, subject, None if number is None else rules[number])
    # What held at the earliest turn held always: hours repeat.
    return replace(
        found,
        since=turns[begin][0] if begin else None,
        closed_until=_closed_until(turns, end) if closing(here) else None,
        closes_at=turns[later][0] if later is not None else None,
        closing=closing(here) or (closing(later) if later is not None else ""),
        changes_at=turns[here + 1][0] if here + 1 < len(turns) else None,
    )


def _closed_until(turns: Sequence[_Turn], end: int) -> datetime:
    # Closed for good, which no file may say: as far as one looks ahead.
    return turns[end][0] if end < len(turns) else turns[0][0] + timedelta(days=_BACK + _AHEAD)


def concerns(rule: LifetimeRule, subject: Subject) -> bool:
    """Is the rule for this server, in its hours?"""
    return (
        (rule.profiles is None or subject.profile in rule.profiles)
        and (rule.groups is None or not set(rule.groups).isdisjoint(subject.groups))
        and (rule.gpu is None or rule.gpu == (subject.gpus > 0))
    )


@lru_cache(maxsize=1024)
def _turns(timed: tuple[tuple[Weekly, ...], ...], zone: str, today: int) -> tuple[_Turn, ...]:
    """From when on which rule is the first that matches (its number), some days back and ahead."""
    first, last = today - _BACK, today + _AHEAD
    ranges = [_merged(spans(hours, zone, first - 2, last)) if hours else None for hours in timed]
    start = datetime.fromordinal(first).replace(tzinfo=timezone.utc)
    edges = {edge for found in ranges for side in found or () for edge in side if edge > start}
    turns: list[_Turn] = []
    for at in (start, *sorted(edges)):
        number = next((number for number, found in enumerate(ranges) if _covers(found, at)), None)
        if not turns or turns[-1][1] != number:
            turns.append((at, number))
    return tuple(turns)


def _merged(found: Iterable[tuple[datetime, datetime]]) -> tuple[list[datetime], list[datetime]]:
    """Begins and ends, in order, of spans that do not touch."""
    begins: list[datetime] = []
    ends: list[datetime] = []
    for begin, end in sorted(found):
        if ends and begin <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            begins.append(begin)
            ends.append(end)
    return begins, ends


def _covers(found: tuple[list[datetime], list[datetime]] | None, at: datetime) -> bool:
    if found is None:
        return True
    begins, ends = found
    number = bisect_right(begins, at) - 1
    return number >= 0 and at < ends[number]


def _worked_in(lifetimes: Lifetimes, subject: Subject, rule: LifetimeRule | None) -> InForce:
    plain = InForce(
        idle_timeout=subject.idle_timeout, warnings=lifetimes.warnings, timezone=lifetimes.timezone
    )
    if rule is None:
        return plain
    values: dict[EndKind, int | None] = {
        "idle": rule.idle_timeout,
        "gpu_idle": rule.gpu_idle_timeout,
        "max_age": rule.max_age,
    }
    idle = subject.idle_timeout if rule.idle_timeout is None else rule.idle_timeout
    return replace(
        plain,
        rule=rule.name,
        idle_timeout=None if rule.never_idle else idle,
        gpu_idle_timeout=None if rule.never_idle else rule.gpu_idle_timeout,
        max_age=rule.max_age,
        by_rule=frozenset(kind for kind, value in values.items() if value is not None),
    )


def limits(
    rule: InForce,
    started_at: datetime,
    deadline: datetime | None,
    site_max_age: int | None,
    ready: bool,
    warned: tuple[Warned, ...],
) -> Limits:
    """What decide() takes: the rule in force worked together with the facts of one record; pure.

    The site's max age holds only where there is no deadline, a rule's also beside one. A server that is not
    ready yet (it counts from its admission) is not idle.
    """
    if rule.max_age is not None:
        max_age: int | None = rule.max_age
    else:
        max_age = None if deadline else site_max_age
    return Limits(
        started_at=started_at,
        deadline=deadline,
        max_age_at=None if max_age is None else started_at + timedelta(seconds=max_age),
        idle_timeout=rule.idle_timeout if ready else None,
        gpu_idle_timeout=rule.gpu_idle_timeout if ready else None,
        closes_at=(rule.since or started_at) if rule.closed_until else rule.closes_at,
        closing=rule.closing,
        rule=rule.rule,
        since=rule.since,
        changes_at=rule.changes_at,
        warned=warned,
        warnings=rule.warnings,
        by_rule=rule.by_rule,
        timezone=rule.timezone,
    )
