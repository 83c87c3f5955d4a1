"""When does each sandbox end? A heap of instants; a pass costs what is due, not what exists.

Law: fresh signals are taken before any stop, and the reason is on disk before the act. Deadlines are
wall-clock instants; when the wall clock jumps they move with it, so that nobody gains or loses time.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from ..rules.audit import Entry
from ..rules.idleness import Verdict, Warned
from . import happenings, records, usage_records
from .clock import JumpDetector
from .judging import Judge, Judged
from .parts import Parts
from .records import SandboxRecord
from .signals import Watcher
from .stopping import Stopper
from .stops import Stops

__all__ = ["Lifetime"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_ASK_AGAIN = timedelta(seconds=5)  # what could not be judged
_FIGURES_KEPT = 5.0  # seconds that the gateway's figures are good enough to keep or warn by
_FIGURES_SHOWN = 60.0  # and to show a page of a list
_NOTES = 200  # notices and uses in one transaction
_PASS = 1.0  # seconds; what is due within one is judged together
_VOID = 1000  # void appointments that a heap may hold beside four a sandbox
_OF_IDLENESS = frozenset({"warning.idle", "warning.gpu_idle", "stop.idle", "stop.gpu_idle"})
_USE_STEP = timedelta(seconds=10)  # use is written down at most this often


class Lifetime:
    """The loop that warns and culls."""

    def __init__(self, parts: Parts, watcher: Watcher, stopper: Stopper) -> None:
        self._parts = parts
        self._watcher = watcher
        self.stopper = stopper
        self._judge = Judge(parts, watcher)
        self._stops = Stops(parts, self._judge, watcher, stopper, self.watch)
        self._heap: list[tuple[datetime, str]] = []
        self._due: dict[str, datetime] = {}
        self._wake = asyncio.Event()
        self._jumps = JumpDetector(parts.clock)
        self._jump = timedelta()
        self._clock_kept = 0.0

    def watch(self, sandbox: str, at: datetime | None = None) -> None:
        """Look at this sandbox at that instant, or at once."""
        instant = at or self._parts.clock.now()
        self._due[sandbox] = instant
        heapq.heappush(self._heap, (instant, sandbox))
        if len(self._heap) > 4 * len(self._due) + _VOID:
            self._heap = [(at, name) for name, at in self._due.items()]
            heapq.heapify(self._heap)
        self._wake.set()

    async def load(self) -> None:
        """At start: every open record is due, and the clock is compared with the last process's reading."""
        reading = await self._parts.store.run(happenings.read_clock)
        if reading is not None:
            self._jumps.restore(*reading)
        await self._check_clock()
        await self._watch_all()

    async def verdict_of(self, record: SandboxRecord) -> Judged:
        """What would be decided about this one now; nothing follows from it, so kept figures will do."""
        return await self._judge.judge_one(record, _FIGURES_KEPT)

    async def shown(self, found: Sequence[SandboxRecord]) -> dict[str, Verdict]:
        """What would be decided about those that start or run, by figures of the last minute; for lists."""
        live = [record for record in found if record.status in ("admitted", "ready")]
        judged = await self._judge.judge(live, _FIGURES_SHOWN, sample=False)
        return {sandbox: item.verdict for sandbox, item in judged.items()}

    async def settled(self) -> None:
        """Returns when no stop is under way."""
        await self._stops.settled()

    async def close(self) -> None:
        """Ask for no further stop; the next process goes on by the database."""
        await self._stops.close()

    async def step(self) -> None:
        """One pass: clock, rules, what is due; then sleep until the next is due or something comes."""
        await self._check_clock()
        if await self._judge.refresh():
            log.info("Other rules of time are in force; every sandbox is judged anew")
            await self._watch_all()
        due = self._take_due()
        try:
            await self.judge(due)
        except Exception:
            for sandbox in due:
                self.watch(sandbox, self._parts.clock.now() + _ASK_AGAIN)
            raise
        self._wake.clear()
        if not self._heap or self._heap[0][0] > self._parts.clock.now():
            await self._sleep()

    async def judge(self, due: list[str]) -> None:
        """Decide about these sandboxes; what follows is written at once, and stops go on beside this."""
        due = [sandbox for sandbox in due if sandbox not in self._stops]
        found = await self._parts.store.run(lambda db: records.by_ids(db, due)) if due else []
        live = [record for record in found if record.status in ("admitted", "ready")]
        judged = await self._judge.judge(live, _FIGURES_KEPT)
        notes: list[Callable[[Connection], None]] = []
        for record in found:
            if record.status == "released":
                self._watcher.forget(record.id)
            elif record.status == "stopping":
                self._stops.begin(record)
            else:
                self._follow(record, judged[record.id].verdict, notes)
        for first in range(0, len(notes), _NOTES):
            # In pieces, so that a flood of notices holds up nobody else who waits for the database.
            await self._parts.store.run(partial(_write, notes[first : first + _NOTES]))

    def _follow(
        self, record: SandboxRecord, verdict: Verdict, notes: list[Callable[[Connection], None]]
    ) -> None:
        notes += self._use_to_remember(record, verdict)
        if verdict.code in _OF_IDLENESS and not self._stops.has_settled():
            # Servers must first say again that a kernel is busy; until then nobody is warned of it either.
            self.watch(record.id, self._parts.clock.now() + _ASK_AGAIN)
            return
        if verdict.action == "stop":
            self._stops.begin(record)
            return
        if verdict.warned is not None:
            notes.append(self._notice(record, verdict, verdict.warned))
        self.watch(record.id, verdict.next_check)

    def _use_to_remember(
        self, record: SandboxRecord, verdict: Verdict
    ) -> Iterator[Callable[[Connection], None]]:
        used = verdict.idle_since
        if used is None or used <= (record.ready_at or record.admitted_at) or used == record.idle_floor:
            return
        if record.used_at is None or used - record.used_at >= _USE_STEP:
            yield partial(records.remember_use, sandbox=record.id, used_at=used)

    def _notice(
        self, record: SandboxRecord, verdict: Verdict, warned: Warned
    ) -> Callable[[Connection], None]:
        """The warning, or the request to save: given and remembered in one transaction, so once."""
        now, kind = self._parts.clock.now(), "save" if verdict.action == "save" else "warning"
        detail = {"code": verdict.code, "at": warned.at.isoformat(), "why": verdict.why, "rule": verdict.rule}

        def write(connection: Connection) -> None:
            if records.remember_warning(connection, record, warned):
                happenings.add_event(connection, record.id, now, kind, detail)

        log.info("%s/%s is told (%s): %s", record.user, record.server, kind, verdict.why)
        return write

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
        await self._watch_all()
        seconds = round(jump.total_seconds(), 3)
        log.warning("The clock jumped by %s s; %s deadlines moved with it", seconds, moved)
        detail = {"seconds": seconds, "deadlines_moved": moved}
        await self._parts.audit.write(
            Entry(actor="control", action="clock.jumped", outcome="done", code="clock.jumped", detail=detail)
        )

    async def _watch_all(self) -> None:
        for sandbox in await self._parts.store.run(records.open_ids):
            self.watch(sandbox)

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
        wait = tick = self._parts.tuning.tick
        if self._heap:
            wait = min(wait, (self._heap[0][0] - self._parts.clock.now()).total_seconds())
        try:
            await asyncio.wait_for(self._wake.wait(), max(wait, min(_PASS, tick), 0.05))
        except asyncio.TimeoutError:
            return


def _write(notes: Sequence[Callable[[Connection], None]], connection: Connection) -> None:
    for note in notes:
        note(connection)
