"""What does the database say about hosts that users asked for? Requests with their grants; one transaction.

Law: what is given to a sandbox is read from here each time, so a grant that was taken back is gone at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from ..rules.egress_requests import (
    LONGEST_WAIT,
    EgressGrant,
    EgressWish,
    Opening,
    Scope,
    Status,
    applies,
    status_of,
)
from .records import OPEN, SandboxRecord, select_records
from .tables import sandboxes
from .tables_egress import egress_grants, egress_requests

__all__ = [
    "EgressRequest",
    "active",
    "add_grant",
    "add_request",
    "asked_since",
    "by_number",
    "decide",
    "erase",
    "expire",
    "forget",
    "grant_of",
    "grants_where",
    "in_force",
    "is_in_force",
    "move",
    "of_user",
    "open_sandboxes",
    "put_away",
    "requests_where",
    "revoke",
    "revoke_written",
    "same",
    "waiting",
]

_R, _G = egress_requests.c, egress_grants.c


@dataclass(frozen=True, kw_only=True)
class EgressRequest:
    """One request; `grant` and what follows are those of the grant that answered it, None without one."""

    id: int
    sandbox: str
    user: str
    server: str
    profile: str
    groups: list[str]
    host: str
    port: int
    why: str
    status: Status
    asked_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    answer: str
    grant: int | None = None
    pattern: str | None = None
    scope: Scope | None = None
    name: str | None = None
    until: datetime | None = None
    revoked_at: datetime | None = None
    holder: str | None = None  # the status of the sandbox that waits for it

    @property
    def is_held(self) -> bool:
        """Is the sandbox that waits for it, or has it, open?"""
        return self.holder in OPEN

    def status_at(self, now: datetime) -> Status:
        """What became of it."""
        return status_of(self.status, self.until, self.revoked_at, now)


def add_request(connection: Connection, record: SandboxRecord, wish: EgressWish, now: datetime) -> int:
    """A new one that waits; its number."""
    query = insert(egress_requests).values(
        sandbox=record.id,
        user=record.user,
        server=record.server,
        profile=record.profile,
        groups=record.groups,
        host=wish.host,
        port=wish.port,
        why=wish.why,
        status="waiting",
        asked_at=now,
        answer="",
    )
    return int(connection.execute(query.returning(_R.id)).scalar_one())


def erase(connection: Connection, number: int) -> None:
    """Take out a request that nobody was told of."""
    connection.execute(delete(egress_requests).where(_R.id == number))


def by_number(connection: Connection, number: int) -> EgressRequest | None:
    """The request with this number."""
    return next(iter(requests_where(connection, [_R.id == number], 1)), None)


def same(connection: Connection, user: str, wish: EgressWish) -> EgressRequest | None:
    """The user's request for the same host and port that waits."""
    wanted = [_R.user == user, _R.status == "waiting", _R.host == wish.host, _R.port == wish.port]
    return next(iter(requests_where(connection, wanted, 1)), None)


def move(connection: Connection, number: int, place: SandboxRecord | EgressRequest) -> None:
    """It waits for this one's sandbox now: the one that asked has ended."""
    values = {
        "sandbox": place.id if isinstance(place, SandboxRecord) else place.sandbox,
        "server": place.server,
        "profile": place.profile,
        "groups": place.groups,
    }
    connection.execute(update(egress_requests).where(_R.id == number).values(**values))


def waiting(connection: Connection, user: str | None = None) -> int:
    """How many wait, of a user or of all."""
    wanted = [_R.status == "waiting", *([_R.user == user] if user is not None else [])]
    return connection.execute(select(func.count()).select_from(egress_requests).where(*wanted)).scalar() or 0


def asked_since(connection: Connection, user: str, since: datetime) -> int:
    """How many the user made since then."""
    query = select(func.count()).select_from(egress_requests).where(_R.user == user, _R.asked_at > since)
    return connection.execute(query).scalar() or 0


def of_user(connection: Connection, user: str) -> list[EgressRequest]:
    """The newest ones of a user, the latest first."""
    return requests_where(connection, [_R.user == user], 100)


def decide(
    connection: Connection, number: int, status: Status, answer: tuple[str, str], now: datetime
) -> bool:
    """Answer one that waits: by whom, with which words. False: it did not wait any more."""
    by, words = answer
    query = update(egress_requests).where(_R.id == number, _R.status == "waiting")
    values = {"status": status, "decided_at": now, "decided_by": by[:255], "answer": words}
    return connection.execute(query.values(**values)).rowcount == 1


def add_grant(
    connection: Connection, request: int, given: Opening, answer: tuple[str, str], now: datetime
) -> EgressGrant:
    """What answers a request."""
    by, why = answer
    values: dict[str, Any] = {
        "request": request,
        "pattern": given.pattern,
        "port": given.port,
        "scope": given.scope,
        "name": given.name,
        "since": now,
        "until": given.until,
        "by": by[:255],
        "why": why,
    }
    number = connection.execute(insert(egress_grants).values(**values).returning(_G.id)).scalar_one()
    return EgressGrant(id=int(number), **values)


