"""What must be true of control's database at every commit? Counted anew, not by its own sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.records import SandboxRecord
from jupyter_sandbox_spawner.control.tables_ledger import allocations, holdings

__all__ = ["Limits", "broken"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The pool and the caps of a site. `group_gpus` are those of all members of `group` together."""

    devices: tuple[str, ...]
    user_servers: int
    user_gpus: int
    group: str
    group_gpus: int


def broken(connection: Connection, limits: Limits) -> list[str]:
    """Every sentence that is not true; empty is good."""
    running = records.all_open(connection)
    given = [
        dict(row)
        for row in connection.execute(select(allocations).where(allocations.c.until.is_(None))).mappings()
    ]
    return [*_caps(running, given, limits), *_devices(running, given, limits), *_sums(connection, running)]


def _caps(running: Sequence[SandboxRecord], given: Sequence[dict[str, Any]], limits: Limits) -> Iterator[str]:
    for user, count in Counter(record.user for record in running).items():
        if count > limits.user_servers:
            yield f"{user} has {count} servers of {limits.user_servers}"
    for user, count in Counter(item["user"] for item in given).items():
        if count > limits.user_gpus:
            yield f"{user} has {count} GPUs of {limits.user_gpus}"
    members = {record.id for record in running if limits.group in record.groups}
    count = sum(item["sandbox"] in members for item in given)
    if count > limits.group_gpus:
        yield f"the group {limits.group} has {count} GPUs of {limits.group_gpus}"
    for server, count in Counter((record.user, record.server) for record in running).items():
        if count > 1:
            yield f"{server} has {count} sandboxes"


def _devices(
    running: Sequence[SandboxRecord], given: Sequence[dict[str, Any]], limits: Limits
) -> Iterator[str]:
    for device, count in Counter(item["device"] for item in given).items():
        if count > 1:
            yield f"{device} is given {count} times"
        if device not in limits.devices:
            yield f"{device} is given and does not exist"
    held: dict[str, set[str]] = {record.id: set() for record in running}
    for item in given:
        if item["sandbox"] not in held:
            yield f"{item['device']} is given to {item['sandbox']}, which is not open"
        held.setdefault(item["sandbox"], set()).add(item["device"])
    for record in running:
        if set(record.spec.get("gpu_devices", ())) != held[record.id]:
            yield f"{record.id} has {held[record.id]} and its spec says {record.spec.get('gpu_devices')}"


def _sums(connection: Connection, running: Sequence[SandboxRecord]) -> Iterator[str]:
    lines = connection.execute(
        select(holdings.c.sandbox).where(holdings.c.scope == "user", holdings.c.until.is_(None))
    )
    counted, wanted = set(lines.scalars().all()), {record.id for record in running}
    if counted != wanted:
        yield f"the ledger counts {counted - wanted} more and {wanted - counted} less than what runs"
