"""May this sandbox go on, must its user be warned, must it be saved, or does it end now, and why?

Law: what we measure (requests of people through the doors, CPU, GPUs) ranks above what the sandbox says (a
busy kernel), and what it says only delays until the TTL or the max age. A running cell is never stopped for
idleness. An instant in the future proves nothing and is ignored. An end that a rule sets, or that holds again
since a rule does not, is never met without a warning, even where it lies before that change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from .ends import End, EndKind, Warned, clock_words, why_kept, why_stopped, why_warned

__all__ = [
    "CLAIM_FRESH",
    "CPU_IN_USE",
    "SAVE_AHEAD",
    "WARNINGS",
    "EndKind",
    "Limits",
    "Signals",
    "Verdict",
    "Warned",
    "decide",
]

WARNINGS = (1800, 600, 120)
SAVE_AHEAD = 30  # seconds before every end at which its server is asked to save
CPU_IN_USE = 0.05  # cores; an idle server with an open tab was measured well below 0.02
CLAIM_FRESH = 120  # seconds that "a kernel is busy" stays believed
_ECHO = 60.0  # seconds in which a notice about idleness may itself look like use
_SOONEST = 1.0
_LATEST = 3600.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When one sandbox ends. None: no such limit. `deadline` is the sandbox TTL with its extensions.

    `gpu_idle_timeout`: seconds without work on its GPUs. `closes_at`: the next instant at which its schedule
    allows no server. `rule` names the rule that set these limits ("" the profile), in force since `since`:
    no idle end comes sooner after that than the shortest warning. `changes_at`: look again then, at the
    latest, since another rule may apply. `warnings`: seconds before an end, falling. `by_rule`: the ends that
    `rule` set, not the profile; `closing`: the rule that closes. `timezone`: how sentences write instants.
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
    by_rule: frozenset[EndKind] = frozenset()
    closing: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True, kw_only=True)
class Signals:
    """When was it last used, by each witness? None: never, or not measured here.

    `door_used_at`: a person's request or message (a page's own polling does not count); `egress_used_at`:
    traffic out that counts; `cpu_used_at`: the end of the last interval with CPU above CPU_IN_USE;
    `said_used_at`, `busy`, `said_at`: the server's own words; `floor`: idleness is not counted before it (a
    clock jumped). `gpu_used_at`: the end of the last interval in which one of its GPUs worked, None where
    none is measured now (then no limit on idle GPUs ends it); `keep_until`: its user asked to be kept until
    then, which delays what idleness alone would end.
    """

    door_used_at: datetime | None = None
    cpu_used_at: datetime | None = None
    said_used_at: datetime | None = None
    busy: bool = False
    said_at: datetime | None = None
    floor: datetime | None = None
    gpu_used_at: datetime | None = None
    keep_until: datetime | None = None
    egress_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`keep`, `warn` or `save` (of an end at `at`), or `stop`; `why` is for people; look again at
    `next_check`. `rule` set that end, or what holds while there is none; `kind` is that end's."""

    action: Literal["keep", "warn", "save", "stop"]
    code: str
    why: str
    next_check: datetime
    at: datetime | None = None
    warned: Warned | None = None
    idle_since: datetime | None = None
    rule: str = ""
    kind: EndKind | Literal[""] = ""


def decide(now: datetime, limits: Limits, signals: Signals) -> Verdict:
    """The one decision; pure."""
    idle_since = _idle_since(now, limits, signals)
    busy = _is_busy(now, signals)
    ends = sorted(_ends(now, limits, signals, idle_since), key=lambda end: end.at)
    ends = [end for end in ends if not (busy and end.kind in ("idle", "gpu_idle"))]
    first = ends[0] if ends else None
    verdict = Verdict(
        action="keep",
        code="keep.within_limits",
        why=why_kept(first, _when(first, now, limits), limits.rule),
        next_check=_next_check(now, limits, ends),
        at=first.at if first else None,
        idle_since=idle_since,
        rule=first.rule if first else limits.rule,
        kind=first.kind if first else "",
    )
    if first and first.at <= now:
        return _stop(now, limits, first, verdict)
    due = [(end, notice) for end in ends for notice in _notices(now, end, limits)]
    if due:
        return _notify(now, limits, due, verdict)
    if busy:
        why = f"A kernel is busy, so idleness does not end it. {verdict.why if first else ''}".strip()
        return replace(verdict, code="keep.busy", why=why)
    if _is_asked(now, limits, signals, idle_since) and signals.keep_until:
        why = f"You asked to keep it until {clock_words(signals.keep_until, now, limits.timezone)}."
        return replace(verdict, code="keep.asked", why=f"{why} {verdict.why}")
    return verdict


