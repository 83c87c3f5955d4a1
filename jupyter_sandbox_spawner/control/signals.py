"""When was each sandbox last used, as far as gateway, launcher and the server itself can tell right now?

Law: what cannot be asked now proves no idleness: a witness that lost its memory counts as use at this moment.
An instant in the future is nobody's word, neither now nor when its time has come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from ..clients.control import Claims
from ..errors import ProgramError, UnreachableError
from ..models import GatewayInventory, Usage
from ..rules.idleness import CPU_IN_USE, Signals
from .clock import TOLERANCE
from .parts import Parts
from .records import SandboxRecord

__all__ = ["GPU_IN_USE", "Watcher"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
GPU_IN_USE = 0.05  # of the busiest GPU; a process that only holds memory there was measured at 0
_ONE_BY_ONE = 8  # so many are asked for one by one, and so many at a time
_FEW = 0.05  # of all that are known: for more than these the launcher is asked once, for all of its own
_FAILED = 1.0  # seconds in which a gateway that did not answer is not asked again
_SAMPLE = 1.0  # seconds between two looks before a stop for idleness
_SHORTEST = 0.5  # seconds; over less than that the mean of CPU says nothing


class _Seen:
    """What is remembered of one sandbox; small, since there may be ten thousand."""

    __slots__ = ("busy", "cpu", "cpu_used_at", "door_used_at", "gpu_used_at", "said_at", "said_used_at")

    def __init__(self) -> None:
        self.cpu: tuple[float, float] | None = None  # elapsed, seconds of CPU
        self.cpu_used_at: datetime | None = None
        self.gpu_used_at: datetime | None = None
        self.door_used_at: datetime | None = None
        self.busy = False
        self.said_at: datetime | None = None
        self.said_used_at: datetime | None = None


class Watcher:
    """Remembers earlier looks, because CPU is a difference and a gateway may forget."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seen: dict[str, _Seen] = {}
        self._doors: Mapping[str, GatewayInventory] | None = None
        self._doors_at = float("-inf")
        self._at_the_doors = asyncio.Lock()
        self._at_the_launcher = asyncio.Semaphore(_ONE_BY_ONE)

    def claim(self, sandbox: str, claims: Claims) -> None:
        """The server inside says something of itself; the newest word counts, but for the future."""
        now, seen = self._parts.clock.now(), self._of(sandbox)
        used = claims.last_activity
        seen.busy, seen.said_at = claims.busy > 0, now
        seen.said_used_at = used if used is not None and used.tzinfo is not None and used <= now else None

    def note(self, usages: Mapping[str, Usage]) -> None:
        """Figures of the launcher that were asked for another reason; of sandboxes that are watched."""
        for sandbox in usages.keys() & self._seen.keys():
            self._read(sandbox, usages[sandbox])

    def forget(self, sandbox: str) -> None:
        """It ended."""
        self._seen.pop(sandbox, None)

    def clock_jumped(self) -> None:
        """Instants from before the jump mean nothing now; the records' idle floor stands in for them."""
        now = self._parts.clock.now()
        self._doors_at = float("-inf")
        for seen in self._seen.values():
            seen.cpu_used_at = seen.door_used_at = seen.said_used_at = None
            seen.gpu_used_at = None if seen.gpu_used_at is None else now
            seen.said_at = None if seen.said_at is None else now

    async def look(
        self, found: Sequence[SandboxRecord], age: float = 0, *, sample: bool = True
    ) -> dict[str, Signals]:
        """Signals of these sandboxes; figures of the doors may be `age` seconds old.

        `sample` False: processors and GPUs are not looked at anew, for what only shows.
        """
        if not found:
            return {}
        ids = [record.id for record in found if sample]
        doors, _ = await asyncio.gather(self._ask_doors(age), self._sample(ids))
        return {record.id: self._signals(record, doors) for record in found}

    async def is_working(self, sandbox: str, *, on_gpus: bool) -> bool:
        """Does it use a GPU, or else CPU or a GPU, at this very moment? Two looks a second apart."""
        await self._sample([sandbox])
        before = self._use_of(sandbox, on_gpus)
        await asyncio.sleep(_SAMPLE)
        await self._sample([sandbox])
        return self._use_of(sandbox, on_gpus) != before

    def traffic(self, sandbox: str) -> dict[str, int] | None:
        """Connections and bytes through its doors by the last figures; None where there are none."""
        entry = None if self._doors is None else self._doors.get(sandbox)
        if entry is None:
            return None
        return {
            "connections": entry.connections,
            "bytes_in": entry.bytes_in,
            "bytes_out": entry.bytes_out,
        }

    def _of(self, sandbox: str) -> _Seen:
        return self._seen.setdefault(sandbox, _Seen())

    def _use_of(self, sandbox: str, on_gpus: bool) -> tuple[datetime | None, ...]:
        seen = self._of(sandbox)
        return (seen.gpu_used_at,) if on_gpus else (seen.cpu_used_at, seen.gpu_used_at)

    async def _ask_doors(self, age: float) -> Mapping[str, GatewayInventory] | None:
        asked = self._parts.clock.elapsed()
        async with self._at_the_doors:
            # That it did not answer is an answer too: who waited meanwhile need not wait for another.
            fresh = age if self._doors is not None else max(age, _FAILED)
            if asked - self._doors_at <= fresh or self._doors_at > asked:
                return self._doors
            asked = self._parts.clock.elapsed()
            try:
                self._doors = {item.id: item for item in await self._parts.gateway.inventory()}
            except ProgramError as error:
                log.warning("No traffic figures now: %s", error)
                self._doors, asked = None, self._parts.clock.elapsed()
            self._doors_at = asked
            return self._doors

    async def _sample(self, sandboxes: Collection[str]) -> None:
        if len(sandboxes) <= max(_ONE_BY_ONE, len(self._seen) * _FEW):
            await asyncio.gather(*(self._sample_one(sandbox) for sandbox in sandboxes))
            return
        try:
            found = await self._parts.launcher.usages()
        except ProgramError as error:
            log.debug("No usage now: %s", error)
            self._unasked(sandboxes, error)
            return
        for sandbox in sandboxes:
            if sandbox in found:
                self._read(sandbox, found[sandbox])

    async def _sample_one(self, sandbox: str) -> None:
        try:
            async with self._at_the_launcher:
                usage = await self._parts.launcher.usage(sandbox)
        except ProgramError as error:
            log.debug("%s: no usage now: %s", sandbox, error)
            self._unasked([sandbox], error)
            return
        self._read(sandbox, usage)

    def _unasked(self, sandboxes: Collection[str], error: ProgramError) -> None:
        if not isinstance(error, UnreachableError):
            return
        now = self._parts.clock.now()
        for sandbox in sandboxes:
            seen = self._of(sandbox)
            seen.cpu_used_at = now
            # Of one without a GPU nothing was ever measured there, and nothing is now.
            seen.gpu_used_at = None if seen.gpu_used_at is None else now

    def _read(self, sandbox: str, usage: Usage) -> None:
        seen, now = self._of(sandbox), self._parts.clock.now()
        busy = usage.gpu_busy
        # The first look counts as work: how its GPUs were used before nobody can tell. Nor can anybody while
        # they are not measured any more.
        if (busy is None) != (seen.gpu_used_at is None) or (busy is not None and busy > GPU_IN_USE):
            seen.gpu_used_at = now
        if usage.cpu_seconds is None:
            return
        elapsed, before = self._parts.clock.elapsed(), seen.cpu
        if before is not None and elapsed - before[0] < _SHORTEST:
            return
        seen.cpu = (elapsed, usage.cpu_seconds)
        if before is None:
            return
        if (usage.cpu_seconds - before[1]) / (elapsed - before[0]) > CPU_IN_USE:
            seen.cpu_used_at = now

    def _signals(self, record: SandboxRecord, doors: Mapping[str, GatewayInventory] | None) -> Signals:
        seen, now = self._of(record.id), self._parts.clock.now()
        # The gateway's clock is this one, which may have been set back a little since; more is no word.
        latest = now + timedelta(seconds=TOLERANCE)
        found = (record.used_at, self._door_used_at(record.id, doors))
        known = [min(at, now) for at in found if at is not None and at <= latest]
        return Signals(
            door_used_at=max(known, default=None),
            cpu_used_at=seen.cpu_used_at,
            gpu_used_at=seen.gpu_used_at,
            busy=seen.busy,
            said_at=seen.said_at,
            said_used_at=seen.said_used_at,
            floor=record.idle_floor,
            keep_until=record.keep_until,
            egress_used_at=doors[record.id].egress_used_at if doors and record.id in doors else None,
        )

    def _door_used_at(self, sandbox: str, doors: Mapping[str, GatewayInventory] | None) -> datetime | None:
        seen, now = self._of(sandbox), self._parts.clock.now()
        entry = doors.get(sandbox) if doors is not None else None
        if entry is not None and (entry.last_activity or entry.egress_used_at):
            seen.door_used_at = entry.last_activity or entry.egress_used_at
            return entry.last_activity
        if doors is None or seen.door_used_at is not None:
            # No answer, or a gateway that knew more before it was restarted.
            seen.door_used_at = None
            return now
        return None
