"""How does an admin answer a request for a host, or take a grant back?

Law: decided once, in one transaction, and audited before anything opens; an approval that cannot be audited
is none. Taking back works also while the audit cannot be written.
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
from . import egress_records, records
from .egress_asking import ask_policy, decided, line, no_request, tell
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
        not wait or policy says no."""
        parts = self._parts
        parts.audit.check()
        request = await self._request(number)
        asked = EgressWish(host=request.host, port=request.port, why=request.why)
        person = (request.user, request.groups)
        given = opening(terms, asked, request.sandbox, person, parts.clock.now())
        ruling = await ask_policy(parts, request, f"{given.pattern}:{given.port}")
        answer = (actor, cleaned(terms.why)[:_MOST_WORDS])
        now = parts.clock.now()
        grant = await parts.store.run(lambda db: _approved(db, number, given, answer, now))
        try:
            await parts.audit.write(line("approved", request, actor, "allowed", _detail(grant, ruling)))
        except ProgramError:
            await parts.store.run(lambda db: egress_records.reopen(db, number))
            raise
        await parts.store.run(lambda db: _tell(db, grant, now))
        return await self._answered(grant)

    async def deny(self, number: int, why: str, actor: str) -> EgressRequest:
        """Answer with no. Raises RefusedError where it does not wait."""
        parts, now, words = self._parts, self._parts.clock.now(), cleaned(why)[:_MOST_WORDS]
        parts.audit.check()

        def transaction(connection: Connection) -> EgressRequest:
            request = _waiting(connection, number, now)
            egress_records.decide(connection, number, "denied", (actor, words), now)
            tell(connection, request, "denied", now, words)
            return egress_records.by_number(connection, number) or request

        request = await parts.store.run(transaction)
        await parts.audit.write(line("refused", request, actor, "denied", {"why": words}))
        return request

    async def revoke(self, number: int, why: str, actor: str) -> Answered:
        """Take a grant back at once; one that is over stays as it is. Raises RefusedError."""
        parts, now, words = self._parts, self._parts.clock.now(), cleaned(why)[:_MOST_WORDS]

        def transaction(connection: Connection) -> tuple[EgressGrant, bool]:
            done = egress_records.revoke(connection, number, actor, now)
            grant = egress_records.grant_of(connection, number)
            if grant is None:
                raise RefusedError(f"There is no grant {number}.", code="egress.unknown_grant", status=404)
            request = egress_records.by_number(connection, grant.request)
            if done and request is not None:
                tell(connection, request, "revoked", now, words)
            return grant, done

        grant, done = await parts.store.run(transaction)
        answered = await self._answered(grant)
        if done:
            await parts.audit.write(_revoked(answered, actor, words))
        return answered

    async def _answered(self, grant: EgressGrant) -> Answered:
        outcomes = await self._keeper.apply_all(grant)
        request = await self._parts.store.run(lambda db: egress_records.by_number(db, grant.request))
        return Answered(request=request, grant=grant, outcomes=tuple(outcomes))

    async def _request(self, number: int) -> EgressRequest:
        now = self._parts.clock.now()
        return await self._parts.store.run(lambda db: _waiting(db, number, now))


def _waiting(connection: Connection, number: int, now: datetime) -> EgressRequest:
    request = egress_records.by_number(connection, number)
    if request is None:
        raise no_request(number)
    if request.status != "waiting":
        raise decided(request, now)
    return request


def _approved(
    connection: Connection, number: int, given: Opening, answer: tuple[str, str], now: datetime
) -> EgressGrant:
    request = _waiting(connection, number, now)
    sandbox = records.by_id(connection, request.sandbox)
    if given.scope == "sandbox" and (sandbox is None or not sandbox.is_open or given.name != sandbox.id):
        raise RefusedError(
            f"The sandbox that asked ({request.sandbox}) has ended.",
            code="egress.sandbox_over",
            remedy="Give it to the user or to a group.",
            status=409,
        )
    egress_records.decide(connection, number, "approved", answer, now)
    return egress_records.add_grant(connection, number, given, answer, now)


def _tell(connection: Connection, grant: EgressGrant, now: datetime) -> None:
    request = egress_records.by_number(connection, grant.request)
    if request is not None:
        tell(connection, request, "approved", now, grant.why)


def _detail(grant: EgressGrant, ruling: Decision) -> dict[str, Any]:
    return {
        "grant": grant.id,
        "pattern": grant.pattern,
        "scope": grant.scope,
        "name": grant.name,
        "until": grant.until.isoformat(),
        "why": grant.why,
        "decisions": [recorded(ruling)],
    }


def _revoked(answered: Answered, actor: str, why: str) -> Entry:
    grant, request = answered.grant, answered.request
    detail = {"grant": grant.id, "pattern": f"{grant.pattern}:{grant.port}", "scope": grant.scope, "why": why}
    if request is not None:
        return line("revoked", request, actor, "done", detail)
    return Entry(actor=actor, action="egress_request.revoked", outcome="done", detail=detail)
