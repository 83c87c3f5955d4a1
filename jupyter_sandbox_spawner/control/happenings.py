"""What happened to a sandbox, for its user to see: events, denials, and the settings control remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from ..models import Event
from .changes import mark_changed
from .records import SandboxRecord
from .tables import denials, events, sandboxes, settings, settings_versions

__all__ = [
    "DENIALS_KEPT",
    "LINES_KEPT",
    "Told",
    "add_end",
    "add_event",
    "count_denial",
    "denials_of",
    "events_of",
    "forget_old",
    "note_version",
    "read_clock",
    "told_of",
    "version_since",
    "write_clock",
]

DENIALS_KEPT = 200  # different hosts a sandbox; what is more is counted under one name
LINES_KEPT = 4000  # characters
_MANY_MORE = "(many more)"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a user was told: at `said_at` of an end at `warned_at`, and why; the log's last lines."""

    code: str = ""
    said_at: datetime | None = None
    warned_at: datetime | None = None
    warning: str = ""
    lines: str = ""


def add_event(
    connection: Connection, sandbox: str, at: datetime, kind: str, detail: Mapping[str, Any]
) -> None:
    """One event of a sandbox."""
    mark_changed(sandbox)
    connection.execute(insert(events).values(sandbox=sandbox, at=at, kind=kind, detail=dict(detail)))


def add_end(connection: Connection, record: SandboxRecord, at: datetime, lines: str) -> None:
    """That it ended, with the last lines of its log; those of an end that is known already are left out."""
    detail = {
        "code": record.stop_code or "",
        "why": record.stop_why or "",
        "exit_code": record.exit_code,
        "lines": _storable(lines, LINES_KEPT),
    }
    add_event(connection, record.id, at, "ended", detail)


def told_of(connection: Connection, wanted: Sequence[str]) -> dict[str, Told]:
    """By sandbox: the last warning that its user was given, and the last lines of its log."""
    query = select(events).where(events.c.sandbox.in_(wanted), events.c.kind.in_(("warning", "ended")))
    found: dict[str, Told] = {}
    for row in connection.execute(query.order_by(events.c.id)):
        before = found.get(row.sandbox, Told())
        if row.kind == "ended":
            found[row.sandbox] = replace(before, lines=str(row.detail.get("lines", "")))
        else:
            at, code = datetime.fromisoformat(row.detail["at"]), str(row.detail.get("code") or "")
            found[row.sandbox] = replace(
                before, code=code, warned_at=at, warning=row.detail["why"], said_at=row.at
            )
    return found


def events_of(connection: Connection, sandbox: str, after: int, limit: int = 100) -> list[dict[str, Any]]:
    """Events numbered above `after`, oldest first."""
    query = select(events).where(events.c.sandbox == sandbox, events.c.id > after)
    rows = connection.execute(query.order_by(events.c.id).limit(min(limit, 1000)))
    return [{"id": row.id, "at": row.at, "kind": row.kind, "detail": row.detail} for row in rows]


def count_denial(connection: Connection, event: Event) -> None:
    """Add one denied attempt to the sandbox's table; a flood of names ends in one row."""
    detail = event.detail
    host, port = _storable(detail.get("host"), 255), detail.get("port")
    count = detail.get("count")
    key = {
        "sandbox": event.sandbox,
        "host": host,
        "port": port if type(port) is int else 0,
        "code": _storable(detail.get("code") or event.kind, 63),
    }
    times = count if type(count) is int and count > 0 else 1
    if _count_again(connection, key, times, event.time):
        return
    held = select(func.count()).select_from(denials).where(denials.c.sandbox == event.sandbox)
    if (connection.execute(held).scalar() or 0) >= DENIALS_KEPT:
        key = {**key, "host": _MANY_MORE, "port": 0}
        if _count_again(connection, key, times, event.time):
            return
    rule = _storable(detail.get("rule"), 255)
    connection.execute(
        insert(denials).values(**key, rule=rule, count=times, first_at=event.time, last_at=event.time)
    )


def denials_of(connection: Connection, sandbox: str, limit: int = 100) -> list[dict[str, Any]]:
    """Denied hosts of a sandbox, the latest first."""
    query = select(denials).where(denials.c.sandbox == sandbox)
    rows = connection.execute(query.order_by(denials.c.last_at.desc()).limit(limit)).mappings()
    return [{name: value for name, value in row.items() if name != "sandbox"} for row in rows]


def forget_old(connection: Connection, before: datetime) -> None:
    """Events and denials of sandboxes released before this instant; the records themselves stay."""
    gone = select(sandboxes.c.id).where(sandboxes.c.released_at < before).scalar_subquery()
    connection.execute(delete(events).where(events.c.sandbox.in_(gone)))
    connection.execute(delete(denials).where(denials.c.sandbox.in_(gone)))


def read_clock(connection: Connection) -> tuple[datetime, float, str] | None:
    """The clocks as the last process read them: wall, elapsed since boot, boot id."""
    row = connection.execute(select(settings).where(settings.c.name == "clock")).one_or_none()
    return None if row is None else (row.at, row.number, row.text)


def write_clock(connection: Connection, at: datetime, elapsed: float, boot: str) -> None:
    """Keep a reading of both clocks for the next process."""
    connection.execute(delete(settings).where(settings.c.name == "clock"))
    connection.execute(insert(settings).values(name="clock", at=at, number=elapsed, text=boot))


def note_version(connection: Connection, name: str, digest: str, now: datetime) -> bool:
    """Remember a file's digest where it differs from the last one; True if it did."""
    query = select(settings_versions.c.digest).where(settings_versions.c.name == name)
    last = connection.execute(query.order_by(settings_versions.c.id.desc()).limit(1)).scalar()
    if last == digest:
        return False
    connection.execute(insert(settings_versions).values(at=now, name=name, digest=digest))
    return True


def version_since(connection: Connection, name: str) -> tuple[str, datetime] | None:
    """The digest that was noted last, and when; None where none ever was."""
    query = select(settings_versions).where(settings_versions.c.name == name)
    row = connection.execute(query.order_by(settings_versions.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else (row.digest, row.at)


def _storable(value: Any, length: int) -> str:
    """What a sandbox wrote, so that every database takes it: one bad name must not stop all counting."""
    text = str(value or "").replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]
    return text.encode(errors="replace").decode()


def _count_again(connection: Connection, key: Mapping[str, Any], times: int, at: datetime) -> bool:
    query = update(denials).where(*(denials.c[name] == value for name, value in key.items()))
    done = connection.execute(query.values(count=denials.c.count + times, last_at=at))
    return done.rowcount == 1
