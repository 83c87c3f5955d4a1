"""How many GPU-hours were used in a window of time, and when may somebody over the cap start again?

Law: a start is refused only when the cap is reached already; one that begins below it runs to its own end.
Everything is counted in whole microseconds, so the instant given is the first at which a start is possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..units import format_duration
from .quotas import GpuHours, Refusal, Share, owner_of

__all__ = ["Span", "below_cap_at", "hours_refusal", "used_hours"]

_MICROSECOND = timedelta(microseconds=1)
_HOUR = 3600 * 10**6


@dataclass(frozen=True, kw_only=True)
class Span:
    """Some GPUs from `since` to `until`: when it ended, or the deadline of what runs; None: without end."""

    since: datetime
    until: datetime | None
    gpus: int = 1


def used_hours(now: datetime, spans: Sequence[Span], within: int) -> float:
    """GPU-hours of these spans in the last `within` seconds."""
    return _used(_counted(now, spans), 0, within * 10**6) / _HOUR


def below_cap_at(now: datetime, spans: Sequence[Span], hours: GpuHours) -> datetime | None:
    """The first instant from now on with less use than the cap, if what runs goes on to its deadline.

    None where it never comes: what has no deadline keeps the window full.
    """
    counted, window = _counted(now, spans), hours.within * 10**6
    cap = round(hours.at_most * _HOUR)
    level, at = _used(counted, 0, window), 0
    if level < cap:
        return now
    bends = _bends(counted, window)
    slope = sum(change for instant, change in bends.items() if instant <= 0)
    for instant in sorted(instant for instant in bends if instant > 0):
        ahead = level + slope * (instant - at)
        if ahead < cap:
            # Use is linear between two bends: the first whole microsecond below the cap, rounded up.
            return now + (at - (level - cap + 1) // slope) * _MICROSECOND
        level, at, slope = ahead, instant, slope + bends[instant]
    return None


def _bends(counted: Sequence[tuple[int, int | None, int]], window: int) -> Counter[int]:
    """By how much the growth of use changes at which instant: spans enter the window, end, and leave it."""
    changes: Counter[int] = Counter()
    for since, until, gpus in counted:
        changes[since] += gpus
        changes[since + window] -= gpus
        if until is not None:
            changes[until] -= gpus
            changes[until + window] += gpus
    return changes


def hours_refusal(share: Share, now: datetime, spans: Sequence[Span]) -> Refusal | None:
    """The refusal if the cap is reached, with the time from which it is not."""
    hours = share.caps.gpu_hours
    if hours is None:
        return None
    retry_at = below_cap_at(now, spans, hours)
    if retry_at == now:
        return None
    used = used_hours(now, spans, hours.within)
    window = format_duration(hours.within)
    if retry_at is None:
        remedy = "It stays so while what runs now goes on: stop a server with a GPU first."
    else:
        remedy = f"Start again after {retry_at:%Y-%m-%d %H:%M} UTC, if what runs now ends at its deadline."
    return Refusal(
        code=f"quota.gpu_hours.{share.scope}",
        message=f"{owner_of(share)} used {used:.1f} of {hours.at_most:g} GPU-hours of the last {window}.",
        remedy=remedy,
        retry_at=retry_at,
    )


def _counted(now: datetime, spans: Sequence[Span]) -> list[tuple[int, int | None, int]]:
    return [
        (
            (span.since - now) // _MICROSECOND,
            None if span.until is None else (span.until - now) // _MICROSECOND,
            span.gpus,
        )
        for span in spans
    ]


def _used(counted: Sequence[tuple[int, int | None, int]], at: int, window: int) -> int:
    total = 0
    for since, until, gpus in counted:
        end = at if until is None else min(until, at)
        total += gpus * max(end - max(since, at - window), 0)
    return total
