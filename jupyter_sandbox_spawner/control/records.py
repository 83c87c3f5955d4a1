"""What does the database say about sandboxes? Typed answers; each question runs inside one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, insert, or_, select, update

from ..errors import ConfigurationError
from ..models import SandboxSpec
from ..rules.admission import AdmissionRequest, KnownSandbox
from ..rules.grants import decide_grants
from ..rules.idleness import Warned
from ..wire import decode, encode
from . import ledger
from .changes import mark_changed
from .tables import sandboxes

__all__ = [
    "OPEN",
    "RecordStatus",
    "SandboxRecord",
    "admit",
    "all_open",
    "by_id",
    "by_ids",
    "decide_stop",
    "groups_of",
    "known_for",
    "latest_of",
    "open_ids",
    "previous_of",
    "mark_audited",
    "mark_ready",
    "recent",
    "release",
    "remember_use",
    "remember_warning",
    "select_records",
    "set_spec",
    "shift_deadlines",
]

RecordStatus = Literal["admitted", "ready", "stopping", "released"]
OPEN = ("admitted", "ready", "stopping")


@dataclass(frozen=True, kw_only=True)
class SandboxRecord:
    """One sandbox as control remembers it. Times are aware UTC; durations seconds."""

    id: str
    user: str
    server: str
    profile: str
    profile_digest: str
    status: RecordStatus
    admitted_at: datetime
    ready_at: datetime | None
    released_at: datetime | None
    deadline: datetime | None
    first_deadline: datetime | None
    idle_timeout: int | None
    idle_floor: datetime | None
    used_at: datetime | None
    extend_by: int | None
    extend_at_most: int | None
    extend_times: int | None
    keep_until: datetime | None
    stop_code: str | None
    stop_why: str | None
    stop_actor: str | None
    stop_decided_at: datetime | None
    exit_code: int | None
    stages: dict[str, float]
    warned: tuple[Warned, ...]
    audited: bool
    spec: dict[str, Any]
    grants: list[dict[str, Any]]
    groups: list[str]

    @property
    def is_open(self) -> bool:
        """Does it hold anything yet?"""
        return self.status in OPEN

    @property
    def zone(self) -> str | None:
        """Where its home is; None where nobody knows it any more."""
        zone = self.spec.get("zone", "" if "id" in self.spec else None)
        return zone if isinstance(zone, str) else None

    def parsed_spec(self) -> SandboxSpec:
        """The spec as it was admitted. An adopted sandbox has none: ask `known_spec` where it may be one."""
        return decode(SandboxSpec, self.spec)

    def known_spec(self) -> SandboxSpec | None:
        """The spec as it was admitted; None of one that was adopted, or where nobody can read it any more."""
        try:
            return self.parsed_spec()
        except ConfigurationError:
            return None


def by_id(connection: Connection, sandbox: str) -> SandboxRecord | None:
    """The record of an id."""
    return _one(connection, select(sandboxes).where(sandboxes.c.id == sandbox))


def by_ids(connection: Connection, wanted: Sequence[str]) -> list[SandboxRecord]:
    """The records of these ids, in pieces that every database takes."""
    found: list[SandboxRecord] = []
    for start in range(0, len(wanted), 500):
        piece = sandboxes.c.id.in_(wanted[start : start + 500])
        found += select_records(connection, select(sandboxes).where(piece))
    return found


def previous_of(connection: Connection, record: SandboxRecord) -> SandboxRecord | None:
    """The sandbox that the same server had before this one."""
    same = (sandboxes.c.user == record.user, sandboxes.c.server == record.server)
    query = select(sandboxes).where(*same, sandboxes.c.admitted_at < record.admitted_at)
    return _one(connection, query.order_by(sandboxes.c.admitted_at.desc()).limit(1))


def latest_of(connection: Connection, user: str, server: str) -> SandboxRecord | None:
    """The newest record of a server, open or not."""
    query = select(sandboxes).where(sandboxes.c.user == user, sandboxes.c.server == server)
    return _one(connection, query.order_by(sandboxes.c.admitted_at.desc()).limit(1))


def groups_of(connection: Connection, user: str) -> list[str] | None:
    """The user's groups as the hub said them at their newest start; None where there was none."""
    query = select(sandboxes.c.groups).where(sandboxes.c.user == user)
    found = connection.execute(query.order_by(sandboxes.c.admitted_at.desc()).limit(1)).one_or_none()
    return None if found is None else list(found[0])


def all_open(connection: Connection) -> list[SandboxRecord]:
    """Every record that is not released."""
    return select_records(connection, select(sandboxes).where(sandboxes.c.status.in_(OPEN)))


def open_ids(connection: Connection) -> list[str]:
    """Their ids alone: ten thousand are no work."""
    return list(connection.execute(select(sandboxes.c.id).where(sandboxes.c.status.in_(OPEN))).scalars())


def recent(
    connection: Connection,
    since: datetime | None,
    limit: int = 1000,
    after: str = "",
    user: str | None = None,
) -> list[SandboxRecord]:
    """Open records, and those released after `since` (None: open ones only), ordered by id after `after`."""
    wanted: ColumnElement[bool] = sandboxes.c.status.in_(OPEN)
    if since is not None:
        wanted = or_(wanted, sandboxes.c.released_at >= since)
    conditions = [wanted, sandboxes.c.id > after]
    if user is not None:
        conditions.append(sandboxes.c.user == user)
    return select_records(
        connection, select(sandboxes).where(and_(*conditions)).order_by(sandboxes.c.id).limit(limit)
    )


