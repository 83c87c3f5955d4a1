"""Can a server that was admitted have the secrets that it must have? Asked before anything of it starts.

Law: a required secret that cannot be given ends the start with the reason; of others the user has a notice.
"""

from __future__ import annotations

from dataclasses import replace

from ..clients.grants import Reader
from ..errors import ProgramError
from ..rules.admission import Admission, AdmissionRequest
from ..rules.audit import Entry
from ..rules.grants import Grant
from ..wire import decode
from . import records
from .parts import Parts
from .records import SandboxRecord

__all__ = ["prepare", "reader_of"]


def reader_of(record: SandboxRecord) -> Reader:
    """Who a sandbox is to the broker."""
    return Reader(
        sandbox=record.id,
        user=record.user,
        server=record.server,
        profile=record.profile,
        groups=tuple(record.groups),
        ends_at=record.deadline,
    )


async def prepare(parts: Parts, request: AdmissionRequest, answer: Admission) -> Admission:
    """The answer, perhaps with a notice more, or a denial after the record was closed again."""
    record = await parts.store.run(lambda db: records.by_id(db, request.spec.id))
    if record is None or not record.grants:
        return answer
    grants = [decode(Grant, item) for item in record.grants]
    try:
        prepared = await parts.broker.prepare(reader_of(record), grants)
    except ProgramError as error:
        required = [grant.name for grant in grants if grant.required]
        if required:
            return await _denied(parts, record, required, error)
        notice = f"Secrets cannot be read at present: {error}"
        return replace(answer, notices=(*answer.notices, notice))
    return replace(answer, notices=(*answer.notices, prepared.notice)) if prepared.notice else answer


async def _denied(parts: Parts, record: SandboxRecord, required: list[str], error: ProgramError) -> Admission:
    now, why = parts.clock.now(), f"A secret that it must have cannot be given: {error.message}"
    await parts.store.run(lambda db: records.release(db, record.id, "secret.required", why, now))
    await parts.audit.write(
        Entry(
            actor="control",
            action="sandbox.released",
            outcome="failed",
            user=record.user,
            server=record.server,
            sandbox=record.id,
            code="secret.required",
            detail={"why": why, "cause": error.code, "secrets": required},
        )
    )
    names = ", ".join(required)
    return Admission(
        admitted=False,
        now=parts.clock.now(),
        code="secret.required",
        message=f"The profile {record.profile!r} starts no server without {names}. {error.message}",
        remedy=error.remedy or "Try again later, or ask the hub's admin.",
    )
