"""Which sandboxes and which refused hosts are on a page of a list? Searched, sorted and cut by the database.

Law: what an admin types to search is data, never a pattern; only the rows of the page are read whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Text,
    and_,
    cast,
    func,
    or_,
    select,
    type_coerce,
)

from ..rules.list_query import DenialQuery, TableQuery
from . import records
from .records import OPEN, SandboxRecord
from .tables import denials, sandboxes
from .tables_egress import egress_requests
from .tables_ledger import allocations, holdings

__all__ = ["Found", "denied_page", "held_by", "room_of", "sandbox_page"]

_ENDED = timedelta(days=7)  # of those that ended, as everywhere
_S = sandboxes.c


@dataclass(frozen=True, kw_only=True)
class Found:
    """The records of a page in their order, how many there are in all, and what each holds by the ledger."""

    total: int
    page: list[SandboxRecord]
    devices: dict[str, list[str]] = field(default_factory=dict)
    held: dict[str, tuple[float, int]] = field(default_factory=dict)  # processors, bytes of memory


def sandbox_page(connection: Connection, query: TableQuery, now: datetime) -> Found:
    """One page of the table."""
    wanted = _wanted(connection, query, now)
    total = connection.execute(select(func.count()).select_from(sandboxes).where(*wanted)).scalar_one()
    ids = _ids(connection, query, wanted)
    found = {record.id: record for record in records.by_ids(connection, ids)}
    return Found(
        total=total,
        page=[found[sandbox] for sandbox in ids],
        devices=_devices(connection, ids),
        held=held_by(connection, ids),
    )


def _wanted(connection: Connection, query: TableQuery, now: datetime) -> list[ColumnElement[bool]]:
    is_open = _S.status.in_(OPEN)
    ended = and_(_S.status == "released", _S.released_at >= now - _ENDED)
    wanted: list[ColumnElement[bool]] = [
        {"open": is_open, "ended": ended, "all": or_(is_open, ended)}[query.status]
    ]
    if query.search:
        whole = _S.user + "/" + _S.server
        names = (whole, _S.profile, _S.id)
        wanted.append(or_(*(name.icontains(query.search, autoescape=True) for name in names)))
    if query.profile:
        wanted.append(_S.profile == query.profile)
    if query.group:
        # As it stands in the JSON list of names, with its quotes: no part of a name looks like that.
        within = func.strpos if connection.dialect.name == "postgresql" else func.instr
        wanted.append(within(cast(type_coerce(_S.groups, Text), Text), json.dumps(query.group)) > 0)
    return wanted


def _ids(connection: Connection, query: TableQuery, wanted: Sequence[ColumnElement[bool]]) -> list[str]:
    asked = select(_S.id).where(*wanted)
    if query.sort == "gpus":
        # By its whole key; the name is the user's.
        mine = and_(holdings.c.scope == "user", holdings.c.name == _S.user, holdings.c.sandbox == _S.id)
        asked = asked.outerjoin(holdings, mine)
    columns: dict[str, tuple[Any, ...]] = {
        "user": (_S.user, _S.server),
        "server": (_S.server, _S.user),
        "profile": (_S.profile,),
        "started": (_S.admitted_at,),
        "ends": (func.coalesce(_S.released_at, _S.deadline),),
        # What was never used has been idle since its start.
        "used": (func.coalesce(_S.used_at, _S.ready_at, _S.admitted_at),),
        "gpus": (func.coalesce(holdings.c.gpus, 0),),
    }
    order: list[Any] = []
    for column in columns[query.sort]:
        if query.sort == "ends":
            order.append(column.is_(None))  # those without one come last, either way
        order.append(column.desc() if query.descending else column.asc())
    first = (query.page - 1) * query.size
    rows = connection.execute(asked.order_by(*order, _S.id).limit(query.size).offset(first))
    return list(rows.scalars())


def room_of(record: SandboxRecord, held: Mapping[str, tuple[float, int]]) -> dict[str, Any]:
    """`{cpu, memory}`: by the ledger, else by its limits."""
    limits = record.spec.get("resources", {})
    cpu, memory = held.get(record.id, (limits.get("cpu"), limits.get("memory")))
    return {"cpu": cpu, "memory": memory}


def held_by(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Processors and bytes of memory. Of an adopted one nobody has the spec; the ledger knows."""
    query = select(holdings.c.sandbox, holdings.c.cpu, holdings.c.memory)
    rows = connection.execute(query.where(holdings.c.scope == "user", holdings.c.sandbox.in_(ids)))
    return {sandbox: (cpu, memory) for sandbox, cpu, memory in rows}


def _devices(connection: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    query = select(allocations.c.sandbox, allocations.c.device).where(allocations.c.sandbox.in_(ids))
    for sandbox, device in connection.execute(query.order_by(allocations.c.id)):
        found.setdefault(sandbox, []).append(device)
    return found


def denied_page(connection: Connection, query: DenialQuery) -> tuple[int, list[dict[str, Any]]]:
    """How many refused hosts there are, and those of a page, the latest first."""
    joined = denials.join(sandboxes, _S.id == denials.c.sandbox)
    wanted: list[ColumnElement[bool]] = []
    if query.user:
        wanted.append(_S.user == query.user)
    if query.host:
        wanted.append(denials.c.host.icontains(query.host, autoescape=True))
    if query.code:
        wanted.append(denials.c.code == query.code)
    counted = joined if query.user else denials
    total = connection.execute(select(func.count()).select_from(counted).where(*wanted)).scalar_one()
    asked = select(_S.user, _S.server, denials).select_from(joined).where(*wanted)
    key = (denials.c.last_at.desc(), denials.c.sandbox, denials.c.host, denials.c.port, denials.c.code)
    first = (query.page - 1) * query.size
    rows = connection.execute(asked.order_by(*key).limit(query.size).offset(first)).mappings().all()
    requests = _requests(connection, rows)
    return total, [{**row, "request": requests.get((row["user"], row["host"], row["port"]))} for row in rows]


def _requests(
    connection: Connection, denied: Sequence[RowMapping]
) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The newest request of each of these users for each of these hosts and ports, from whichever sandbox."""
    c = egress_requests.c
    users, hosts = {row["user"] for row in denied}, {row["host"] for row in denied}
    wanted = (c.user.in_(sorted(users)), c.host.in_(sorted(hosts)))
    rows = connection.execute(select(c.id, c.user, c.host, c.port, c.status).where(*wanted).order_by(c.id))
    return {(row.user, row.host, row.port): {"id": row.id, "status": row.status} for row in rows}
