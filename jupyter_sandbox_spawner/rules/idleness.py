"""May this sandbox go on, must its user be warned, or does it end now, and why?

Law: what we measure (requests of people through the doors, CPU) ranks above what the sandbox says (a busy
kernel), and what it says only delays until the TTL or the max age. A running cell is never stopped for
idleness. An instant in the future proves nothing and is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ..units import format_duration

__all__ = ["CLAIM_FRESH", "CPU_IN_USE", "WARNINGS", "Limits", "Signals", "Verdict", "Warned", "decide"]

WARNINGS = (1800, 600, 120)
CPU_IN_USE = 0.05  # cores; an idle server with an open tab was measured well below 0.02
CLAIM_FRESH = 120  # seconds that "a kernel is busy" stays believed
_SOONEST = 1.0
_LATEST = 3600.0
EndKind = Literal["ttl", "max_age", "idle", "gpu_idle", "schedule"]


@dataclass(frozen=True, kw_only=True)
class Warned:
    """The last warning given: what for, how many seconds ahead, and the end it spoke of."""

    kind: EndKind
    ahead: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When one sandbox ends. None: no such limit. `deadline` is the sandbox TTL with its extensions.

    `gpu_idle_timeout`: seconds without work on its GPUs. `closes_at`: the next instant at which its schedule
    allows no server. `rule` names the rule that set these limits ("" the profile), in force since `since`:
    no idle end comes sooner after that than the shortest warning. `changes_at`: look again then, at the
    latest, since another rule may apply. `warnings`: seconds before an end, falling.
    """

    started_at: datetime
    deadline: datetime | None = None
    max_age_at: datetime | None = None
    idle_timeout: int | None = None
    warned: tuple[Warned, ...] = ()
    gpu_idle_timeout: int | None = None
    closes_at: datetime | None = None
    rule: str = ""
    since: datetime | None = None
    changes_at: datetime | None = None
    warnings: tuple[int, ...] = WARNINGS