def grant_of(connection: Connection, number: int) -> EgressGrant | None:
    """The grant with this number."""
    return next(iter(grants_where(connection, [_G.id == number])), None)


def active(connection: Connection, now: datetime) -> list[EgressGrant]:
    """Every one that is in force."""
    return grants_where(connection, [is_in_force(now)])


def in_force(
    connection: Connection, sandbox: str, user: str, groups: Collection[str], now: datetime
) -> list[EgressGrant]:
    """Those that are in force for one sandbox."""
    found = grants_where(
        connection,
        [
            is_in_force(now),
            or_(
                and_(_G.scope == "sandbox", _G.name == sandbox),
                and_(_G.scope == "user", _G.name == user),
                and_(_G.scope == "group", _G.name.in_(list(groups)[:1000])),
            ),
        ],
    )
    return [grant for grant in found if applies(grant, sandbox, user, groups, now)]


def revoke(connection: Connection, number: int, by: str, now: datetime) -> bool:
    """Take one back, which is not in the audit yet. False: it was not in force."""
    query = update(egress_grants).where(_G.id == number, is_in_force(now))
    values = {"revoked_by": by[:255], "revoked_at": now, "unwritten": 1}
    return connection.execute(query.values(**values)).rowcount == 1


def revoke_written(connection: Connection, number: int) -> None:
    """That it was taken back is in the audit now."""
    connection.execute(update(egress_grants).where(_G.id == number).values(unwritten=0))


def open_sandboxes(connection: Connection, grant: EgressGrant) -> list[SandboxRecord]:
    """The open sandboxes that a grant is meant for, in force or not."""
    query = select(sandboxes).where(sandboxes.c.status.in_(OPEN))
    if grant.scope == "group":
        return [item for item in select_records(connection, query) if grant.name in item.groups]
    column = sandboxes.c.id if grant.scope == "sandbox" else sandboxes.c.user
    return select_records(connection, query.where(column == grant.name))


def put_away(connection: Connection, user: str, kept_as: str, now: datetime) -> None:
    """The user was deleted: nothing waits or is given under the name any more."""
    gone = {"status": "withdrawn", "decided_at": now, "decided_by": "control"}
    connection.execute(update(egress_requests).where(_R.user == user, _R.status == "waiting").values(**gone))
    connection.execute(update(egress_requests).where(_R.user == user).values(user=kept_as))
    mine = update(egress_grants).where(_G.scope == "user", _G.name == user)
    connection.execute(mine.where(is_in_force(now)).values(revoked_by="control", revoked_at=now))
    connection.execute(mine.values(name=kept_as))


def expire(connection: Connection, now: datetime) -> None:
    """Nobody answered for so long that nobody waits any more."""
    late = update(egress_requests).where(
        _R.status == "waiting", _R.asked_at < now - timedelta(seconds=LONGEST_WAIT)
    )
    connection.execute(late.values(status="expired", decided_at=now, decided_by="control"))


def forget(connection: Connection, before: datetime) -> None:
    """Drop what was over before this instant; the audit keeps it."""
    connection.execute(delete(egress_grants).where(_G.until < before))
    granted = select(_G.request)
    over = and_(_R.status != "waiting", _R.decided_at < before, _R.id.not_in(granted))
    connection.execute(delete(egress_requests).where(over))


def is_in_force(now: datetime) -> ColumnElement[bool]:
    """The condition of a grant that holds."""
    return and_(_G.revoked_at.is_(None), _G.until > now)


def requests_where(
    connection: Connection, wanted: Sequence[ColumnElement[bool]], limit: int
) -> list[EgressRequest]:
    """Those that fulfil all of it, the latest first."""
    holder = sandboxes.c.status.label("holder")
    given = (_G.id.label("grant"), _G.pattern, _G.scope, _G.name, _G.until, _G.revoked_at, holder)
    joined = egress_requests.outerjoin(egress_grants, _G.request == _R.id)
    joined = joined.outerjoin(sandboxes, sandboxes.c.id == _R.sandbox)
    query = select(*_R, *given).select_from(joined).where(*wanted)
    rows = connection.execute(query.order_by(_R.id.desc()).limit(limit))
    return [EgressRequest(**row._mapping) for row in rows]


def grants_where(
    connection: Connection, wanted: Sequence[ColumnElement[bool]], limit: int | None = None
) -> list[EgressGrant]:
    """Those that fulfil all of it, the latest first."""
    query = select(egress_grants).where(*wanted).order_by(_G.id.desc()).limit(limit)
    return [EgressGrant(**row._mapping) for row in connection.execute(query)]
