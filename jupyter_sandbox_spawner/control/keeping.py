"""How is a server kept although nobody uses it? Its user asks; the site's keep_alive and its end are caps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..errors import ConfigurationError
from ..rules.audit import Entry
from ..rules.keeping import Keeping, keep
from ..rules.lifetimes import InForce, Subject, in_force, limits
from . import happenings, records, wish_records
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
    held = in_force(lifetimes, now, _subject(record))

    def transaction(connection: Connection) -> Keeping:
        current = records.by_id(connection, record.id) or record
        if wish_records.wishes_to_keep(connection, record.id, now - timedelta(hours=1)) >= _MOST_CHANGES:
            return _too_often(current)
        answer = keep(now, kept_until(current, now), by, lifetimes.keep_alive, _ends(parts, current, held))
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


def _ends(parts: Parts, record: SandboxRecord, held: InForce) -> tuple[datetime | None, ...]:
    """Every end that is not idleness."""
    started, site = record.ready_at or record.admitted_at, parts.tuning.max_age
    found = limits(held, started, record.deadline, site, record.status == "ready", ())
    return found.deadline, found.max_age_at, found.closes_at


def _subject(record: SandboxRecord) -> Subject:
    spec = record.known_spec()
    return Subject(
        profile=record.profile,
        groups=record.groups,
        gpus=len(spec.gpu_devices) if spec else 0,
        idle_timeout=record.idle_timeout,
    )


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