@dataclass(frozen=True, kw_only=True)
class Signals:
    """When was it last used, by each witness? None: never, or not measured here.

    `door_used_at`: a person's request or message, or traffic out, through a door (a page's own polling does
    not count); `cpu_used_at`: the end of the last interval with CPU above CPU_IN_USE; `said_used_at`,
    `busy`, `said_at`: the server's own words; `floor`: idleness is not counted before it (a clock jumped).
    `gpu_used_at`: the end of the last interval in which one of its GPUs worked, None where none is measured
    (then no limit on idle GPUs ends it); `keep_until`: its user asked to be kept until then, which delays
    what idleness alone would end.
    """

    door_used_at: datetime | None = None
    cpu_used_at: datetime | None = None
    said_used_at: datetime | None = None
    busy: bool = False
    said_at: datetime | None = None
    floor: datetime | None = None
    gpu_used_at: datetime | None = None
    keep_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`keep`, `warn` (about an end at `at`) or `stop`; `why` is for people; look again at `next_check`."""

    action: Literal["keep", "warn", "stop"]
    code: str
    why: str
    next_check: datetime
    at: datetime | None = None
    warned: Warned | None = None
    idle_since: datetime | None = None
    rule: str = ""


@dataclass(frozen=True)
class _End:
    kind: EndKind
    at: datetime
    span: float


def decide(now: datetime, limits: Limits, signals: Signals) -> Verdict:
    """The one decision; pure."""
    idle_since = _idle_since(now, limits, signals)
    busy = _is_busy(now, signals)
    ends = sorted(_ends(limits, idle_since, busy), key=lambda end: end.at)
    if ends and ends[0].at <= now:
        return Verdict(
            action="stop",
            code=f"stop.{ends[0].kind}",
            why=_why_stopped(ends[0], limits, now),
            next_check=now + timedelta(seconds=_SOONEST),
            at=ends[0].at,
            idle_since=idle_since,
        )
    next_check = _next_check(now, limits, ends)
    for end in ends:
        warning = _due_warning(now, end, limits.warned)
        if warning is not None:
            return Verdict(
                action="warn",
                code=f"warning.{end.kind}",
                why=_why_warned(end, limits, now),
                next_check=next_check,
                at=end.at,
                warned=warning,
                idle_since=idle_since,
            )
    return Verdict(
        action="keep",
        code="keep.busy" if busy else "keep.within_limits",
        why=_why_kept(ends, busy),
        next_check=next_check,
        at=ends[0].at if ends else None,
        idle_since=idle_since,
    )


def _is_busy(now: datetime, signals: Signals) -> bool:
    if not signals.busy or signals.said_at is None or signals.said_at > now:
        return False
    return (now - signals.said_at).total_seconds() <= CLAIM_FRESH


def _idle_since(now: datetime, limits: Limits, signals: Signals) -> datetime:
    witnesses = (signals.door_used_at, signals.cpu_used_at, signals.said_used_at, signals.floor)
    past = [instant for instant in witnesses if instant is not None and instant <= now]
    return max([limits.started_at, *past])


def _ends(limits: Limits, idle_since: datetime, busy: bool) -> Iterator[_End]:
    if limits.deadline is not None:
        yield _End("ttl", limits.deadline, (limits.deadline - limits.started_at).total_seconds())
    if limits.max_age_at is not None:
        yield _End("max_age", limits.max_age_at, (limits.max_age_at - limits.started_at).total_seconds())
    if limits.idle_timeout is not None and not busy:
        end = idle_since + timedelta(seconds=limits.idle_timeout)
        yield _End("idle", end, limits.idle_timeout)


def _thresholds(span: float) -> tuple[int, ...]:
    # A server that lives less than a warning's lead is warned at half of its time instead of at once.
    fitting = tuple(ahead for ahead in WARNINGS if ahead < span)
    return fitting or (max(int(span / 2), 1),)


def _due_warning(now: datetime, end: _End, warned: tuple[Warned, ...]) -> Warned | None:
    left = (end.at - now).total_seconds()
    due = [ahead for ahead in _thresholds(end.span) if left <= ahead]
    if not due:
        return None
    for old in warned:
        same_end = old.kind == end.kind and abs((old.at - end.at).total_seconds()) < 1
        if same_end and old.ahead <= min(due):
            return None
    return Warned(kind=end.kind, ahead=min(due), at=end.at)


def _next_check(now: datetime, limits: Limits, ends: list[_End]) -> datetime:
    waits = [_LATEST]
    for end in ends:
        left = (end.at - now).total_seconds()
        waits.append(left)
        waits += [left - ahead for ahead in _thresholds(end.span) if left > ahead]
    if limits.idle_timeout is not None:
        # CPU is judged by the mean between two looks: look often enough to see a short burst.
        waits.append(limits.idle_timeout / 4)
    return now + timedelta(seconds=max(min(waits), _SOONEST))


def _why_stopped(end: _End, limits: Limits, now: datetime) -> str:
    if end.kind == "idle":
        return f"It was not used for {format_duration(limits.idle_timeout or 0)}."
    lived = format_duration(max((now - limits.started_at).total_seconds(), 0))
    if end.kind == "ttl":
        return f"Its time was up after {lived}."
    return f"It reached the longest age a server may have here ({lived})."


def _why_warned(end: _End, limits: Limits, now: datetime) -> str:
    left = format_duration((end.at - now).total_seconds())
    if end.kind == "idle":
        limit = format_duration(limits.idle_timeout or 0)
        return f"It stops in {left} because it is not used (limit {limit}); any use keeps it."
    return f"It stops in {left} because its time is up then; save your work."


def _why_kept(ends: list[_End], busy: bool) -> str:
    if busy:
        return "A kernel is busy."
    if not ends:
        return "It has no time limit."
    names = {"ttl": "its time is up", "max_age": "it reaches the longest age", "idle": "it counts as unused"}
    return f"It runs until {names[ends[0].kind]} at {ends[0].at.isoformat(timespec='seconds')}."
