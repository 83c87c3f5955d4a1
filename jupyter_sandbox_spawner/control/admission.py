"""How is one request for a sandbox answered so that a crash at any moment leaves nothing half admitted?

Law: decide and record in one transaction; then the audit; then the answer. What was recorded and never
audited was never answered: it is closed at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from ..errors import ProgramError
from ..gpus import GpuInventory
from ..models import SandboxSpec
from ..rules.admission import Admission, AdmissionRequest, ProfileTerms, decide
from ..rules.audit import Entry
from ..rules.policy import Decision
from ..rules.policy_effects import kept_back
from ..rules.policy_record import recorded
from . import data, egress_granting, records, waiting
from .granting import Asking, grant
from .parts import Parts
from .policy import record_denials
from .preparing import prepare

__all__ = ["Admissions", "close_interrupted"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_RETRY = timedelta(seconds=60)
_INTERRUPTED = "admission.interrupted"


class Admissions:
    """Answers requests; those of one user one after the other, so that a retry never overtakes the audit."""

    def __init__(self, parts: Parts, watch: Callable[[str], None]) -> None:
        self._parts = parts
        self._watch = watch
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def admit(self, request: AdmissionRequest) -> Admission:
        """Control's answer; where audit or database cannot be written it is a denial that says so."""
        lock = self._locks.setdefault(request.spec.user, asyncio.Lock())
        async with lock:
            answer = await _admit(self._parts, request)
            if answer.admitted:
                # Repeated ones too: control may have died between the two.
                answer = await prepare(self._parts, request, answer)
        if answer.admitted:
            self._watch(request.spec.id)
        return answer


async def _admit(parts: Parts, request: AdmissionRequest) -> Admission:
    spec = request.spec
    try:
        parts.audit.check()
        answer, rulings = await _decide(parts, request)
        if answer.admitted and not await _is_announced(parts, request, answer):
            await _announce(parts, replace(request, spec=answer.spec or spec), answer, rulings)
    except ProgramError as error:
        log.error("%s/%s is not admitted: %s", spec.user, spec.server, error)
        now = parts.clock.now()
        return Admission(
            admitted=False,
            now=now,
            code=error.code,
            message=error.message,
            remedy=error.remedy,
            retry_at=now + _RETRY,
        )
    if not answer.admitted:
        await parts.denials.denied(
            "admission", spec.user, spec.server, code=answer.code, profile=spec.profile
        )
        await record_denials(parts.denials, spec, rulings)
    return replace(answer, now=parts.clock.now())


async def close_interrupted(parts: Parts) -> None:
    """At start: close what was recorded and never answered; who had a GPU by it waits for one again."""
    now = parts.clock.now()

    def close(connection: Connection) -> list[records.SandboxRecord]:
        found = [item for item in records.all_open(connection) if not item.audited]
        # The latest first, so that the earliest is before it in the queue again.
        for item in sorted(found, key=lambda item: item.admitted_at, reverse=True):
            why = "Control stopped before it could answer."
            waiting.put_back(connection, now, item.parsed_spec())
            records.release(connection, item.id, _INTERRUPTED, why, now)
        return found

    for item in await parts.store.run(close):
        log.warning("%s/%s: its admission was interrupted and is closed", item.user, item.server)
        await parts.audit.write(
            Entry(
                actor="control",
                action="admission",
                outcome="failed",
                user=item.user,
                server=item.server,
                sandbox=item.id,
                code=_INTERRUPTED,
            )
        )


async def _decide(parts: Parts, request: AdmissionRequest) -> tuple[Admission, Sequence[Decision]]:
    own = await parts.terms.of(request)
    asking = await _asking(parts, request, own.terms or request.terms)
    now = parts.clock.now()

    def transaction(connection: Connection) -> Admission:
        answer = decide(now, request, records.known_for(connection, request.spec), own.terms, own.against)
        if answer.admitted:
            answer = grant(connection, now, replace(asking, leaving=answer.supersedes), answer)
        if answer.admitted and not answer.repeated:
            for older in answer.supersedes:
                why = "A new sandbox of the same server was admitted."
                records.release(connection, older, "ended.superseded", why, now)
            # What was granted, and what may be extended by what control read itself, where it did.
            spec = answer.spec or request.spec
            granted = replace(request, spec=spec, terms=data.narrowed_terms(asking.terms, spec))
            records.admit(connection, granted, now, answer.deadline, kept_back(asking.rulings))
        return answer

    return await parts.store.run(transaction), asking.rulings


async def _asking(parts: Parts, request: AdmissionRequest, terms: ProfileTerms) -> Asking:
    book = await parts.terms.book()
    return Asking(
        request=request,
        terms=terms,
        book=book,
        rulings=await parts.policy.on_admission(request, terms, book),
        dataset_rulings=await data.questions(parts, request, terms, book),
        egress=await egress_granting.allowed(parts, request, book),
        internal_services=parts.internal_services,
        gpus=await parts.launcher.gpus() if terms.gpu else GpuInventory(),
    )


async def _is_announced(parts: Parts, request: AdmissionRequest, answer: Admission) -> bool:
    """A commit whose outcome nobody knew may have been recorded; then the repetition is the first answer."""
    if not answer.repeated:
        return False
    record = await parts.store.run(lambda db: records.by_id(db, request.spec.id))
    return record is not None and record.audited


async def _announce(
    parts: Parts, request: AdmissionRequest, answer: Admission, rulings: Sequence[Decision]
) -> None:
    spec = request.spec
    older = [_superseded(request, old) for old in answer.supersedes]
    soft = await parts.limits.soft()
    admitted = Entry(
        actor="hub",
        action="admission",
        outcome="allowed",
        user=spec.user,
        server=spec.server,
        sandbox=spec.id,
        policy_digest=spec.profile_digest,
        detail={
            "profile": spec.profile,
            "environment": spec.environment_name,
            "runtime": spec.runtime,
            "isolation": await parts.limits.level(),
            "groups": sorted(request.groups),
            "decisions": [recorded(ruling) for ruling in rulings],
            "ttl": (answer.spec or spec).ttl,
            **({"zone": answer.spec.zone} if answer.spec and answer.spec.zone else {}),
            "idle_timeout": spec.idle_timeout,
            **({"gpus": list(spec.gpu_devices)} if spec.gpu_devices else {}),
            **egress_granting.told(spec),
            **({"soft_limits": list(soft)} if soft else {}),
            **({"options": dict(request.options)} if request.options else {}),
        },
    )
    try:
        await parts.audit.write(*older, admitted, *data.entries(request, answer))
    except ProgramError:
        await parts.store.run(lambda db: _undo(db, spec, parts.clock.now()))
        raise
    await parts.store.run(lambda db: records.mark_audited(db, spec.id))


def _undo(connection: Connection, spec: SandboxSpec, now: datetime) -> None:
    waiting.put_back(connection, now, spec)
    why = "The audit could not be written."
    records.release(connection, spec.id, "audit.unwritable", why, now)


def _superseded(request: AdmissionRequest, sandbox: str) -> Entry:
    return Entry(
        actor="control",
        action="sandbox.released",
        outcome="done",
        user=request.spec.user,
        server=request.spec.server,
        sandbox=sandbox,
        code="ended.superseded",
    )
