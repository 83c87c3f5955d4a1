"""How are many sandboxes ended at the same minute? So many at once, while all others go on being judged.

Law: right before a stop the signals are taken anew, and idleness is looked at twice; a stop under way is not
begun again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from ..errors import ProgramError
from . import records
from .judging import Judge
from .parts import Parts
from .records import SandboxRecord
from .signals import Watcher
from .stopping import Stopper

__all__ = ["Stops"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_ASK_AGAIN = timedelta(seconds=5)  # a stop that did not happen yet
_FRESH = 1.0  # seconds; one question to the gateway serves all that stop at this moment
_IDLENESS = ("stop.idle", "stop.gpu_idle")


class Stops:
    """Those under way. `again` is told of each that is to be judged again, and when."""

    def __init__(
        self,
        parts: Parts,
        judge: Judge,
        watcher: Watcher,
        stopper: Stopper,
        again: Callable[[str, datetime], None],
    ) -> None:
        self._parts = parts
        self._judge = judge
        self._watcher = watcher
        self._stopper = stopper
        self._again = again
        self._gate = asyncio.Semaphore(parts.tuning.stops_at_once)
        self._pace = asyncio.Lock()
        self._last = float("-inf")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._began = parts.clock.elapsed()

    def __contains__(self, sandbox: str) -> bool:
        return sandbox in self._tasks

    def begin(self, record: SandboxRecord) -> None:
        """Its end is due, or was decided before; no-op while it is under way."""
        if record.id not in self._tasks:
            self._tasks[record.id] = asyncio.create_task(self._in_turn(record))

    def has_settled(self) -> bool:
        """Had servers time to say again what they do? Before that nothing is judged idle."""
        return self._parts.clock.elapsed() - self._began >= self._parts.tuning.settle

    async def settled(self) -> None:
        """Returns when nothing is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Leave what is under way to the next process: the reasons are in the database."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_turn(self, record: SandboxRecord) -> None:
        done = False
        try:
            async with self._gate:
                await self._apart()
                done = await self._end(record.id)
        except ProgramError as error:
            log.error("%s/%s: looked at again soon: %s", record.user, record.server, error)
        finally:
            del self._tasks[record.id]
            # Over at the hub: asking once more could hit a server that its user started meanwhile. What
            # the hub left undone is the reconciler's.
            if not done:
                self._again(record.id, self._parts.clock.now() + _ASK_AGAIN)

    async def _apart(self) -> None:
        """Not at once with another: twenty together would hold the hub's loop for as long as all need."""
        clock = asyncio.get_running_loop().time
        async with self._pace:
            await asyncio.sleep(self._last + self._parts.tuning.stops_apart - clock())
            self._last = clock()

    async def _end(self, sandbox: str) -> bool:
        """True where nothing is left to do."""
        record = await self._parts.store.run(lambda db: records.by_id(db, sandbox))
        if record is None or not record.is_open:
            self._watcher.forget(sandbox)
            return True
        if record.status == "stopping":
            return await self._stopper.ask(record) or await self._stopper.ended(sandbox)
        reason = await self._reason(record)
        if reason is None:
            return False
        done = await self._stopper.stop(record, *reason, "control")
        return done or await self._stopper.ended(sandbox)

    async def _reason(self, record: SandboxRecord) -> tuple[str, str] | None:
        """Code and sentence by fresh signals; None where it may go on after all."""
        verdict = (await self._judge.judge_one(record, _FRESH)).verdict
        if verdict.action == "stop" and verdict.code in _IDLENESS:
            # Memory of the last minute may be gone, and CPU is a difference: look twice.
            on_gpus = verdict.code == "stop.gpu_idle"  # then no CPU keeps it
            if not self.has_settled() or await self._watcher.is_working(record.id, on_gpus=on_gpus):
                return None
            verdict = (await self._judge.judge_one(record, _FRESH)).verdict
        return (verdict.code, verdict.why) if verdict.action == "stop" else None
