"""How do control's books get thousands of servers in seconds? One is admitted, and its rows are copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select

from jupyter_sandbox_spawner.clients.control import AdmissionRequest, ProfileTerms
from jupyter_sandbox_spawner.control import ledger, records
from jupyter_sandbox_spawner.control.tables import sandboxes
from jupyter_sandbox_spawner.control.tables_ledger import holdings
from jupyter_sandbox_spawner.models import Mount, Resources, SandboxSpec

from .cull_hub import sandbox_name, user_name

__all__ = ["admit"]

_IDLE = 8 * 3600  # nobody is warned while it is measured
_ROOM = Resources(cpu=1, memory=1 << 30)


def admit(db: Connection, numbers: Sequence[int], now: datetime) -> None:
    """Servers that are used; the first as control admits it, the others' rows are written after its."""
    first = numbers[0]
    _admit_one(db, first, now)
    for table, key in ((sandboxes, sandboxes.c.id), (holdings, holdings.c.sandbox)):
        rows = db.execute(select(table).where(key == sandbox_name(first))).mappings().all()
        copies = [_copy(row, first, number, now) for number in numbers[1:] for row in rows]
        if copies:
            db.execute(insert(table), copies)


def _copy(row: Mapping[Any, Any], first: int, number: int, now: datetime) -> dict[str, Any]:
    names = {sandbox_name(first): sandbox_name(number), user_name(first): user_name(number)}
    found: dict[str, Any] = {
        name: names.get(value, value) if isinstance(value, str) else value for name, value in row.items()
    }
    if "spec" in row:
        found["spec"] = {**row["spec"], "id": sandbox_name(number), "user": user_name(number)}
        found["used_at"] = now - timedelta(seconds=number % 600)
    return found


def _admit_one(db: Connection, number: int, now: datetime) -> None:
    spec = SandboxSpec(
        id=sandbox_name(number),
        user=user_name(number),
        server="",
        profile="bench",
        profile_digest="0",
        environment_name="default",
        host_uid=3_000_000,
        resources=_ROOM,
        idle_timeout=_IDLE,
        mounts=(Mount(kind="home", source="/h", target="/home/jovyan", read_only=False),),
    )
    request = AdmissionRequest(spec=spec, terms=ProfileTerms(slug="bench", digest="0"))
    began = now - timedelta(minutes=30)
    records.admit(db, request, began, None)
    owner = ledger.Owner(sandbox=spec.id, user=spec.user, server="", profile="bench")
    ledger.hold(db, began, owner, _ROOM, (), [])
    records.mark_audited(db, spec.id)
    records.mark_ready(db, spec.id, began, {})
    records.remember_use(db, spec.id, now - timedelta(seconds=number % 600))
