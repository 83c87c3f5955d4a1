"""Does every running sandbox reach just what was given to it, now? Compared, mended, tried again.

Law: what is opened is in the audit before it is open; what is taken away is taken away whatever else fails.
Policy is asked each time something is applied, and again for all when its settings change. The record, and
what people are told, say that it is open once the gateway has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from ..errors import AnswerError, ProgramError
from ..models import EgressPolicy, EgressRule, SandboxSpec
from ..rules.audit import Entry
from ..rules.egress import timed_digest
from ..rules.egress_requests import EgressGrant, is_guarded, merged, rule_of
from ..rules.policy_record import denial_detail
from ..rules.policy_settings import settings_digest
from ..rules.policy_words import explain
from . import egress_records, records
from .egress_asking import ruling_of, tell
from .parts import Parts
from .records import SandboxRecord

__all__ = ["EgressKeeper", "Outcome"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_AT_ONCE = 16  # sandboxes; each asks policy and the gateway
_GUARDED = "It works with guarded data, so nothing but the site's own services is open to it."
_STARTING = "It is starting; it follows within seconds."


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one sandbox; `code` "" where it has what was given to it."""

    sandbox: str
    code: str = ""
    message: str = ""


class EgressKeeper:
    """Brings what was given to the gateway; verbs apply, apply_all, mend, step."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._pending: set[str] = set()
        self._wake = asyncio.Event()
        self._policy = ""
        self._vetoed: set[tuple[str, int]] = set()  # told already
        self._announced: dict[str, tuple[EgressRule, ...]] = {}  # in the audit, not at the gateway yet

    async def apply_all(self, grant: EgressGrant) -> list[Outcome]:
        """Every open sandbox that a grant is meant for gets what holds for it now."""
        found = await self._parts.store.run(lambda db: egress_records.open_sandboxes(db, grant))
        return list(await asyncio.gather(*(self.apply(record.id, grant.id) for record in found)))

    async def apply(self, sandbox: str, grant: int | None = None) -> Outcome:
        """One sandbox gets what holds for it now. The outcome is about this grant; where another program
        was away, it is tried again."""
        turn = self._turns.setdefault(sandbox, asyncio.Lock())
        async with self._at_once, turn:
            try:
                return await self._apply(sandbox, grant)
            except ProgramError as error:
                self._later(sandbox)
                return Outcome(sandbox=sandbox, code=error.code, message=error.message)

    async def mend(self, found: Iterable[SandboxRecord], doors: Mapping[str, str]) -> None:
        """Compare these records with the digests that the gateway has (`timed`), and bring what differs."""
        now, policy = self._parts.clock.now(), settings_digest((await self._parts.terms.book()).policy)
        anew, found = policy != self._policy, [record for record in found if record.id in doors]
        known = frozenset() if anew else frozenset(self._vetoed)
        due = await self._parts.store.run(lambda db: _due(db, found, doors, (now, anew, known)))
        for outcome in await asyncio.gather(*(self.apply(sandbox) for sandbox in due)):
            if outcome.code:
                log.warning("%s: what it may reach is not mended: %s", outcome.sandbox, outcome.message)
        if doors:
            self._policy = policy
        self._vetoed = {key for key in self._vetoed if key[0] in doors}
        self._announced = {key: rules for key, rules in self._announced.items() if key in doors}

    async def step(self) -> None:
        """Wait until something could not be applied, and a moment; then try it again."""
        await self._wake.wait()
        await asyncio.sleep(self._parts.tuning.tick)
        pending, self._pending = self._pending, set()
        self._wake.clear()
        await asyncio.gather(*(self.apply(sandbox) for sandbox in pending))

    def _later(self, sandbox: str) -> None:
        self._pending.add(sandbox)
        self._wake.set()

    async def _apply(self, sandbox: str, grant: int | None) -> Outcome:
        record, found = await self._parts.store.run(lambda db: self._read(db, sandbox))
        if record is None or not record.is_open:
            return Outcome(sandbox=sandbox, code="sandbox.unknown", message="It has ended.")
        spec = record.known_spec()
        if spec is None:
            return await self._drop(sandbox)
        allowed, refused = await self._allowed(record, spec, found)
        problem = await self._announce(record, spec.egress, merged(spec.egress, allowed))
        if problem is not None:
            allowed = [grant for grant in allowed if rule_of(grant) in spec.egress.rules]
        policy = await self._parts.store.run(lambda db: self._close(db, record, spec, allowed))
        try:
            await self._parts.gateway.set_egress(sandbox, policy)
        except AnswerError as error:
            if error.code != "sandbox.unknown":
                raise
            if record.status == "admitted":
                self._later(sandbox)  # the hub may open it with what it was told before
            return Outcome(sandbox=sandbox, code="egress.not_open_yet", message=_STARTING)
        await self._parts.store.run(
            lambda db: self._open(db, record, replace(spec, egress=policy), spec.egress)
        )
        self._announced.pop(sandbox, None)
        if problem is not None:
            raise problem
        return refused.get(grant or 0, Outcome(sandbox=sandbox))

    async def _drop(self, sandbox: str) -> Outcome:
        """Nobody knows its profile's rules, so that nothing can be added to them; what was given goes."""
        try:
            await self._parts.gateway.drop_timed_egress(sandbox)
        except AnswerError as error:
            if error.code != "sandbox.unknown":
                raise
        message = "What it may reach is not known any more; start it again."
        return Outcome(sandbox=sandbox, code="egress.unknown_sandbox", message=message)

    async def _allowed(
        self, record: SandboxRecord, spec: SandboxSpec, found: Sequence[EgressGrant]
    ) -> tuple[list[EgressGrant], dict[int, Outcome]]:
        """What may be applied, and why the rest may not, by number of the grant."""
        if is_guarded(spec):
            no = Outcome(sandbox=record.id, code="egress.guarded_data", message=_GUARDED)
            return [], {grant.id: no for grant in found}
        allowed, refused = [], {}
        for grant in found:
            ruling = await ruling_of(self._parts, record, f"{grant.pattern}:{grant.port}")
            if ruling.allow:
                allowed.append(grant)
                self._vetoed.discard((record.id, grant.id))
                continue
            message = explain(ruling, (await self._parts.terms.book()).policy)
            refused[grant.id] = Outcome(sandbox=record.id, code=ruling.reasons[0], message=message)
            if (record.id, grant.id) not in self._vetoed:
                self._vetoed.add((record.id, grant.id))
                detail = {**denial_detail(ruling), "request": str(grant.request)}
                await self._parts.denials.denied("policy", record.user, record.server, record.id, **detail)
        return allowed, refused

    async def _announce(
        self, record: SandboxRecord, before: EgressPolicy, after: EgressPolicy
    ) -> ProgramError | None:
        """Write what opens and closes; the problem, where nothing may be opened because it is not written."""
        given = tuple(rule for rule in after.rules if rule.until and rule not in before.rules)
        opened = [rule for rule in given if rule not in self._announced.get(record.id, ())]
        closed = [rule for rule in before.rules if rule.until and rule not in after.rules]
        if not opened and not closed:
            return None
        entry = Entry(
            actor="control",
            action="egress_grant.applied",
            outcome="decided",
            user=record.user,
            server=record.server,
            sandbox=record.id,
            detail={
                "opened": [rule.text for rule in opened],
                "closed": [rule.text for rule in closed],
                "until": [rule.until.isoformat() for rule in opened if rule.until],
            },
        )
        try:
            await self._parts.audit.write(entry)
        except ProgramError as error:
            if closed:
                log.error("%s: that %s was closed is not in the audit: %s", record.id, closed, error)
            return error if opened else None
        self._announced[record.id] = given
        return None

    def _read(self, connection: Connection, sandbox: str) -> tuple[SandboxRecord | None, list[EgressGrant]]:
        record = records.by_id(connection, sandbox)
        if record is None:
            return None, []
        now = self._parts.clock.now()
        return record, egress_records.in_force(connection, sandbox, record.user, record.groups, now)

    def _close(
        self, connection: Connection, record: SandboxRecord, spec: SandboxSpec, allowed: list[EgressGrant]
    ) -> EgressPolicy:
        """The policy that is to hold; what was taken back meanwhile is not in it. What it closes is closed in
        the record at once."""
        _, found = self._read(connection, record.id)
        numbers = {grant.id for grant in found}
        policy = merged(spec.egress, [grant for grant in allowed if grant.id in numbers])
        left = tuple(rule for rule in spec.egress.rules if rule in policy.rules)
        if left != spec.egress.rules:
            records.set_spec(connection, replace(spec, egress=replace(spec.egress, rules=left)))
        return policy

    def _open(
        self, connection: Connection, record: SandboxRecord, spec: SandboxSpec, before: EgressPolicy
    ) -> None:
        """The gateway has it: so says the record, and who asked reads it."""
        if spec.egress == before:
            return
        records.set_spec(connection, spec)
        _, found = self._read(connection, record.id)
        for grant in found:
            request = egress_records.by_number(connection, grant.request)
            is_new = rule_of(grant) in spec.egress.rules and rule_of(grant) not in before.rules
            if is_new and request is not None and request.user == record.user:
                tell(connection, [record.id], request, "approved", self._parts.clock.now(), grant.why)


