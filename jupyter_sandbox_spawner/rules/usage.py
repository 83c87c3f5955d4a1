"""How much was used, on which day? Counters become amounts, and amounts are shared out over days (UTC).

Law: a counter is cumulative, so a reading that was missed loses nothing; nothing counts twice, because what
was counted is kept beside the reading that it was counted up to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Literal, get_args

from ..errors import ConfigurationError
from .prices import Prices, cost

__all__ = [
    "GB",
    "GROUPINGS",
    "Grouping",
    "Holding",
    "Line",
    "Portion",
    "Used",
    "advance",
    "between",
    "days_of",
    "kept_days",
    "summed",
]

GB = 1 << 30  # bytes of a GB, as profiles write `16G`
Grouping = Literal["user", "group", "profile", "day"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)


@dataclass(frozen=True, kw_only=True)
class Used:
    """Seconds that a server was there, processor seconds, GB x seconds of memory, devices x seconds."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gb_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: Used) -> Used:
        """Both together."""
        return Used(
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            gb_seconds=self.gb_seconds + other.gb_seconds,
            gpu_seconds=self.gpu_seconds + other.gpu_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a sandbox keeps from others while it is there: its limit of memory in bytes, its devices."""

    memory: int = 0
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Portion:
    """What some sandboxes with the same `user`, `groups` and `profile` used on a day, as far as was asked."""

    used: Used
    user: str = ""
    groups: tuple[str, ...] = ()
    profile: str = ""
    day: str = ""
    gpu_kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a report: `cost` None where there are no prices; `gpu_seconds` by kind of device."""

    name: str
    used: Used = field(default_factory=Used)
    gpu_seconds: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None


def advance(before: float | None, reading: float | None) -> float:
    """By how much a counter went up since `before`; None: nothing was counted before, or cannot be read.

    A counter that is below the one before began anew: all of it is new.
    """
    if reading is None:
        return 0.0
    if before is None or reading < before:
        return max(reading, 0.0)
    return reading - before


def kept_days(number: object) -> int:
    """How many days it is kept what was used. Raises ConfigurationError for anything but 1 to 36500."""
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 36_500:
        return number
    raise ConfigurationError(
        f"usage_days: {number!r} is no number of days.",
        code="setup.days_invalid",
        field="usage_days",
        remedy="Write a whole number of 1 or more, such as 400.",
    )


def days_of(begin: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """The days (UTC) from `begin` to `end` with the seconds of each; none where nothing lies between."""
    now, end = begin.astimezone(timezone.utc), end.astimezone(timezone.utc)
    while now < end:
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), timezone.utc)
        until = min(midnight, end)
        yield now.date(), (until - now).total_seconds()
        now = until


def between(begin: datetime, end: datetime, holding: Holding, cpu_seconds: float) -> dict[date, Used]:
    """What a sandbox used from `begin` to `end`, by day; processor time is shared by the seconds of each.

    Processor time without time between (a last reading after the end) is the last day's.
    """
    spans = list(days_of(begin, end))
    if not spans:
        last = end.astimezone(timezone.utc).date()
        return {last: Used(cpu_seconds=cpu_seconds)} if cpu_seconds else {}
    whole = sum(seconds for _, seconds in spans)
    return {
        day: Used(
            seconds=seconds,
            cpu_seconds=cpu_seconds * seconds / whole,
            gb_seconds=holding.memory / GB * seconds,
            gpu_seconds=holding.gpus * seconds,
        )
        for day, seconds in spans
    }


def summed(portions: Iterable[Portion], by: Grouping, prices: Prices) -> tuple[list[Line], Line]:
    """Lines by name, and the total.

    By group a sandbox counts in each group that its user had at its admission, in "" where there was none;
    the total counts it once.
    """
    lines: dict[str, list[Portion]] = {}
    whole: list[Portion] = []
    for portion in portions:
        whole.append(portion)
        for name in _names(portion, by):
            lines.setdefault(name, []).append(portion)
    found = [_line(name, lines[name], prices) for name in sorted(lines)]
    return found, _line("", whole, prices)


def _names(portion: Portion, by: Grouping) -> Sequence[str]:
    if by == "group":
        return portion.groups or ("",)
    return ({"user": portion.user, "profile": portion.profile, "day": portion.day}[by],)


def _line(name: str, portions: Sequence[Portion], prices: Prices) -> Line:
    used = sum((portion.used for portion in portions), Used())
    kinds: dict[str, float] = {}
    for portion in portions:
        if portion.used.gpu_seconds:
            kinds[portion.gpu_kind] = kinds.get(portion.gpu_kind, 0.0) + portion.used.gpu_seconds
    hours = {kind: seconds / 3600 for kind, seconds in kinds.items()}
    paid = cost(prices, used.cpu_seconds / 3600, used.gb_seconds / 3600, hours)
    return Line(name=name, used=used, gpu_seconds=kinds, cost=paid)