def _stop(now: datetime, limits: Limits, end: End, verdict: Verdict) -> Verdict:
    lived = max((now - limits.started_at).total_seconds(), 0)
    return replace(
        verdict,
        action="stop",
        code=f"stop.{end.kind}",
        why=why_stopped(end, lived, _when(end, now, limits)),
        next_check=now + timedelta(seconds=_SOONEST),
    )


def _notify(now: datetime, limits: Limits, due: list[tuple[End, Warned]], verdict: Verdict) -> Verdict:
    end, notice = due[0]
    saving = notice.ahead == _save_ahead(end, limits)
    return replace(
        verdict,
        action="save" if saving else "warn",
        code=f"warning.{end.kind}",
        why=why_warned(end, (end.at - now).total_seconds(), _when(end, now, limits), saving),
        at=end.at,
        warned=notice,
        rule=end.rule,
        kind=end.kind,
        next_check=now + timedelta(seconds=_SOONEST) if len(due) > 1 else verdict.next_check,
    )


def _when(end: End | None, now: datetime, limits: Limits) -> str:
    return clock_words(end.at, now, limits.timezone) if end else ""


def _is_busy(now: datetime, signals: Signals) -> bool:
    if not signals.busy or signals.said_at is None or signals.said_at > now:
        return False
    return (now - signals.said_at).total_seconds() <= CLAIM_FRESH


def _latest(now: datetime, instants: Iterable[datetime | None], least: datetime) -> datetime:
    return max([least, *(instant for instant in instants if instant is not None and instant <= now)])


def _idle_since(now: datetime, limits: Limits, signals: Signals) -> datetime:
    witnesses = (
        signals.door_used_at,
        _unless_echo(signals.cpu_used_at, limits, (SAVE_AHEAD,)),
        _unless_echo(signals.egress_used_at, limits, (SAVE_AHEAD,)),
        _unless_echo(signals.said_used_at, limits, limits.warnings),
        # A busy kernel is use while it is said, so the timeout begins when it was said last.
        signals.said_at if signals.busy else None,
        signals.floor,
    )
    return _latest(now, witnesses, limits.started_at)


def _unless_echo(instant: datetime | None, limits: Limits, notices: tuple[int, ...]) -> datetime | None:
    """Not use: a line that a warning wrote to a terminal, or the CPU that saving took."""
    if instant is None or limits.idle_timeout is None:
        return instant
    for old in limits.warned:
        given = [ahead for ahead in {*notices, old.ahead} if old.ahead <= ahead <= max(notices)]
        echoes = ((instant - old.at).total_seconds() + ahead for ahead in given)
        if old.kind == "idle" and any(0 <= echo <= _ECHO for echo in echoes):
            return min(instant, old.at - timedelta(seconds=limits.idle_timeout))
    return instant


def _is_asked(now: datetime, limits: Limits, signals: Signals, idle_since: datetime) -> bool:
    if signals.keep_until is None or signals.keep_until <= now:
        return False
    idle = _idle_ends(now, limits, replace(signals, keep_until=None), idle_since)
    return any(end.at < signals.keep_until for end in idle)


def _ends(now: datetime, limits: Limits, signals: Signals, idle_since: datetime) -> Iterator[End]:
    fixed: tuple[tuple[EndKind, datetime | None], ...] = (
        ("ttl", limits.deadline),
        ("max_age", limits.max_age_at),
        ("schedule", limits.closes_at),
    )
    for kind, at in fixed:
        if at is not None:
            rule = limits.closing if kind == "schedule" else _rule_of(kind, limits)
            end = End(kind, at, (at - limits.started_at).total_seconds(), rule)
            yield _announced(now, end, limits)
    for end in _idle_ends(now, limits, signals, idle_since):
        yield _announced(now, end, limits)


