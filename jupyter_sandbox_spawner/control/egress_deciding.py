"""How does an admin answer a request for a host, or take a grant back?

Law: decided once, one after the other, and audited before it holds; an answer that cannot be audited is none.
Taking back works also while the audit cannot be written. People read that they have it where they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from ..errors import ProgramError, RefusedError
from ..rules.audit import Entry
from ..rules.egress_requests import EgressGrant, EgressWish, Opening, Terms, cleaned, opening
from ..rules.policy import Decision
from ..rules.policy_record import recorded
from . import egress_records
from .egress_asking import (
    ask_policy,
    audited,
    decided,
    everywhere,
    is_internal,
    line,
    no_request,
    tell,
    tell_missed,
)
from .egress_keeping import EgressKeeper, Outcome
from .egress_records import EgressRequest
from .parts import Parts

__all__ = ["Answered", "EgressDesk"]

_MOST_WORDS = 500


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The request and its grant as they are now, and what became of each sandbox that it is meant for."""

    request: EgressRequest | None
    grant: EgressGrant
    outcomes: tuple[Outcome, ...]


class EgressDesk:
    """Where admins answer: verbs approve, deny, revoke."""

    def __init__(self, parts: Parts, keeper: EgressKeeper) -> None:
        self._parts = parts
        self._keeper = keeper

    async def approve(self, number: int, terms: Terms, actor: str) -> Answered:
        """Open what was asked for on these terms. Raises ConfigurationError, or RefusedError where it does
        not wait, waits for another sandbox than the terms say, or policy says no."""
        parts = self._parts
        parts.audit.check()
        request = await self._waiting(number, terms)
        asked = EgressWish(host=request.host, port=request.port, why=request.why)
        person, internal = (request.user, request.groups), is_internal(parts, request.host, request.port)
        given = opening(terms, asked, request.sandbox, person, parts.clock.now(), internal)
        ruling = await ask_policy(parts, request, f"{given.pattern}:{given.port}")
        answer = (actor, cleaned(terms.why)[:_MOST_WORDS])
        async with parts.egress_turn:
            request, now = await self._waiting(number, terms, given), parts.clock.now()
            entry = line("approved", request, actor, "allowed", _detail(given, answer[1], ruling))
            grant = await audited(parts, entry, lambda db: _approved(db, request, given, answer, now))
        answered = await self._answered(grant)
        missed = [one.message for one in answered.outcomes if one.code and one.sandbox == request.sandbox]
        if missed:
            await parts.store.run(lambda db: _tell_missed(db, number, missed[0], now))
        return answered

    async def deny(self, number: int, why: str, actor: str) -> EgressRequest:
        """Answer with no. Raises RefusedError where it does not wait."""
        parts, words = self._parts, cleaned(why)[:_MOST_WORDS]
        parts.audit.check()

        def transaction(connection: Connection) -> EgressRequest:
            now = parts.clock.now()
            if not egress_records.decide(connection, number, "denied", (actor, words), now):
                raise decided(request, now)
            tell(connection, everywhere(connection, request), request, "denied", now, words)
            return egress_records.by_number(connection, number) or request

        async with parts.egress_turn:
            request = await self._waiting(number)
            entry = line("refused", request, actor, "denied", {"why": words})
            return await audited(parts, entry, transaction)

    async def revoke(self, number: int, why: str, actor: str) -> Answered:
        """Take a grant back at once, also where that cannot be audited, which is then said and made good by
        the next time; one that is over stays as it is. Raises RefusedError."""
        parts, now, words = self._parts, self._parts.clock.now(), cleaned(why)[:_MOST_WORDS]

        def transaction(connection: Connection) -> EgressGrant:
            done = egress_records.revoke(connection, number, actor, now)
            grant = egress_records.grant_of(connection, number)
            if grant is None:
                raise RefusedError(f"There is no grant {number}.", code="egress.unknown_grant", status=404)
            request = egress_records.by_number(connection, grant.request)
            if done and request is not None:
                open_now = egress_records.open_sandboxes(connection, grant)
                mine = [record.id for record in open_now if record.user == request.user]
                tell(connection, mine, request, "revoked", now, words)
            return grant

        grant = await parts.store.run(transaction)
        answered = await self._answered(grant)
        if grant.unwritten:
            await self._write_revoked(answered, words)
        return answered

    async def _write_revoked(self, answered: Answered, words: str) -> None:
        async with self._parts.egress_turn:
            number = answered.grant.id
            grant = await self._parts.store.run(lambda db: egress_records.grant_of(db, number))
            if grant is None or not grant.unwritten:
                return
            try:
                await self._parts.audit.write(_revoked(answered, words))
            except ProgramError as error:
                message = f"Grant {number} is taken back, but that is not in the audit: {error.message}"
                remedy = "Take it back once more when the audit can be written."
                raise ProgramError(message, code=error.code, remedy=remedy, status=error.status) from error
            await self._parts.store.run(lambda db: egress_records.revoke_written(db, number))

    async def _answered(self, grant: EgressGrant) -> Answered:
        outcomes = await self._keeper.apply_all(grant)
        request = await self._parts.store.run(lambda db: egress_records.by_number(db, grant.request))
        return Answered(request=request, grant=grant, outcomes=tuple(outcomes))

    async def _waiting(
        self, number: int, terms: Terms | None = None, given: Opening | None = None
    ) -> EgressRequest:
        """The request, which waits. Raises RefusedError where it does not, or not for this sandbox."""
        now = self._parts.clock.now()
        request = await self._parts.store.run(lambda db: egress_records.by_number(db, number))
        if request is None:
            raise no_request(number)
        if request.status != "waiting":
            raise decided(request, now)
        expected = terms.sandbox if terms is not None else ""
        if given is not None and given.scope == "sandbox":
            expected = given.name
            if request.sandbox == expected and not request.is_held:
                raise _over(request)
        if expected and request.sandbox != expected:
            raise _moved(request)
        return request