def known_for(connection: Connection, spec: SandboxSpec) -> list[KnownSandbox]:
    """What admission must look at: the user's open sandboxes, and any with this id."""
    mine = and_(sandboxes.c.user == spec.user, sandboxes.c.status.in_(OPEN))
    found = select_records(connection, select(sandboxes).where(or_(mine, sandboxes.c.id == spec.id)))
    return [
        KnownSandbox(
            id=item.id, user=item.user, server=item.server, is_open=item.is_open, deadline=item.deadline
        )
        for item in found
    ]


def admit(
    connection: Connection,
    request: AdmissionRequest,
    now: datetime,
    deadline: datetime | None,
    vetoed: Mapping[str, str] | None = None,
) -> None:
    """Record an admitted sandbox that the audit does not know yet; `vetoed` secrets are not granted."""
    spec = request.spec
    verdict = decide_grants(spec.user, request.groups, request.terms.secrets, vetoed)
    connection.execute(
        insert(sandboxes).values(
            id=spec.id,
            user=spec.user,
            server=spec.server,
            profile=spec.profile,
            profile_digest=spec.profile_digest,
            status="admitted",
            spec=encode(spec),
            admitted_at=now,
            deadline=deadline,
            first_deadline=deadline,
            idle_timeout=spec.idle_timeout,
            extend_by=request.terms.extend_by,
            extend_at_most=request.terms.extend_at_most,
            extend_times=request.terms.extend_times,
            audited=False,
            groups=sorted(request.groups),
            grants=[encode(item) for item in verdict.granted],
        )
    )


def mark_audited(connection: Connection, sandbox: str) -> None:
    """The admission's line is in the audit."""
    connection.execute(update(sandboxes).where(sandboxes.c.id == sandbox).values(audited=True))


def mark_ready(connection: Connection, sandbox: str, now: datetime, stages: dict[str, float]) -> bool:
    """The server answers; no-op unless it was starting."""
    query = update(sandboxes).where(sandboxes.c.id == sandbox, sandboxes.c.status == "admitted")
    return connection.execute(query.values(status="ready", ready_at=now, stages=stages)).rowcount == 1


def decide_stop(connection: Connection, sandbox: str, code: str, why: str, actor: str, now: datetime) -> bool:
    """Record why it will be stopped, before it is; the first reason stays."""
    query = update(sandboxes).where(sandboxes.c.id == sandbox, sandboxes.c.status.in_(("admitted", "ready")))
    values = {"stop_code": code, "stop_why": why, "stop_actor": actor, "stop_decided_at": now}
    return connection.execute(query.values(status="stopping", **values)).rowcount == 1


def release(
    connection: Connection, sandbox: str, code: str, why: str, now: datetime, exit_code: int | None = None
) -> bool:
    """Close a record; a reason that was decided before stays. False when it was closed already."""
    mark_changed(sandbox)
    query = update(sandboxes).where(sandboxes.c.id == sandbox, sandboxes.c.status.in_(OPEN))
    undecided = query.where(sandboxes.c.stop_code.is_(None)).values(stop_code=code, stop_why=why)
    connection.execute(undecided)
    done = connection.execute(query.values(status="released", released_at=now, exit_code=exit_code))
    ledger.end(connection, sandbox, now)
    return done.rowcount == 1


def set_spec(connection: Connection, spec: SandboxSpec) -> None:
    """What it may do was changed while it runs: the record says so."""
    connection.execute(update(sandboxes).where(sandboxes.c.id == spec.id).values(spec=encode(spec)))


def remember_use(connection: Connection, sandbox: str, used_at: datetime) -> None:
    """The last use that was seen, for when gateway and control both lose their memory."""
    connection.execute(update(sandboxes).where(sandboxes.c.id == sandbox).values(used_at=used_at))


def remember_warning(connection: Connection, record: SandboxRecord, warned: Warned) -> bool:
    """The last one of each kind is enough to give none twice. False: its end was decided meanwhile."""
    kept = [old for old in record.warned if old.kind != warned.kind] + [warned]
    texts = [{"kind": item.kind, "ahead": item.ahead, "at": item.at.isoformat()} for item in kept]
    query = update(sandboxes).where(sandboxes.c.id == record.id, sandboxes.c.status.in_(OPEN[:2]))
    return connection.execute(query.values(warned=texts)).rowcount == 1


def shift_deadlines(connection: Connection, jump: timedelta, now: datetime) -> int:
    """After the wall clock jumped: keep everyone's remaining time, and count idleness from now on."""
    found = all_open(connection)
    for record in found:
        values: dict[str, Any] = {"idle_floor": now, "admitted_at": record.admitted_at + jump}
        for name in ("ready_at", "deadline", "first_deadline", "used_at", "keep_until", "stop_decided_at"):
            instant = getattr(record, name)
            values[name] = None if instant is None else instant + jump
        connection.execute(update(sandboxes).where(sandboxes.c.id == record.id).values(**values))
    ledger.shift(connection, jump)
    return len(found)


def _one(connection: Connection, query: Select[Any]) -> SandboxRecord | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _record(row)


def select_records(connection: Connection, query: Select[Any]) -> list[SandboxRecord]:
    """The records that a query over the table of sandboxes finds."""
    return [_record(row) for row in _rows(connection, query)]


def _rows(connection: Connection, query: Select[Any]) -> Sequence[Row[Any]]:
    return connection.execute(query).all()


def _record(row: Row[Any]) -> SandboxRecord:
    values = dict(row._mapping)
    warned = tuple(
        Warned(kind=item["kind"], ahead=item["ahead"], at=datetime.fromisoformat(item["at"]))
        for item in values.pop("warned")
    )
    return SandboxRecord(warned=warned, **values)
