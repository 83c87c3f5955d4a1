"""When was each sandbox last used, as far as gateway, cgroup and the server itself can tell right now?

Law: what cannot be asked now proves no idleness: a witness that lost its memory counts as use at this moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from ..clients.control import Claims
from ..errors import ProgramError
from ..models import GatewayInventory
from ..rules.idleness import CPU_IN_USE, Signals
from .parts import Parts
from .records import SandboxRecord

__all__ = ["Watcher"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_AT_ONCE = 8
_SAMPLE = 1.0  # seconds between two looks at the CPU before a stop for idleness


class Watcher:
    """Remembers earlier looks, because CPU is a difference and a gateway may forget."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cpu: dict[str, tuple[float, float]] = {}
        self._cpu_used: dict[str, datetime] = {}
        self._door_used: dict[str, datetime] = {}
        self._claims: dict[str, tuple[datetime, Claims]] = {}

    def claim(self, sandbox: str, claims: Claims) -> None:
        """The server inside says something of itself; the newest word counts."""
        self._claims[sandbox] = (self._parts.clock.now(), claims)

    def claims_of(self, sandbox: str) -> Claims | None:
        """Its last word."""
        said = self._claims.get(sandbox)
        return None if said is None else said[1]

    def forget(self, sandbox: str) -> None:
        """It ended."""
        for memory in (self._cpu, self._cpu_used, self._door_used, self._claims):
            memory.pop(sandbox, None)

    def clock_jumped(self) -> None:
        """Instants from before the jump mean nothing now; the records' idle floor stands in for them."""
        self._cpu_used.clear()
        self._door_used.clear()
        self._claims = {key: (self._parts.clock.now(), claims) for key, (_, claims) in self._claims.items()}

    async def look(self, found: Sequence[SandboxRecord]) -> dict[str, Signals]:
        """Signals of these sandboxes, fresh."""
        doors = await self._doors()
        await self._sample(record.id for record in found)
        return {record.id: self._signals(record, doors) for record in found}

    async def is_computing(self, sandbox: str) -> bool:
        """Does it use CPU at this very moment? Two looks a second apart."""
        await self._sample_one(sandbox)
        await asyncio.sleep(_SAMPLE)
        before = self._cpu_used.get(sandbox)
        await self._sample_one(sandbox)
        return self._cpu_used.get(sandbox) != before

    async def _doors(self) -> dict[str, GatewayInventory] | None:
        try:
            return {item.id: item for item in await self._parts.gateway.inventory()}
        except ProgramError as error:
            log.warning("No traffic figures now: %s", error)
            return None

    async def _sample(self, sandboxes: Iterable[str]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(sandbox: str) -> None:
            async with gate:
                await self._sample_one(sandbox)

        await asyncio.gather(*(one(sandbox) for sandbox in sandboxes))

    async def _sample_one(self, sandbox: str) -> None:
        try:
            usage = await self._parts.launcher.usage(sandbox)
        except ProgramError as error:
            log.debug("%s: no usage now: %s", sandbox, error)
            if error.code == "launcher.unreachable":
                self._cpu_used[sandbox] = self._parts.clock.now()
            return
        if usage.cpu_seconds is None:
            return
        elapsed = self._parts.clock.elapsed()
        before = self._cpu.get(sandbox)
        self._cpu[sandbox] = (elapsed, usage.cpu_seconds)
        if before is None or elapsed <= before[0]:
            return
        if (usage.cpu_seconds - before[1]) / (elapsed - before[0]) > CPU_IN_USE:
            self._cpu_used[sandbox] = self._parts.clock.now()

    def _signals(self, record: SandboxRecord, doors: dict[str, GatewayInventory] | None) -> Signals:
        known = [at for at in (record.used_at, self._door_used_at(record.id, doors)) if at is not None]
        signals = Signals(
            door_used_at=max(known, default=None),
            cpu_used_at=self._cpu_used.get(record.id),
            floor=record.idle_floor,
        )
        said = self._claims.get(record.id)
        if said is None:
            return signals
        at, claims = said
        return replace(signals, busy=claims.busy > 0, said_at=at, said_used_at=claims.last_activity)

    def _door_used_at(self, sandbox: str, doors: dict[str, GatewayInventory] | None) -> datetime | None:
        entry = doors.get(sandbox) if doors is not None else None
        if entry is not None and entry.last_activity is not None:
            self._door_used[sandbox] = entry.last_activity
            return entry.last_activity
        if doors is None or sandbox in self._door_used:
            # No answer, or a gateway that knew more before it was restarted.
            self._door_used.pop(sandbox, None)
            return self._parts.clock.now()
        return None
