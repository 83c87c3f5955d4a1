"""Who has which GPU, since when and until when, and who waits? One look, for admins; it begins no turn."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from ..gpus import GpuDevice, GpuInventory
from ..rules.queue import Standing, givable
from . import waiting
from .tables import sandboxes
from .tables_ledger import allocations, tickets
from .views import timestamp

__all__ = ["board"]


def board(connection: Connection, now: datetime, gpus: GpuInventory) -> dict[str, Any]:
    """`{now, devices, queue, notes}`; devices that are given and no longer found are `vanished`."""
    queue = waiting.look(connection, now, gpus)
    given = {row["device"]: dict(row) for row in _given(connection)}
    usable = {device.id for device in givable(gpus.devices, waiting.taken_now(connection))}
    kept = {device: turn for turn in queue.turns for device in turn.devices}
    found = [
        _device(device, given.pop(device.id, None), device.id in usable, kept.get(device.id) is not None)
        for device in gpus.devices
    ]
    gone = [
        _device(GpuDevice(id=row["device"], kind=row["kind"], parent=row["parent"]), row, True, False)
        | {"state": "vanished"}
        for row in given.values()
    ]
    return {
        "now": timestamp(now),
        "devices": found + gone,
        "queue": _queue(connection, queue),
        "notes": list(gpus.notes),
    }


def _given(connection: Connection) -> list[Any]:
    query = select(allocations, sandboxes.c.deadline).outerjoin(
        sandboxes, sandboxes.c.id == allocations.c.sandbox
    )
    rows = connection.execute(query.where(allocations.c.until.is_(None)).order_by(allocations.c.id))
    return list(rows.mappings().all())


def _device(device: GpuDevice, row: Any, usable: bool, kept: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"id": device.id, "kind": device.kind, "parent": device.parent}
    about["memory"] = device.memory
    if row is None:
        about["state"] = "reserved" if kept else "free" if usable else "split"
        return about
    owner = {name: row[name] for name in ("user", "server", "profile", "sandbox")}
    times = {"since": timestamp(row["since"]), "until": timestamp(row["deadline"])}
    return {**about, "state": "in use", **owner, **times}


def _queue(connection: Connection, queue: Standing) -> list[dict[str, Any]]:
    rows = {row["id"]: row for row in connection.execute(select(tickets)).mappings().all()}
    return [
        {
            "ticket": str(turn.waiting.id),
            **{name: rows[turn.waiting.id][name] for name in ("user", "server", "profile", "kind", "count")},
            "since": timestamp(rows[turn.waiting.id]["at"]),
            "position": turn.position,
            "eta": timestamp(turn.eta),
            "reserved_until": timestamp(turn.waiting.reserved_until),
            "kept_until": timestamp(turn.waiting.kept_until),
        }
        for turn in queue.turns
    ]
