"""When does each sandbox end? A heap of instants; a pass costs what is due, not what exists.

Law: fresh signals are taken before any stop, and the reason is on disk before the act. Deadlines are
wall-clock instants; when the wall clock jumps they move with it, so that nobody gains or loses time.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..errors import ProgramError
from ..rules.audit import Entry
from ..rules.idleness import Limits, Signals, Verdict, decide
from . import happenings, records, usage_records
from .clock import JumpDetector
from .parts import Parts
from .records import SandboxRecord
from .signals import Watcher
from .stopping import Stopper

__all__ = ["Lifetime", "limits_of"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_ASK_AGAIN = timedelta(seconds=5)  # a decided stop that did not happen yet
_USE_STEP = timedelta(seconds=10)  # use is written down at most this often


def limits_of(record: SandboxRecord, max_age: int | None) -> Limits:
    """The limits of one record; a server that never became ready counts from its admission."""
    started = record.ready_at or record.admitted_at
    age = None if max_age is None or record.deadline else started + timedelta(seconds=max_age)
    return Limits(
        started_at=started,
        deadline=record.deadline,
        max_age_at=age,
        idle_timeout=record.idle_timeout if record.status == "ready" else None,
        warned=record.warned,
    )


class Lifetime:
    """The loop that warns and culls."""

    def __init__(self, parts: Parts, watcher: Watcher, stopper: Stopper) -> None:
        self._parts = parts
        self._watcher = watcher
        self._stopper = stopper
        self._heap: list[tuple[datetime, str]] = []
        self._due: dict[str, datetime] = {}
        self._wake = asyncio.Event()
        self._jumps = JumpDetector(parts.clock)
        self._jump = timedelta()
        self._clock_kept = 0.0
        self._began = parts.clock.elapsed()

    def watch(self, sandbox: str, at: datetime | None = None) -> None:
        """Look at this sandbox at that instant, or at once."""
        instant = at or self._parts.clock.now()
        self._due[sandbox] = instant
        heapq.heappush(self._heap, (instant, sandbox))
        self._wake.set()

    async def load(self) -> None:
        """At start: every open record is due, and the clock is compared with the last process's reading."""
        reading = await self._parts.store.run(happenings.read_clock)
        if reading is not None:
            self._jumps.restore(*reading)
        await self._check_clock()
        for record in await self._parts.store.run(records.all_open):
            self.watch(record.id)

    async def step(self) -> None:
        """One pass: the clock, what is due, then sleep until the next is due or something new comes."""
        await self._check_clock()
        due = self._take_due()
        try:
            await self.judge(due)
        except ProgramError:
            for sandbox in due:
                self.watch(sandbox, self._parts.clock.now() + _ASK_AGAIN)
            raise
        self._wake.clear()
        if not self._heap or self._heap[0][0] > self._parts.clock.now():
            await self._sleep()

    async def judge(self, due: list[str]) -> None:
        """Decide about these sandboxes with fresh signals."""
        found = await self._parts.store.run(lambda db: records.by_ids(db, due)) if due else []
        live = [record for record in found if record.status in ("admitted", "ready")]
        signals = await self._watcher.look([record for record in live if record.status == "ready"])
        for record in found:
            try:
                await self._judge_one(record, signals.get(record.id, Signals()))
            except ProgramError as error:
                log.error("%s/%s: looked at again soon: %s", record.user, record.server, error)
                self.watch(record.id, self._parts.clock.now() + _ASK_AGAIN)

    async def _judge_one(self, record: SandboxRecord, signals: Signals) -> None:
        now = self._parts.clock.now()
        if record.status == "released":
            self._watcher.forget(record.id)
            return
        if record.status == "stopping":
            self._ask_again_unless(await self._stopper.ask(record), record)
            return
        verdict = decide(now, limits_of(record, self._parts.tuning.max_age), signals)
        await self._remember_use(record, verdict)
        if verdict.action == "stop" and await self._may_stop(record, verdict):
            done = await self._stopper.stop(record, verdict.code, verdict.why, "control")
            self._ask_again_unless(done, record)
            return
        if verdict.action == "warn":
            await self._warn(record, verdict)
        self.watch(record.id, verdict.next_check)

    def _ask_again_unless(self, done: bool, record: SandboxRecord) -> None:
        # Over at the hub: asking once more could hit a server that its user started meanwhile. What the
        # hub left undone is the reconciler's.
        if not done:
            self.watch(record.id, self._parts.clock.now() + _ASK_AGAIN)

    async def _may_stop(self, record: SandboxRecord, verdict: Verdict) -> bool:
        """Idleness alone is checked twice: memory of the last minute may be gone, and CPU is a difference."""
        if verdict.code != "stop.idle":
            return True
        settled = self._parts.clock.elapsed() - self._began >= self._parts.tuning.settle
        return settled and not await self._watcher.is_computing(record.id)

    async def _remember_use(self, record: SandboxRecord, verdict: Verdict) -> None:
        used = verdict.idle_since
        if used is None or used <= (record.ready_at or record.admitted_at) or used == record.idle_floor:
            return
        if record.used_at is None or used - record.used_at >= _USE_STEP:
            await self._parts.store.run(lambda db: records.remember_use(db, record.id, used))

    async def _warn(self, record: SandboxRecord, verdict: Verdict) -> None:
        warned, now = verdict.warned, self._parts.clock.now()
        if warned is None:
            return
        detail = {"code": verdict.code, "at": warned.at.isoformat(), "why": verdict.why}

        def write(connection: Connection) -> None:
            records.remember_warning(connection, record, warned)
            happenings.add_event(connection, record.id, now, "warning", detail)

        await self._parts.store.run(write)
        log.info("%s/%s is warned: %s", record.user, record.server, verdict.why)

    async def _check_clock(self) -> None:
        # Kept until it is dealt with: a locked database must not make us forget a jump.
        self._jump += self._jumps.look()
        reading = self._jumps.reading()
        if self._jump:
            await self._move_deadlines(reading)
        elif reading[1] - self._clock_kept >= self._parts.tuning.tick:
            await self._parts.store.run(lambda db: happenings.write_clock(db, *reading))
            self._clock_kept = reading[1]

    async def _move_deadlines(self, reading: tuple[datetime, float, str]) -> None:
        jump, now = self._jump, self._parts.clock.now()

        def move(connection: Connection) -> int:
            happenings.write_clock(connection, *reading)
            usage_records.shift(connection, jump)
            return records.shift_deadlines(connection, jump, now)

        moved = await self._parts.store.run(move)
        self._jump = timedelta()
        self._watcher.clock_jumped()
        self._due, self._heap = {}, []
        for record in await self._parts.store.run(records.all_open):
            self.watch(record.id)
        seconds = round(jump.total_seconds(), 3)
        log.warning("The clock jumped by %s s; %s deadlines moved with it", seconds, moved)
        detail = {"seconds": seconds, "deadlines_moved": moved}
        await self._parts.audit.write(
            Entry(actor="control", action="clock.jumped", outcome="done", code="clock.jumped", detail=detail)
        )

    def _take_due(self) -> list[str]:
        now = self._parts.clock.now()
        taken = []
        while self._heap and self._heap[0][0] <= now:
            instant, sandbox = heapq.heappop(self._heap)
            # A newer appointment stands elsewhere in the heap; this one is void.
            if self._due.get(sandbox) == instant:
                del self._due[sandbox]
                taken.append(sandbox)
        return taken

    async def _sleep(self) -> None:
        wait = self._parts.tuning.tick
        if self._heap:
            wait = min(wait, (self._heap[0][0] - self._parts.clock.now()).total_seconds())
        try:
            await asyncio.wait_for(self._wake.wait(), max(wait, 0.05))
        except asyncio.TimeoutError:
            return
