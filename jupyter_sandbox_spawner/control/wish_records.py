"""What did users and admins wish for the end of a sandbox? The extensions that were given, and who is kept.

Law: a wish is known by its key; an admin's begins with `admin/`, which no user's can.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from .records import SandboxRecord
from .tables import events, extensions, sandboxes

__all__ = ["BY_ADMIN", "Given", "add_extension", "given_of", "keep_until", "wishes_to_keep"]

BY_ADMIN = "admin/"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The extensions of one sandbox: how many its user was given, and the end that each key got."""

    used: int
    ends: dict[str, datetime]


def given_of(connection: Connection, record: SandboxRecord) -> Given:
    """What it was given so far. The newest one's end is what holds now, also after the clock jumped."""
    query = select(extensions).where(extensions.c.sandbox == record.id).order_by(extensions.c.id)
    rows = connection.execute(query).all()
    ends = {row.key: row.after for row in rows if row.key}
    if rows and rows[-1].key and record.deadline is not None:
        ends[rows[-1].key] = record.deadline
    return Given(used=sum(not (row.key or "").startswith(BY_ADMIN) for row in rows), ends=ends)


def add_extension(
    connection: Connection, record: SandboxRecord, after: datetime, actor: str, now: datetime, key: str = ""
) -> None:
    """Move the end and keep a line about it."""
    connection.execute(update(sandboxes).where(sandboxes.c.id == record.id).values(deadline=after))
    line = {"sandbox": record.id, "at": now, "actor": actor, "before": record.deadline, "after": after}
    connection.execute(insert(extensions).values(**line, key=key or None))


def keep_until(connection: Connection, sandbox: str, until: datetime | None) -> None:
    """Keep it although it is not used, until then; None: no longer."""
    connection.execute(update(sandboxes).where(sandboxes.c.id == sandbox).values(keep_until=until))


def wishes_to_keep(connection: Connection, sandbox: str, since: datetime) -> int:
    """How often that was changed since then."""
    query = select(func.count()).select_from(events).where(events.c.sandbox == sandbox)
    return connection.execute(query.where(events.c.kind == "kept", events.c.at > since)).scalar() or 0
