"""When do hours of a week begin and end, in a time zone whose clocks are set twice a year?

Law: hours begin when a clock on the wall shows them for the first time that day and end when it shows them
for the last time; a time that the clock skips is the moment of the skip. So hours that do not exist on a day
are not there, and an hour that comes twice is inside both times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

__all__ = ["DAYS", "WHOLE_WEEK", "Weekly", "local_day", "minutes_of", "spans"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60
_WEEK = 7 * _DAY
WHOLE_WEEK = (1 << _WEEK) - 1


@dataclass(frozen=True, kw_only=True)
class Weekly:
    """Hours of a week in the site's time zone: on `days` (0 = Monday) from minute `begins` of that day until
    minute `ends`; where `ends` is not after `begins`, of the next day."""

    days: tuple[int, ...]
    begins: int
    ends: int

    @property
    def length(self) -> int:
        """Minutes, on a day of 24 hours."""
        return self.ends - self.begins + (_DAY if self.ends <= self.begins else 0)


def minutes_of(hours: Sequence[Weekly]) -> int:
    """The minutes of the week that are inside, as bits: bit 0 is Monday 00:00. No hours: all of them."""
    found = 0
    for weekly in hours:
        for day in weekly.days:
            bits = ((1 << weekly.length) - 1) << (day * _DAY + weekly.begins)
            found |= (bits & WHOLE_WEEK) | (bits >> _WEEK)
    return found if hours else WHOLE_WEEK


def local_day(now: datetime, zone: str) -> int:
    """The day that a clock there shows, as an ordinal."""
    return now.astimezone(ZoneInfo(zone)).toordinal()


def spans(hours: Sequence[Weekly], zone: str, first: int, last: int) -> Iterator[tuple[datetime, datetime]]:
    """From when until when, in UTC, for hours that begin on a day from `first` to `last` (ordinals)."""
    place = ZoneInfo(zone)
    for weekly in hours:
        for day in range(first, last + 1):
            midnight = datetime.fromordinal(day)
            if midnight.weekday() in weekly.days:
                begins = midnight + timedelta(minutes=weekly.begins)
                ends = begins + timedelta(minutes=weekly.length)
                span = _instant(begins, place, fold=0), _instant(ends, place, fold=1)
                if span[0] < span[1]:
                    yield span


def _instant(local: datetime, place: ZoneInfo, fold: int) -> datetime:
    """In UTC: the first (fold 0) or last (fold 1) time that the clock shows it, or the moment it skips it."""
    first = local.replace(tzinfo=place, fold=0).astimezone(timezone.utc)
    last = local.replace(tzinfo=place, fold=1).astimezone(timezone.utc)
    if first <= last:
        return last if fold else first
    # In a gap Python reads fold 0 with the old offset: `last` is before the skip, `first` after it.
    before = last.astimezone(place).utcoffset()
    while first - last > timedelta(seconds=1):
        middle = last + (first - last) / 2
        if middle.astimezone(place).utcoffset() == before:
            last = middle
        else:
            first = middle
    return first.replace(microsecond=0)
