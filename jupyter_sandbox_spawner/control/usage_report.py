"""What does an admin's question about use mean, and what is answered?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from ..errors import ConfigurationError
from ..rules.usage import GROUPINGS, Grouping, Line
from .accounting import report
from .parts import Parts

__all__ = ["usage_document"]

_MOST_DAYS = 3660


async def usage_document(parts: Parts, query: Mapping[str, str]) -> dict[str, Any]:
    """`by`, `since`, `until` and `user` of the query: hours by name, the total, and what they cost.

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
    last = until + timedelta(days=1)
    lines, total, currency = await report(parts, by, (since, last), query.get("user") or None)
    return {
        "by": by,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "currency": currency,
        "items": [_item(line) for line in lines],
        "total": _item(total),
    }


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
