"""How does a wish for more time become a new deadline, or a refusal that says the cap?

Law: a wish is named by its key; asked again under it, it changes nothing and gets the same answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from ..rules.audit import Entry
from ..rules.extension import (
    Extension,
    ExtensionTerms,
    checked_key,
    extend,
    extend_by_admin,
    room,
    until,
)
from ..rules.policy import Decision
from ..rules.policy_record import denial_detail, recorded
from ..rules.policy_words import explain, way_out
from . import happenings, records, wish_records
from .parts import Parts
from .records import SandboxRecord
from .wish_records import BY_ADMIN, Given

__all__ = ["AdminWish", "Extender", "ExtensionWish", "Wish", "possible_extension"]

_LONGEST_KEY = 64


@dataclass(frozen=True, kw_only=True)
class ExtensionWish:
    """Body of `extend`: seconds from now, None for what the profile gives, and the name of this wish."""

    by: int | None = None
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class AdminWish:
    """Body of an admin's `extend`: seconds from now, a reason that the user reads, and its name."""

    by: int
    why: str = ""
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Who wants how much more. `key` "": a wish of its own each time. An admin passes the profile's caps."""

    actor: str
    by: int | None = None
    key: str = ""
    admin: bool = False
    why: str = ""

    @property
    def name(self) -> str:
        """Its key as it is recorded."""
        return f"{BY_ADMIN if self.admin else ''}{self.key}"


async def possible_extension(parts: Parts, record: SandboxRecord) -> Extension:
    """What an extension would give its user at this moment; nothing changes."""
    given = await parts.store.run(lambda db: wish_records.given_of(db, record))
    return _decided(parts.clock.now(), record, given, Wish(actor=""))


class Extender:
    """Moves ends, one wish of a sandbox after the other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def extend(self, record: SandboxRecord, wish: Wish) -> Extension:
        """Granted or refused, audited either way. The audit comes first: an unwritable one refuses."""
        if wish.key:
            checked_key(wish.key, _LONGEST_KEY - (len(BY_ADMIN) if wish.admin else 0))
        self._parts.audit.check()
        turn = self._turns.setdefault(record.id, asyncio.Lock())
        async with turn:
            before = await self._parts.store.run(lambda db: _repeated(db, record.id, wish))
            return await (self._extend(record, wish) if before is None else self._again(record, wish, before))

    async def _extend(self, record: SandboxRecord, wish: Wish) -> Extension:
        parts = self._parts
        ruling = await parts.policy.on_extension(record, wish.by, await parts.terms.book(), wish.admin)
        if ruling is not None and not ruling.allow:
            return await self._denied(record, ruling)
        now = parts.clock.now()
        answer = await parts.store.run(lambda db: _extended(db, now, record.id, wish))
        if answer.granted:
            await parts.audit.write(_allowed(record, wish, answer, ruling))
        else:
            who = {"actor": wish.actor} if wish.admin else {}
            await parts.denials.denied(
                "extension", record.user, record.server, record.id, code=answer.code, **who
            )
        return answer

    async def _again(self, record: SandboxRecord, wish: Wish, answer: Extension) -> Extension:
        """The same answer, and its line in the audit if control died between the two."""
        lines = await self._parts.audit.lines(sandbox=record.id, limit=1000)
        keys = {line["detail"].get("key") for line in lines if line["action"] == "sandbox.extend"}
        if wish.name not in keys:
            await self._parts.audit.write(_allowed(record, wish, answer, None))
        return answer

    async def _denied(self, record: SandboxRecord, ruling: Decision) -> Extension:
        detail = denial_detail(ruling)
        await self._parts.denials.denied("policy", record.user, record.server, record.id, **detail)
        settings = (await self._parts.terms.book()).policy
        sentence = f"{explain(ruling, settings)} {way_out(ruling)}"
        return Extension(granted=False, deadline=record.deadline, code=ruling.reasons[0], message=sentence)


def _repeated(connection: Connection, sandbox: str, wish: Wish) -> Extension | None:
    """What this wish was given before."""
    record = records.by_id(connection, sandbox)
    if record is None or not wish.key:
        return None
    given = wish_records.given_of(connection, record)
    end = given.ends.get(wish.name)
    if end is None:
        return None
    left, cap = room(record.first_deadline, _terms(record, given))
    return Extension(granted=True, deadline=end, left=left, cap=cap, repeated=True)


def _extended(connection: Connection, now: datetime, sandbox: str, wish: Wish) -> Extension:
    current = records.by_id(connection, sandbox)
    if current is None or current.status not in ("admitted", "ready"):
        return _is_over(current)
    answer = _decided(now, current, wish_records.given_of(connection, current), wish)
    if not answer.granted or answer.deadline is None:
        return answer
    wish_records.add_extension(connection, current, answer.deadline, wish.actor, now, wish.name)
    happenings.add_event(connection, sandbox, now, "extended", _told(now, wish, answer.deadline))
    left = answer.left if wish.admin or answer.left is None else answer.left - 1
    return replace(answer, left=left)


def _decided(now: datetime, record: SandboxRecord, given: Given, wish: Wish) -> Extension:
    if not wish.admin:
        return extend(now, record.deadline, record.first_deadline, _terms(record, given), wish.by)
    return extend_by_admin(now, record.deadline, wish.by or 0, _ends_with_data(record))


def _terms(record: SandboxRecord, given: Given) -> ExtensionTerms:
    return ExtensionTerms(
        by=record.extend_by, at_most=record.extend_at_most, times=record.extend_times, used=given.used
    )


def _ends_with_data(record: SandboxRecord) -> bool:
    """See rules/datasets.py tighten_terms; of what nobody knows any more it may be so."""
    spec = record.known_spec()
    return spec is None or record.zone != "" or any(mount.until for mount in spec.mounts)


def _is_over(record: SandboxRecord | None) -> Extension:
    deadline, message = record.deadline if record else None, "This server is being stopped; start it again."
    return Extension(granted=False, deadline=deadline, code="extend.too_late", message=message)


def _told(now: datetime, wish: Wish, deadline: datetime) -> dict[str, Any]:
    """The event, for the person whose server it is."""
    who, code = ("An admin", "extended.by_admin") if wish.admin else (wish.actor, "extended.by_user")
    why = f"{who} extended it: it ends at {until(deadline, now)}{f' ({wish.why})' if wish.why else ''}."
    return {"code": code, "why": why, "at": deadline.isoformat(), "until": deadline.isoformat()}


def _allowed(record: SandboxRecord, wish: Wish, answer: Extension, ruling: Decision | None) -> Entry:
    return Entry(
        actor=wish.actor,
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
            **({"key": wish.name} if wish.key else {}),
            **({"why": wish.why} if wish.why else {}),
        },
    )
