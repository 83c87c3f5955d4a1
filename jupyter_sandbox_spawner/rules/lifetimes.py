"""Which limits of time hold for a server at this moment? The admin's rules, the first that matches, by name.

Law: a rule is chosen by profile, group, GPU and the hour in the site's time zone; where none matches the
profile's own limits hold. A rule's value takes the place of the profile's, and what it does not say stays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from .idleness import WARNINGS, Limits, Warned

__all__ = [
    "LONGEST_KEEP",
    "InForce",
    "LifetimeRule",
    "Lifetimes",
    "Subject",
    "Weekly",
    "in_force",
    "limits",
]

LONGEST_KEEP = 8 * 3600


@dataclass(frozen=True, kw_only=True)
class Weekly:
    """Hours of a week in the site's time zone: on `days` (0 = Monday) from minute `begins` of that day until
    minute `ends`; where `ends` is not after `begins`, of the next day."""

    days: tuple[int, ...]
    begins: int
    ends: int


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

    `closed_until`: it is closed now, until then. `closes_at`: the next instant at which it will be.
    `changes_at`: when another rule may match. See rules/idleness.py Limits, which these become.
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


def in_force(lifetimes: Lifetimes, now: datetime, subject: Subject) -> InForce:
    """The first rule that matches now, worked into the profile's limits; pure."""
    return InForce(idle_timeout=subject.idle_timeout, warnings=lifetimes.warnings)


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
        closes_at=rule.since if rule.closed_until else rule.closes_at,
        rule=rule.rule,
        since=rule.since,
        changes_at=rule.changes_at,
        warned=warned,
        warnings=rule.warnings,
    )
