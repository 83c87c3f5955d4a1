"""How does a user's wish for a host come before an admin? Checked, put to policy, recorded, audited, told.

Law: what policy denies waits for nobody; what waits is in the audit, or it is taken out again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection

from ..errors import ProgramError, RefusedError, SandboxError
from ..rules.audit import Entry
from ..rules.egress_requests import EgressWish, Refusal, Status, refusal, too_many, wish
from ..rules.egress_words import answer_words, missed_words
from ..rules.policy import Decision, Question
from ..rules.policy_record import denial_detail, recorded
from ..rules.policy_words import explain, way_out
from ..rules.services import service_places
from . import egress_records, happenings, records
from .egress_records import EgressRequest
from .parts import Parts
from .records import SandboxRecord

__all__ = [
    "AskBody",
    "WithdrawBody",
    "ask",
    "ask_policy",
    "audited",
    "decided",
    "everywhere",
    "is_internal",
    "line",
    "no_request",
    "ruling_of",
    "tell",
    "tell_missed",
    "withdraw",
]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class AskBody:
    """Body of `ask`: which host, which port, and what for."""

    host: str
    port: int
    why: str


@dataclass(frozen=True, kw_only=True)
class WithdrawBody:
    """Body of `withdraw`: the number of the request."""

    id: int


async def ask(parts: Parts, record: SandboxRecord, actor: str, body: AskBody) -> EgressRequest:
    """The request that waits now; the same wish again gives the same one. Raises RefusedError."""
    asked = wish(body.host, body.port, body.why)
    parts.audit.check()
    no = refusal(record.known_spec(), asked, parts.clock.now(), is_internal(parts, asked.host, asked.port))
    if no is not None:
        raise await _refused(parts, record, asked, no)
    ruling = await ask_policy(parts, record, f"{asked.host}:{asked.port}")
    async with parts.egress_turn:
        now = parts.clock.now()
        known = await parts.store.run(lambda db: _known(db, record, asked, now))
        if isinstance(known, Refusal):
            raise await _refused(parts, record, asked, known)
        if known is None:
            return await _new(parts, record, asked, actor, ruling)
        if known.sandbox == record.id or known.is_held:
            return known
        moved = line("moved", known, actor, "done", {"to": record.id, "to_server": record.server})
        return await audited(parts, moved, lambda db: _moved(db, known, record, now))


async def withdraw(parts: Parts, record: SandboxRecord, actor: str, number: int) -> EgressRequest:
    """Take back an own request that waits. Raises RefusedError."""
    parts.audit.check()
    if record.zone != "":
        message = "From a server with guarded data nothing is withdrawn: it could tell of them."
        raise RefusedError(message, code="egress.guarded_data", remedy="Withdraw it from another server.")
    async with parts.egress_turn:
        now = parts.clock.now()

        def own(connection: Connection) -> EgressRequest:
            request = egress_records.by_number(connection, number)
            if request is None or request.user != record.user:
                raise no_request(number)
            if request.status != "waiting":
                raise decided(request, now)
            return request

        def transaction(connection: Connection) -> EgressRequest:
            if not egress_records.decide(connection, number, "withdrawn", (actor, ""), now):
                raise decided(request, now)
            tell(connection, everywhere(connection, request), request, "withdrawn", now)
            return egress_records.by_number(connection, number) or request

        request = await parts.store.run(own)
        return await audited(parts, line("withdrawn", request, actor, "done"), transaction)


async def audited(parts: Parts, entry: Entry, act: Callable[[Connection], T]) -> T:
    """Do it, once it is in the audit; where it then cannot be done, that is in the audit, too."""
    await parts.audit.write(entry)
    try:
        return await parts.store.run(act)
    except SandboxError as error:
        await parts.audit.write(replace(entry, outcome="failed", code=error.code))
        raise


def is_internal(parts: Parts, host: str, port: int) -> bool:
    """Is it a service of the site's own network?"""
    return (host, port) in service_places(parts.internal_services)


async def ask_policy(parts: Parts, subject: SandboxRecord | EgressRequest, resource: str) -> Decision:
    """What policy says to this way out for this user; a denial is audited and raised."""
    ruling = await ruling_of(parts, subject, resource)
    if not ruling.allow:
        sandbox = subject.sandbox if isinstance(subject, EgressRequest) else subject.id
        await parts.denials.denied("policy", subject.user, subject.server, sandbox, **denial_detail(ruling))
        settings = (await parts.terms.book()).policy
        raise RefusedError(
            explain(ruling, settings), code=ruling.reasons[0], remedy=way_out(ruling), status=403
        )
    return ruling


