"""What does the database say about use? Rows that are brought up to an instant, and sums of them.

Law: a row holds totals and what they were counted up to, and both are written together: a pass that is
repeated, or cut off and done again, adds nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ..rules.prices import ANY_KIND
from ..rules.usage import Grouping, Holding, Portion, Used, advance, between
from .records import OPEN
from .tables import sandboxes, settings
from .tables_ledger import allocations, holdings
from .tables_usage import usage

__all__ = ["Pass", "bring_up", "day_of", "finish", "last_pass", "put_away", "shift"]

PAGE = 250  # sandboxes a transaction: an admission waits for no more than a few milliseconds
_MARK = "usage.pass"
# A release is dated before it is written, so one may turn up that is older than the last pass.
_LATE = timedelta(minutes=5)
_AMOUNTS = ("seconds", "cpu_seconds", "gb_seconds", "gpu_seconds")
_KEYS: Mapping[Grouping, tuple[str, ...]] = {
    "user": ("user",),
    "group": ("groups",),
    "profile": ("profile",),
    "day": ("day",),
}


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One look at all sandboxes: readings of the processor time by id.

    `since`: sandboxes that were released after it are looked at too.
    """

    now: datetime
    since: datetime
    readings: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """The newest row of a sandbox."""

    day: date
    used: Used
    until: datetime
    counter: float | None


def bring_up(connection: Connection, look: Pass, after: str) -> str:
    """Bring the next sandboxes, by id, up to `look.now` or to their end; the last id, "" at the end."""
    table = sandboxes.c
    columns = (table.id, table.user, table.profile, table.groups, table.spec)
    wanted = or_(table.status.in_(OPEN), table.released_at >= look.since - _LATE)
    query = select(*columns, table.admitted_at, table.released_at).where(wanted, table.id > after)
    found = connection.execute(query.order_by(table.id).limit(PAGE)).all()
    newest = _newest(connection, [row.id for row in found])
    # An adopted one's spec names its zone at most.
    adopted = _held(connection, [row.id for row in found if "id" not in row.spec])
    with_gpus = [row.id for row in found if row.spec.get("gpu_devices") or row.id in adopted]
    kinds = _kinds(connection, with_gpus)
    changed: list[dict[str, Any]] = []
    for row in found:
        held = adopted.get(row.id) or _asked(row.spec)
        changed += _brought_up(row, newest.get(row.id), look, held, kinds.get(row.id, set()))
    _write(connection, changed)
    return found[-1].id if len(found) == PAGE else ""


def _brought_up(
    row: Any, before: _Row | None, look: Pass, held: Holding, kinds: Collection[str]
) -> list[dict[str, Any]]:
    end = look.now if row.released_at is None else min(row.released_at, look.now)
    begin = before.until if before else row.admitted_at
    reading = look.readings.get(row.id)
    cpu = advance(before.counter if before else None, reading)
    if before and end <= begin and not cpu:
        return []
    amounts = between(begin, end, held, cpu)
    if before:
        # Never a day before the newest row's, whatever the clock does: that row would be counted again.
        early = [amount for day, amount in amounts.items() if day <= before.day]
        amounts = {day: amount for day, amount in amounts.items() if day > before.day}
        amounts[before.day] = sum(early, before.used)
    same = {
        "sandbox": row.id,
        "user": row.user,
        "profile": row.profile,
        "groups": json.dumps(sorted(row.groups)),
        # Devices of several kinds have the price of any.
        "gpu_kind": next(iter(kinds)) if len(kinds) == 1 else ANY_KIND if held.gpus else "",
        "until": max(begin, end),
        "counter": reading if reading is not None else before.counter if before else None,
    }
    return [
        {**same, "day": day.isoformat(), **{name: getattr(amount, name) for name in _AMOUNTS}}
        for day, amount in sorted(amounts.items())
    ]


def _asked(spec: Mapping[str, Any]) -> Holding:
    memory, devices = spec.get("resources", {}).get("memory", 0), spec.get("gpu_devices", ())
    return Holding(memory=memory, gpus=len(devices))


