"""From when on is there perhaps room for a pod that waits? By what runs of its profile, or on its GPUs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

from ..rules.room_words import Lack, room_words
from .records import OPEN, SandboxRecord
from .tables import sandboxes
from .tables_ledger import allocations

__all__ = ["room_for"]


def room_for(connection: Connection, record: SandboxRecord, lack: Lack, now: datetime) -> str:
    """The sentence for its user; "" where nobody knows."""
    found = connection.execute(_alike(record, lack)).all()
    waiting = {item.id: item for item in found if item.status == "admitted"}
    if record.id not in waiting:
        return ""
    ends = [(item.deadline, item.held) for item in found if item.status in ("ready", "stopping")]
    ahead = (item for item in waiting.values() if item.admitted_at < record.admitted_at)
    wanted = waiting[record.id].held + sum(item.held for item in ahead)
    return room_words(now, lack, ends, wanted)


def _alike(record: SandboxRecord, lack: Lack) -> Select[Any]:
    """Who has or waits for the like, this one too; `held`: how many GPUs of its kinds, or one place."""
    columns = sandboxes.c.id, sandboxes.c.status, sandboxes.c.admitted_at, sandboxes.c.deadline
    is_open = sandboxes.c.status.in_(OPEN)
    if lack == "room":
        query = select(*columns, literal(1).label("held"))
        return query.where(is_open, sandboxes.c.profile == record.profile)
    given = allocations.c.until.is_(None)
    own = select(allocations.c.kind).where(given, allocations.c.sandbox == record.id)
    query = select(*columns, func.count().label("held")).join(
        allocations, allocations.c.sandbox == sandboxes.c.id
    )
    return query.where(is_open, given, allocations.c.kind.in_(own)).group_by(*columns)