def _idle_ends(now: datetime, limits: Limits, signals: Signals, idle_since: datetime) -> Iterator[End]:
    counted: list[tuple[EndKind, datetime, int]] = []
    if limits.idle_timeout is not None:
        counted.append(("idle", idle_since, limits.idle_timeout))
    if limits.gpu_idle_timeout is not None and signals.gpu_used_at is not None:
        worked = (signals.gpu_used_at, signals.floor)
        counted.append(("gpu_idle", _latest(now, worked, limits.started_at), limits.gpu_idle_timeout))
    for kind, since, span in counted:
        at = since + timedelta(seconds=span)
        at = max(at, _soonest(limits) or at)
        yield End(kind, max(at, signals.keep_until or at), span, _rule_of(kind, limits))


def _rule_of(kind: EndKind, limits: Limits) -> str:
    return limits.rule if kind in limits.by_rule else ""


def _soonest(limits: Limits) -> datetime | None:
    """Before then these limits, which may not have been the ones before, end nothing that is idle."""
    return None if limits.since is None else limits.since + timedelta(seconds=min(limits.warnings, default=0))


def _announced(now: datetime, end: End, limits: Limits) -> End:
    """The end, or a new one that leaves time to be warned: it passed unannounced, and a rule set it, or it
    would have come before these limits were in force."""
    soonest = _soonest(limits)
    is_new = end.kind != "ttl" and soonest is not None and end.at <= soonest
    if end.at > now or not (end.rule or is_new):
        return end
    least = now + timedelta(seconds=min(_thresholds(end, limits)))
    told = [old.at for old in limits.warned if old.kind == end.kind and old.at <= least]
    promised = max((at for at in told if (end.at - at).total_seconds() < 1), default=least)
    return replace(end, at=promised)


def _thresholds(end: End, limits: Limits) -> tuple[int, ...]:
    # A server that lives less than a warning's lead is warned at half of its time instead of at once.
    fitting = tuple(ahead for ahead in limits.warnings if ahead < end.span)
    return fitting or (max(int(end.span / 2), 1),)


def _save_ahead(end: End, limits: Limits) -> int:
    return min(SAVE_AHEAD, min(_thresholds(end, limits)) // 2)


def _notices(now: datetime, end: End, limits: Limits) -> Iterator[Warned]:
    """What is to be told of this end now: the last warning that is due, and, only after one, to save."""
    left = (end.at - now).total_seconds()
    same = [old for old in limits.warned if old.kind == end.kind and _is_same(old.at, end.at)]
    told = min((old.ahead for old in same), default=None)
    due = min((ahead for ahead in _thresholds(end, limits) if left <= ahead), default=None)
    if due is not None and (told is None or due < told):
        yield Warned(kind=end.kind, ahead=due, at=end.at)
    save = _save_ahead(end, limits)
    if save and left <= save and (told is None or save < told):
        yield Warned(kind=end.kind, ahead=save, at=end.at)


def _is_same(one: datetime, other: datetime) -> bool:
    return abs((one - other).total_seconds()) < 1


def _next_check(now: datetime, limits: Limits, ends: list[End]) -> datetime:
    waits = [_LATEST]
    for end in ends:
        left = (end.at - now).total_seconds()
        aheads = (*_thresholds(end, limits), _save_ahead(end, limits))
        waits.append(left)
        waits += [left - ahead for ahead in aheads if left > ahead]
    # CPU and GPUs are judged by what happened between two looks: look often enough to see a short burst.
    waits += [span / 4 for span in (limits.idle_timeout, limits.gpu_idle_timeout) if span is not None]
    if limits.changes_at is not None and limits.changes_at > now:
        waits.append((limits.changes_at - now).total_seconds())
    return now + timedelta(seconds=max(min(waits), _SOONEST))
