"""What does the database say about hosts that users asked for? Requests with their grants; one transaction.

Law: what is given to a sandbox is read from here each time, so a grant that was taken back is gone at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from ..rules.egress_requests import EgressGrant, EgressWish, Opening, Scope, Status, applies, status_of
from .records import OPEN, SandboxRecord, select_records
from .tables import sandboxes
from .tables_egress import egress_grants, egress_requests

__all__ = [
    "EgressRequest",
    "Page",
    "active",
    "add_grant",
    "add_request",
    "asked_since",
    "by_number",
    "decide",
    "erase",
    "forget",
    "grant_of",
    "grants",
    "in_force",
    "listed",
    "move",
    "of_user",
    "open_sandboxes",
    "put_away",
    "reopen",
    "revoke",
    "same",
    "waiting",
]

_R, _G = egress_requests.c, egress_grants.c
_MOST = 500


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

    def status_at(self, now: datetime) -> Status:
        """What became of it."""
        return status_of(self.status, self.until, self.revoked_at, now)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which requests are wanted: of a status and user, numbered below `before`."""

    status: Status | None = None
    user: str | None = None
    before: int | None = None
    limit: int = 100


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
    return next(iter(_requests(connection, [_R.id == number], 1)), None)


def same(connection: Connection, user: str, wish: EgressWish) -> EgressRequest | None:
    """The user's request for the same host and port that waits."""
    wanted = [_R.user == user, _R.status == "waiting", _R.host == wish.host, _R.port == wish.port]
    return next(iter(_requests(connection, wanted, 1)), None)


def move(connection: Connection, number: int, record: SandboxRecord) -> None:
    """It is this sandbox now that waits for it: the one that asked has ended."""
    values = {
        "sandbox": record.id,
        "server": record.server,
        "profile": record.profile,
        "groups": record.groups,
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
    return _requests(connection, [_R.user == user], 100)


def listed(connection: Connection, page: Page, now: datetime) -> list[EgressRequest]:
    """A page for admins, the latest first."""
    wanted: list[ColumnElement[bool]] = [] if page.status is None else [_has(page.status, now)]
    wanted += [] if page.user is None else [_R.user == page.user]
    wanted += [] if page.before is None else [_R.id < page.before]
    return _requests(connection, wanted, max(1, min(page.limit, _MOST)))


def decide(
    connection: Connection, number: int, status: Status, answer: tuple[str, str], now: datetime
) -> bool:
    """Answer one that waits: by whom, with which words. False: it did not wait any more."""
    by, words = answer
    query = update(egress_requests).where(_R.id == number, _R.status == "waiting")
    values = {"status": status, "decided_at": now, "decided_by": by[:255], "answer": words}
    return connection.execute(query.values(**values)).rowcount == 1


def reopen(connection: Connection, number: int) -> None:
    """It waits again, and what was given in answer to it is gone: nothing of that came into effect."""
    connection.execute(delete(egress_grants).where(_G.request == number))
    values = {"status": "waiting", "decided_at": None, "decided_by": None, "answer": ""}
    connection.execute(update(egress_requests).where(_R.id == number).values(**values))


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
    return next(iter(_grants(connection, [_G.id == number])), None)


def grants(connection: Connection, only_active: bool, now: datetime) -> list[EgressGrant]:
    """The newest ones, the latest first."""
    return _grants(connection, [_in_force(now)] if only_active else [], _MOST)


def active(connection: Connection, now: datetime) -> list[EgressGrant]:
    """Every one that is in force."""
    return _grants(connection, [_in_force(now)])


def in_force(
    connection: Connection, sandbox: str, user: str, groups: Collection[str], now: datetime
) -> list[EgressGrant]:
    """Those that are in force for one sandbox."""
    found = _grants(
        connection,
        [
            _in_force(now),
            or_(
                and_(_G.scope == "sandbox", _G.name == sandbox),
                and_(_G.scope == "user", _G.name == user),
                and_(_G.scope == "group", _G.name.in_(list(groups)[:1000])),
            ),
        ],
    )
    return [grant for grant in found if applies(grant, sandbox, user, groups, now)]


def revoke(connection: Connection, number: int, by: str, now: datetime) -> bool:
    """Take one back. False: it was not in force."""
    query = update(egress_grants).where(_G.id == number, _in_force(now))
    return connection.execute(query.values(revoked_by=by[:255], revoked_at=now)).rowcount == 1


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
    connection.execute(mine.where(_in_force(now)).values(revoked_by="control", revoked_at=now))
    connection.execute(mine.values(name=kept_as))


def forget(connection: Connection, before: datetime) -> None:
    """Drop what was over before this instant; the audit keeps it."""
    connection.execute(delete(egress_grants).where(_G.until < before))
    granted = select(_G.request)
    over = and_(_R.status != "waiting", _R.decided_at < before, _R.id.not_in(granted))
    connection.execute(delete(egress_requests).where(over))


def _in_force(now: datetime) -> ColumnElement[bool]:
    return and_(_G.revoked_at.is_(None), _G.until > now)


def _has(status: Status, now: datetime) -> ColumnElement[bool]:
    """The condition that rules/egress_requests.py `status_of` gives this status."""
    if status == "approved":
        return and_(_R.status == "approved", _in_force(now))
    if status == "revoked":
        return and_(_R.status == "approved", _G.revoked_at.is_not(None))
    if status == "expired":
        past = or_(_G.until.is_(None), _G.until <= now)
        return and_(_R.status == "approved", _G.revoked_at.is_(None), past)
    return _R.status == status


def _requests(
    connection: Connection, wanted: Sequence[ColumnElement[bool]], limit: int
) -> list[EgressRequest]:
    given = (_G.id.label("grant"), _G.pattern, _G.scope, _G.name, _G.until, _G.revoked_at)
    joined = egress_requests.outerjoin(egress_grants, _G.request == _R.id)
    query = select(*_R, *given).select_from(joined).where(*wanted)
    rows = connection.execute(query.order_by(_R.id.desc()).limit(limit))
    return [EgressRequest(**row._mapping) for row in rows]


def _grants(
    connection: Connection, wanted: Sequence[ColumnElement[bool]], limit: int | None = None
) -> list[EgressGrant]:
    query = select(egress_grants).where(*wanted).order_by(_G.id.desc()).limit(limit)
    return [EgressGrant(**row._mapping) for row in connection.execute(query)]
