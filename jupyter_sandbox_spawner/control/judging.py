"""What holds for a sandbox at this moment, and what follows? The admin's rules, signals, one verdict.

Law: where the rules cannot be read, those that were read before stay. While none were read yet, only the TTL
is known to hold: any other limit may be one that a rule takes away.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..errors import ProgramError
from ..rules.idleness import Limits, Signals, Verdict, decide
from ..rules.lifetimes import Lifetimes, Subject, in_force, limits
from . import happenings, ledger
from .parts import Parts
from .records import SandboxRecord
from .signals import Watcher

__all__ = ["Judge", "Judged", "limits_of"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_VERSION = "lifetime"
_IN_ONE_GO = 50


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The answer about one sandbox, and what it rests on."""

    verdict: Verdict
    signals: Signals
    limits: Limits


class Judge:
    """Answers about any sandbox; remembers the rules, and since when they are these."""

    def __init__(self, parts: Parts, watcher: Watcher) -> None:
        self._parts = parts
        self._watcher = watcher
        self._rules: Lifetimes | None = None
        self._since: datetime | None = None
        self._was_blind = False  # there are rules, and none could be read yet

    async def refresh(self) -> bool:
        """Look at the rules again; True where others are in force now, so that all must be judged anew."""
        try:
            state = await self._parts.terms.state()
        except ProgramError as error:
            # An end that was promised is not put off because the audit cannot be written.
            log.debug("The rules of time stay as they are: %s", error)
            self._was_blind = self._was_blind or self._rules is None
            return False
        if state.book is None and state.file:
            self._was_blind = True
            return False
        rules = state.book.lifetime if state.book else Lifetimes()
        if rules == self._rules:
            return False
        now, first = self._parts.clock.now(), self._rules is None
        since = await self._parts.store.run(lambda db: _in_force_since(db, rules, now))
        # What ended nothing so far ends nobody without a warning now, as after an edit.
        self._since = now if first and self._was_blind else since
        self._rules = rules
        return not first or self._was_blind

    async def judge(
        self, found: Sequence[SandboxRecord], age: float = 0, *, sample: bool = True
    ) -> dict[str, Judged]:
        """Verdicts on sandboxes that start or run; `age` and `sample` as in Watcher.look."""
        if self._rules is None:
            await self.refresh()
        ids = [record.id for record in found]
        gpus = await self._parts.store.run(lambda db: ledger.gpus_of(db, ids)) if ids else {}
        ready = [record for record in found if record.status == "ready"]
        signals = await self._watcher.look(ready, age, sample=sample)
        judged = {}
        for number, record in enumerate(found, start=1):
            if number % _IN_ONE_GO == 0:
                await asyncio.sleep(0)  # others are answered meanwhile, however many are due
            # The time of each: to look at many takes a while.
            now, seen = self._parts.clock.now(), signals.get(record.id, Signals())
            held = self._limits(record, gpus.get(record.id, 0), now)
            judged[record.id] = Judged(verdict=decide(now, held, seen), signals=seen, limits=held)
        return judged

    async def judge_one(self, record: SandboxRecord, age: float = 0) -> Judged:
        """The verdict on one."""
        return (await self.judge([record], age))[record.id]

    def _limits(self, record: SandboxRecord, gpus: int, now: datetime) -> Limits:
        if self._rules is None:
            found = limits_of(record, gpus, Lifetimes(), None, now)
            return replace(found, idle_timeout=None)
        found = limits_of(record, gpus, self._rules, self._parts.tuning.max_age, now)
        since = self._since
        if since is None or since > now:
            return found
        # Rules that were edited end nobody without a warning, whatever they say of what runs already.
        soonest = since + timedelta(seconds=min(found.warnings, default=0))
        return replace(
            found,
            since=max(since, found.since or since),
            closes_at=None if found.closes_at is None else max(found.closes_at, soonest),
            max_age_at=None if found.max_age_at is None else max(found.max_age_at, soonest),
        )


def limits_of(
    record: SandboxRecord, gpus: int, rules: Lifetimes, max_age: int | None, now: datetime
) -> Limits:
    """The limits of one record; a server that never became ready counts from its admission."""
    subject = Subject(
        profile=record.profile, groups=record.groups, gpus=gpus, idle_timeout=record.idle_timeout
    )
    return limits(
        in_force(rules, now, subject),
        record.ready_at or record.admitted_at,
        record.deadline,
        max_age,
        record.status == "ready",
        record.warned,
    )


def _in_force_since(connection: Connection, rules: Lifetimes, now: datetime) -> datetime | None:
    """None where there never were other rules than none."""
    digest = hashlib.sha256(repr(rules).encode()).hexdigest()
    before = happenings.version_since(connection, _VERSION)
    if before is None and rules == Lifetimes():
        return None
    if before is not None and before[0] == digest:
        return before[1]
    happenings.note_version(connection, _VERSION, digest, now)
    return now
