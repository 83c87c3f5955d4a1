"""By when is there room for a pod that waits? By what runs of its profile, or on its kind of GPU."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from ..rules.room_words import Lack, room_words
from .records import OPEN, SandboxRecord
from .tables import sandboxes
from .tables_ledger import allocations

__all__ = ["room_for"]


def room_for(connection: Connection, record: SandboxRecord, lack: Lack, now: datetime) -> str:
    """The sentence for its user; "" where nobody knows."""
    wanted = sandboxes.c.profile == record.profile
    if lack == "gpu":
        given = allocations.c.until.is_(None)
        own = select(allocations.c.kind).where(given, allocations.c.sandbox == record.id)
        alike = select(allocations.c.sandbox).where(given, allocations.c.kind.in_(own))
        wanted = sandboxes.c.id.in_(alike)
    query = select(sandboxes.c.status, sandboxes.c.admitted_at, sandboxes.c.deadline)
    others = sandboxes.c.id != record.id, sandboxes.c.status.in_(OPEN)
    found = connection.execute(query.where(wanted, *others)).all()
    running = [item.deadline for item in found if item.status in ("ready", "stopping")]
    waiting = [item for item in found if item.status == "admitted"]
    ahead = sum(item.admitted_at < record.admitted_at for item in waiting)
    return room_words(now, lack, running, ahead)