def _over(request: EgressRequest) -> RefusedError:
    return RefusedError(
        f"The sandbox that asked ({request.sandbox}) has ended.",
        code="egress.sandbox_over",
        remedy="Give it to the user or to a group.",
        status=409,
    )


def _moved(request: EgressRequest) -> RefusedError:
    return RefusedError(
        f"Request {request.id} waits for another sandbox now: {request.sandbox}.",
        code="egress.request_moved",
        remedy="Look at it again, then answer it.",
        status=409,
    )


def _approved(
    connection: Connection, request: EgressRequest, given: Opening, answer: tuple[str, str], now: datetime
) -> EgressGrant:
    holder = egress_records.by_number(connection, request.id)
    if given.scope == "sandbox" and holder is not None and not holder.is_held:
        raise _over(request)
    if not egress_records.decide(connection, request.id, "approved", answer, now):
        raise decided(request, now)
    return egress_records.add_grant(connection, request.id, given, answer, now)


def _tell_missed(connection: Connection, number: int, why: str, now: datetime) -> None:
    request = egress_records.by_number(connection, number)
    if request is not None:
        tell_missed(connection, request, why, now)


def _detail(given: Opening, why: str, ruling: Decision) -> dict[str, Any]:
    return {
        "pattern": given.pattern,
        "scope": given.scope,
        "name": given.name,
        "until": given.until.isoformat(),
        "why": why,
        "decisions": [recorded(ruling)],
    }


def _revoked(answered: Answered, why: str) -> Entry:
    grant, request = answered.grant, answered.request
    actor = grant.revoked_by or "control"
    detail = {"grant": grant.id, "pattern": f"{grant.pattern}:{grant.port}", "scope": grant.scope, "why": why}
    if request is not None:
        return line("revoked", request, actor, "done", detail)
    return Entry(actor=actor, action="egress_request.revoked", outcome="done", detail=detail)
