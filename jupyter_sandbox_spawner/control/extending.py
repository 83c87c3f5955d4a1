"""How does a user's wish for more time become a new deadline, or a refusal that says the cap?"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ..rules.audit import Entry
from ..rules.extension import Extension, ExtensionTerms, extend
from ..rules.policy import Decision
from ..rules.policy_record import denial_detail, recorded
from ..rules.policy_words import explain, way_out
from . import happenings, records
from .parts import Parts
from .records import SandboxRecord

__all__ = ["ExtensionWish", "extend_now", "possible_extension"]


@dataclass(frozen=True, kw_only=True)
class ExtensionWish:
    """Body of `extend`: seconds from now, None for what the profile gives."""

    by: int | None = None


def _terms(record: SandboxRecord) -> ExtensionTerms:
    return ExtensionTerms(by=record.extend_by, at_most=record.extend_at_most)


def possible_extension(parts: Parts, record: SandboxRecord) -> Extension:
    """What an extension would give at this moment; nothing changes."""
    return extend(parts.clock.now(), record.deadline, record.first_deadline, _terms(record))


async def extend_now(parts: Parts, record: SandboxRecord, actor: str, by: int | None = None) -> Extension:
    """Extend in one transaction; audited either way. The audit comes first: an unwritable one refuses.

    `by` seconds from now where the user wants less than the profile offers.
    """
    parts.audit.check()
    ruling = await parts.policy.on_extension(record, by, await parts.terms.book())
    if ruling is not None and not ruling.allow:
        return await _denied(parts, record, ruling)
    now = parts.clock.now()

    def transaction(connection: Connection) -> Extension:
        current = records.by_id(connection, record.id) or record
        answer = extend(now, current.deadline, current.first_deadline, _terms(current), by)
        if answer.granted and answer.deadline is not None:
            records.extend_deadline(connection, current, answer.deadline, actor, now)
            detail = {"until": answer.deadline.isoformat()}
            happenings.add_event(connection, record.id, now, "extended", detail)
        return answer

    answer = await parts.store.run(transaction)
    if not answer.granted:
        await parts.denials.denied("extension", record.user, record.server, record.id, code=answer.code)
        return answer
    await parts.audit.write(_allowed(record, actor, answer, ruling))
    return answer


def _allowed(record: SandboxRecord, actor: str, answer: Extension, ruling: Decision | None) -> Entry:
    return Entry(
        actor=actor,
        action="sandbox.extend",
        outcome="allowed",
        user=record.user,
        server=record.server,
        sandbox=record.id,
        policy_digest=ruling.digest if ruling else "",
        engine=ruling.engine if ruling else "",
        decision_id=ruling.decision_id if ruling else "",
        detail={
            "until": answer.deadline.isoformat() if answer.deadline else None,
            "decisions": [recorded(ruling)] if ruling else [],
        },
    )


async def _denied(parts: Parts, record: SandboxRecord, ruling: Decision) -> Extension:
    await parts.denials.denied("policy", record.user, record.server, record.id, **denial_detail(ruling))
    settings = (await parts.terms.book()).policy
    sentence = f"{explain(ruling, settings)} {way_out(ruling)}"
    return Extension(granted=False, deadline=record.deadline, code=ruling.reasons[0], message=sentence)