def _held(connection: Connection, ids: Sequence[str]) -> dict[str, Holding]:
    """What these sandboxes hold by the ledger: of an adopted one nobody has the spec."""
    if not ids:
        return {}
    query = select(holdings.c.sandbox, holdings.c.memory, holdings.c.gpus)
    rows = connection.execute(query.where(holdings.c.scope == "user", holdings.c.sandbox.in_(ids)))
    return {sandbox: Holding(memory=memory, gpus=gpus) for sandbox, memory, gpus in rows}


def _kinds(connection: Connection, ids: Sequence[str]) -> dict[str, set[str]]:
    """The kinds of the devices of these sandboxes, as the ledger has them."""
    found: dict[str, set[str]] = {}
    if ids:
        query = select(allocations.c.sandbox, allocations.c.kind).where(allocations.c.sandbox.in_(ids))
        for sandbox, kind in connection.execute(query.distinct()):
            found.setdefault(sandbox, set()).add(kind)
    return found


def _newest(connection: Connection, ids: Sequence[str]) -> dict[str, _Row]:
    days = select(usage.c.sandbox, func.max(usage.c.day).label("day")).where(usage.c.sandbox.in_(ids))
    last = days.group_by(usage.c.sandbox).subquery()
    same = and_(usage.c.sandbox == last.c.sandbox, usage.c.day == last.c.day)
    return {
        row.sandbox: _Row(
            day=date.fromisoformat(row.day),
            used=_used(row),
            until=row.until,
            counter=row.counter,
        )
        for row in connection.execute(select(usage).join(last, same))
    }


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        new = postgresql.insert(usage)
        values = {name: new.excluded[name] for name in rows[0] if name not in ("sandbox", "day")}
        connection.execute(new.on_conflict_do_update(index_elements=["sandbox", "day"], set_=values), rows)
        return
    fresh = sqlite.insert(usage)
    values = {name: fresh.excluded[name] for name in rows[0] if name not in ("sandbox", "day")}
    connection.execute(fresh.on_conflict_do_update(index_elements=["sandbox", "day"], set_=values), rows)


def last_pass(connection: Connection) -> datetime | None:
    """When the last whole pass began."""
    found = connection.execute(select(settings.c.at).where(settings.c.name == _MARK))
    return found.scalar_one_or_none()


def finish(connection: Connection, began: datetime, keep_from: date) -> None:
    """The pass is whole; rows of days before `keep_from` are forgotten."""
    connection.execute(delete(settings).where(settings.c.name == _MARK))
    connection.execute(insert(settings).values(name=_MARK, at=began))
    connection.execute(delete(usage).where(usage.c.day < keep_from.isoformat()))


def put_away(connection: Connection, user: str, kept_as: str) -> None:
    """The user was deleted: what they used stays, under the name that their records get."""
    connection.execute(update(usage).where(usage.c.user == user).values(user=kept_as))


def shift(connection: Connection, jump: timedelta) -> None:
    """The wall clock jumped: what was counted up to an instant before it is counted up to it still."""
    began = last_pass(connection)
    if began is not None:
        connection.execute(update(settings).where(settings.c.name == _MARK).values(at=began + jump))
    of_open = select(sandboxes.c.id).where(sandboxes.c.status.in_(OPEN))
    query = select(usage.c.sandbox, usage.c.day, usage.c.until).where(usage.c.sandbox.in_(of_open))
    for row in connection.execute(query).all():
        same = and_(usage.c.sandbox == row.sandbox, usage.c.day == row.day)
        connection.execute(update(usage).where(same).values(until=row.until + jump))


def day_of(connection: Connection, day: date, by: Grouping, user: str | None = None) -> list[Portion]:
    """What was used on a day, as far as it must be told apart; `user`: of this user only."""
    keys = [usage.c[name] for name in (*_KEYS[by], "gpu_kind")]
    query = select(*keys, *(func.sum(usage.c[name]).label(name) for name in _AMOUNTS))
    query = query.where(usage.c.day == day.isoformat())
    if user is not None:
        query = query.where(usage.c.user == user)
    return [_portion(row) for row in connection.execute(query.group_by(*keys))]


def _portion(row: Any) -> Portion:
    values = dict(row._mapping)
    portion = Portion(used=_used(row), groups=tuple(json.loads(values.get("groups", "[]"))))
    return replace(
        portion, **{name: values[name] for name in ("user", "profile", "day", "gpu_kind") if name in values}
    )


def _used(row: Any) -> Used:
    return Used(**{name: getattr(row, name) for name in _AMOUNTS})
