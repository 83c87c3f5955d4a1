"""How does a user's wish for a host come before an admin? Checked, put to policy, recorded, audited, told.

Law: what policy denies waits for nobody; what waits is in the audit, or it is taken out again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from ..errors import ProgramError, RefusedError
from ..rules.audit import Entry
from ..rules.egress_requests import EgressWish, Refusal, Status, answer_words, refusal, too_many, wish
from ..rules.policy import Decision, Question
from ..rules.policy_record import denial_detail, recorded
from ..rules.policy_words import explain, way_out
from . import egress_records, happenings, records
from .egress_records import EgressRequest
from .parts import Parts
from .records import SandboxRecord

__all__ = [
    "AskBody",
    "WithdrawBody",
    "ask",
    "ask_policy",
    "decided",
    "line",
    "no_request",
    "ruling_of",
    "tell",
    "withdraw",
]


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
    no = refusal(record.known_spec(), asked, parts.clock.now())
    if no is not None:
        raise await _refused(parts, record, asked, no)
    ruling = await ask_policy(parts, record, f"{asked.host}:{asked.port}")
    now = parts.clock.now()
    found = await parts.store.run(lambda db: _recorded(db, record, asked, now))
    if isinstance(found, Refusal):
        raise await _refused(parts, record, asked, found)
    request, is_new = found
    if is_new:
        entry = line("asked", request, actor, "done", {"why": request.why, "decisions": [recorded(ruling)]})
        try:
            await parts.audit.write(entry)
        except ProgramError:
            await parts.store.run(lambda db: egress_records.erase(db, request.id))
            raise
    return request


async def withdraw(parts: Parts, record: SandboxRecord, actor: str, number: int) -> EgressRequest:
    """Take back an own request that waits. Raises RefusedError."""
    parts.audit.check()
    now = parts.clock.now()

    def transaction(connection: Connection) -> EgressRequest:
        request = egress_records.by_number(connection, number)
        if request is None or request.user != record.user:
            raise no_request(number)
        if not egress_records.decide(connection, number, "withdrawn", (actor, ""), now):
            raise decided(request, now)
        tell(connection, request, "withdrawn", now)
        return egress_records.by_number(connection, number) or request

    if record.zone != "":
        message = "From a server with guarded data nothing is withdrawn: it could tell of them."
        raise RefusedError(message, code="egress.guarded_data", remedy="Withdraw it from another server.")
    request = await parts.store.run(transaction)
    await parts.audit.write(line("withdrawn", request, actor, "done"))
    return request


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
    connection: Connection, request: EgressRequest, status: Status, now: datetime, answer: str = ""
) -> None:
    """The event, for every running sandbox of the user: they may have asked from one that is gone."""
    place, until = f"{request.host}:{request.port}", request.until if status == "approved" else None
    detail: dict[str, Any] = {
        "id": request.id,
        "host": request.host,
        "port": request.port,
        "status": status,
        "answer": answer,
        "until": None if until is None else until.isoformat(),
        "code": f"egress_request.{status}",
        "why": answer_words(status, place, until, answer),
    }
    for record in records.recent(connection, None, user=request.user):
        happenings.add_event(connection, record.id, now, "egress_request", detail)


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


def _recorded(
    connection: Connection, record: SandboxRecord, asked: EgressWish, now: datetime
) -> tuple[EgressRequest, bool] | Refusal:
    """The request, and whether it is new."""
    user = record.user
    known = egress_records.same(connection, user, asked)
    if known is not None:
        holder = records.by_id(connection, known.sandbox)
        if holder is None or not holder.is_open:
            egress_records.move(connection, known.id, record)
        return egress_records.by_number(connection, known.id) or known, False
    within_hour = egress_records.asked_since(connection, user, now - timedelta(hours=1))
    no = too_many(egress_records.waiting(connection, user), within_hour)
    if no is not None:
        return no
    request = egress_records.by_number(connection, egress_records.add_request(connection, record, asked, now))
    if request is None:  # written a line above, in this transaction
        raise ProgramError("The request is not in the database.", code="database.failed")
    tell(connection, request, "waiting", now)
    return request, True


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
