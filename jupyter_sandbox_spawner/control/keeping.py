"""How is a server kept although nobody uses it? Its user asks; the site's keep_alive and its end are caps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..errors import ConfigurationError
from ..rules.audit import Entry
from ..rules.keeping import Keeping, keep
from . import happenings, ledger, records, wish_records
from .judging import limits_of
from .parts import Parts
from .records import SandboxRecord

__all__ = ["KeepWish", "keep_now", "kept_until"]

_MOST_CHANGES = 60  # an hour; each has a line in the audit, which a program inside must not fill


@dataclass(frozen=True, kw_only=True)
class KeepWish:
    """Body of `keep`: seconds from now, 0: no longer."""

    by: int


def kept_until(record: SandboxRecord, now: datetime) -> datetime | None:
    """Until when it is kept, if it is."""
    until = record.keep_until
    return until if until is not None and until > now else None


async def keep_now(parts: Parts, record: SandboxRecord, actor: str, by: int) -> Keeping:
    """Keep it, or no longer; what changes is audited. Asked again at once, nothing changes."""
    if by < 0:
        remedy = "Send the seconds from now, 0 to be kept no longer."
        raise ConfigurationError(f"by: {by} is less than 0.", code="wire.invalid", field="by", remedy=remedy)
    parts.audit.check()
    lifetimes = (await parts.terms.book()).lifetime
    now = parts.clock.now()

    def transaction(connection: Connection) -> Keeping:
        current = records.by_id(connection, record.id) or record
        if wish_records.wishes_to_keep(connection, record.id, now - timedelta(hours=1)) >= _MOST_CHANGES:
            return _too_often(current)
        gpus = ledger.gpus_of(connection, [current.id]).get(current.id, 0)
        held = limits_of(current, gpus, lifetimes, parts.tuning.max_age, now)
        ends = (held.deadline, held.max_age_at, held.closes_at)  # every one that is not idleness
        answer = keep(now, kept_until(current, now), by, lifetimes.keep_alive, ends)
        if answer.granted and answer.changed:
            wish_records.keep_until(connection, record.id, answer.until)
            detail = {"until": None if answer.until is None else answer.until.isoformat()}
            happenings.add_event(connection, record.id, now, "kept", detail)
        return answer

    answer = await parts.store.run(transaction)
    if not answer.granted:
        await parts.denials.denied("keep", record.user, record.server, record.id, code=answer.code)
    elif answer.changed:
        await parts.audit.write(_line(record, actor, answer))
    return answer


def _too_often(record: SandboxRecord) -> Keeping:
    message = f"This was changed {_MOST_CHANGES} times within an hour; wait a while."
    return Keeping(granted=False, until=record.keep_until, code="keep.too_often", message=message)


def _line(record: SandboxRecord, actor: str, answer: Keeping) -> Entry:
    return Entry(
        actor=actor,
        action="sandbox.keep",
        outcome="allowed",
        user=record.user,
        server=record.server,
        sandbox=record.id,
        detail={"until": None if answer.until is None else answer.until.isoformat()},
    )