def _due(
    connection: Connection,
    found: Sequence[SandboxRecord],
    doors: Mapping[str, str],
    by: tuple[datetime, bool, frozenset[tuple[str, int]]],
) -> list[str]:
    """The sandboxes for which the gateway, or the record, has something else than what was given.

    `by`: now; policy may say otherwise than before; what policy denies which sandbox.
    """
    now, anew, vetoed = by
    given: dict[tuple[str, str], list[EgressGrant]] = {}
    for grant in egress_records.active(connection, now):
        given.setdefault((grant.scope, grant.name), []).append(grant)
    due = []
    for record in found:
        groups = [("group", name) for name in set(record.groups)]
        keys = [("sandbox", record.id), ("user", record.user), *groups]
        mine = [grant for key in keys for grant in given.get(key, ())]
        mine = [grant for grant in mine if (record.id, grant.id) not in vetoed]
        if _differs(record, mine, doors[record.id], anew):
            due.append(record.id)
    return due


def _differs(record: SandboxRecord, mine: Sequence[EgressGrant], door: str, anew: bool) -> bool:
    if not record.is_open or not (mine or door):
        return False
    spec = record.known_spec()
    if spec is None:
        return door not in ("", timed_digest(merged(EgressPolicy(), mine)))
    wanted = timed_digest(merged(spec.egress, () if is_guarded(spec) else mine))
    return anew or not wanted == door == timed_digest(spec.egress)
