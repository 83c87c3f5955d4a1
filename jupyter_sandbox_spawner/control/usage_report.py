"""What does an admin's question about use mean, and what is answered?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ..errors import ConfigurationError
from ..rules.usage import GROUPINGS, Grouping, Line, Used, summed
from .accounting import portions, report
from .parts import Parts

__all__ = ["usage_document"]

_MOST_DAYS = 3660
_MOST_SHOWN = 366
_LARGEST = 20
_OF_DAY = ("server_hours", "cpu_hours", "memory_gb_hours", "gpu_hours", "cost")


async def usage_document(parts: Parts, query: Mapping[str, str]) -> dict[str, Any]:
    """`by`, `since`, `until`, `user`, `over` of the query: hours by name, the total, and what they cost.

    Days are UTC, both included; absent: from the first of this month to today. Raises ConfigurationError.
    """
    by = _grouping(query.get("by") or "user")
    today = parts.clock.now().date()
    until = _day(query.get("until") or today.isoformat(), "until")
    since = _day(query.get("since") or min(today, until).replace(day=1).isoformat(), "since")
    days = (until - since).days + 1
    if not 1 <= days <= _MOST_DAYS:
        what = f"lies before {since}" if days < 1 else f"is more than {_MOST_DAYS} days after {since}"
        raise _wrong("until", until.isoformat(), what, "Name another day.")
    last, user = until + timedelta(days=1), query.get("user") or None
    over = _over(query.get("over", ""), by, days)
    lines, total, currency = await report(parts, by, (since, last), user)
    document: dict[str, Any] = {
        "by": by,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "currency": currency,
        "items": [_item(line) for line in lines],
        "total": _item(total),
    }
    if over:
        document["series"] = await _series(parts, by, (since, last), user)
    return document


async def _series(
    parts: Parts, by: Grouping, days: tuple[date, date], user: str | None
) -> list[dict[str, Any]]:
    """The same over time: those that used most, each with every day, and the others as one without a name."""
    prices = (await parts.terms.book()).prices
    lines: dict[str, dict[str, Line]] = {}
    async for day, found in portions(parts, by, days, user):
        for line in summed(found, by, prices)[0]:
            lines.setdefault(line.name, {})[day.isoformat()] = line
    ranked = sorted(lines, key=lambda name: (_weight(lines[name].values()), name), reverse=True)
    first, end = days
    dates = [(first + timedelta(days=number)).isoformat() for number in range((end - first).days)]
    shown: list[dict[str, Any]] = [
        {"name": name, "days": [_of_day(day, [lines[name].get(day)]) for day in dates]}
        for name in ranked[:_LARGEST]
    ]
    rest = ranked[_LARGEST:]
    if rest:
        others = [_of_day(day, [lines[name].get(day) for name in rest]) for day in dates]
        shown.append({"name": None, "days": others})
    return shown


def _weight(lines: Iterable[Line]) -> tuple[float, float]:
    found = list(lines)
    return sum(line.cost or 0.0 for line in found), sum(line.used.seconds for line in found)


def _of_day(day: str, lines: Sequence[Line | None]) -> dict[str, Any]:
    found = [line for line in lines if line is not None]
    costs = [line.cost for line in found if line.cost is not None]
    used = sum((line.used for line in found), Used())
    item = _item(Line(name="", used=used, cost=sum(costs) if costs else None))
    return {"day": day, **{name: item[name] for name in _OF_DAY}}


def _over(text: str, by: Grouping, days: int) -> bool:
    if not text:
        return False
    if text != "day" or by == "day":
        what = "is no step of time" if text != "day" else "says nothing more where by is day"
        raise _wrong("over", text, what, "Write over=day with by user, group or profile.")
    if days > _MOST_SHOWN:
        raise _wrong("over", text, f"is for {_MOST_SHOWN} days at most", "Name a later since.")
    return True


def _item(line: Line) -> dict[str, Any]:
    used = line.used
    return {
        "name": line.name,
        "server_hours": _hours(used.seconds),
        "cpu_hours": _hours(used.cpu_seconds),
        "memory_gb_hours": _hours(used.gb_seconds),
        "gpu_hours": _hours(used.gpu_seconds),
        "gpu_hours_by_kind": {kind: _hours(seconds) for kind, seconds in sorted(line.gpu_seconds.items())},
        "cost": None if line.cost is None else round(line.cost, 6),
    }


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 6)


def _grouping(text: str) -> Grouping:
    for known in GROUPINGS:
        if text == known:
            return known
    raise _wrong("by", text, "is no way to sum up", f"Write one of {', '.join(GROUPINGS)}.")


def _day(text: str, field: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise _wrong(field, text, "is no day", "Write it as 2026-11-29.") from None
    if found == date.max:
        raise _wrong(
            field, text, "is the last day there is, and no end can be counted to", "Name another day."
        )
    return found


def _wrong(field: str, value: str, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"{field}: {value[:40]!r} {what}.", code="wire.invalid", field=field, remedy=remedy
    )