async def ruling_of(parts: Parts, subject: SandboxRecord | EgressRequest, resource: str) -> Decision:
    """What policy says to this way out for this user."""
    question = Question(
        point="egress",
        user=subject.user,
        groups=tuple(sorted(subject.groups)),
        profile=subject.profile,
        resource=resource,
    )
    return await parts.policy.ask(question, await parts.terms.book())


def tell(
    connection: Connection,
    sandboxes: Iterable[str],
    request: EgressRequest,
    status: Status,
    now: datetime,
    answer: str = "",
) -> None:
    """The event, for these sandboxes."""
    place, until = f"{request.host}:{request.port}", request.until if status == "approved" else None
    words = (f"egress_request.{status}", answer_words(status, place, until, answer))
    _tell(connection, sandboxes, request, {"status": status, "answer": answer, "until": until}, words, now)


def tell_missed(connection: Connection, request: EgressRequest, why: str, now: datetime) -> None:
    """The event for the sandbox that asked, which does not have what was given."""
    words = ("egress_request.not_applied", missed_words(f"{request.host}:{request.port}", why))
    detail = {"status": "approved", "answer": request.answer, "until": None}
    _tell(connection, [request.sandbox], request, detail, words, now)


def everywhere(connection: Connection, request: EgressRequest) -> list[str]:
    """The open sandboxes of the user: they may have asked from one that is gone."""
    return [record.id for record in records.recent(connection, None, user=request.user)]


def line(
    verb: str, request: EgressRequest, actor: str, outcome: Any, more: dict[str, Any] | None = None
) -> Entry:
    """A line of the audit about a request."""
    return Entry(
        actor=actor,
        action=f"egress_request.{verb}",
        outcome=outcome,
        user=request.user,
        server=request.server,
        sandbox=request.sandbox,
        detail={"request": request.id, "host": request.host, "port": request.port, **(more or {})},
    )


def no_request(number: int) -> RefusedError:
    """There is none with this number, or it is somebody else's."""
    return RefusedError(f"There is no request {number}.", code="egress.unknown_request", status=404)


def decided(request: EgressRequest, now: datetime) -> RefusedError:
    """It does not wait any more."""
    message = f"Request {request.id} does not wait: it is {request.status_at(now)}."
    return RefusedError(message, code="egress.request_decided", status=409)


def _known(
    connection: Connection, record: SandboxRecord, asked: EgressWish, now: datetime
) -> EgressRequest | Refusal | None:
    """The same one that waits; why there may be no new one; or None."""
    known = egress_records.same(connection, record.user, asked)
    if known is not None:
        return known
    within_hour = egress_records.asked_since(connection, record.user, now - timedelta(hours=1))
    return too_many(egress_records.waiting(connection, record.user), within_hour)


def _moved(
    connection: Connection, known: EgressRequest, record: SandboxRecord, now: datetime
) -> EgressRequest:
    egress_records.move(connection, known.id, record)
    tell(connection, [record.id], known, "waiting", now)
    return egress_records.by_number(connection, known.id) or known


async def _new(
    parts: Parts, record: SandboxRecord, asked: EgressWish, actor: str, ruling: Decision
) -> EgressRequest:
    now = parts.clock.now()

    def transaction(connection: Connection) -> EgressRequest:
        number = egress_records.add_request(connection, record, asked, now)
        request = egress_records.by_number(connection, number)
        if request is None:  # written a line above, in this transaction
            raise ProgramError("The request is not in the database.", code="database.failed")
        return request

    request = await parts.store.run(transaction)
    entry = line("asked", request, actor, "done", {"why": request.why, "decisions": [recorded(ruling)]})
    try:
        await parts.audit.write(entry)
    except ProgramError:
        await parts.store.run(lambda db: egress_records.erase(db, request.id))
        raise
    await parts.store.run(lambda db: tell(db, everywhere(db, request), request, "waiting", now))
    return request


def _tell(
    connection: Connection,
    sandboxes: Iterable[str],
    request: EgressRequest,
    detail: dict[str, Any],
    words: tuple[str, str],
    now: datetime,
) -> None:
    code, why = words
    until = detail["until"]
    about = {"id": request.id, "host": request.host, "port": request.port, "code": code, "why": why}
    about |= {**detail, "until": None if until is None else until.isoformat()}
    for sandbox in sandboxes:
        happenings.add_event(connection, sandbox, now, "egress_request", about)


async def _refused(parts: Parts, record: SandboxRecord, asked: EgressWish, no: Refusal) -> RefusedError:
    await parts.denials.denied(
        "egress_request",
        record.user,
        record.server,
        record.id,
        code=no.code,
        host=asked.host,
        port=str(asked.port),
    )
    return RefusedError(no.message, code=no.code, remedy=no.remedy, status=no.status)
