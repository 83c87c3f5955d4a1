"""How does the hub learn that servers are used? Control tells it of each once in a while.

Law: only what gateway and cgroups measured is told, never what a server says. The hub's pace counts: calls
follow each other at a bounded rate, whatever is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from ..errors import AnswerError, ProgramError
from ..models import GatewayInventory
from ..rules.activity_relay import Told, due, first_seen
from ..rules.bucket import Bucket
from ..rules.idleness import CPU_IN_USE
from .parts import Parts

__all__ = ["ActivityRelay"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_STOPPED = (400, 404)
_AWAY = (502, 503, 504)


class ActivityRelay:
    """Remembers what the hub was told; a restarted control begins anew."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._told: dict[str, Told] = {}
        self._said: dict[int, float] = {}  # which status was logged when; of thousands it may be the same
        self._cpu: dict[str, tuple[float, float]] = {}
        self._cpu_used: dict[str, datetime] = {}
        self._pace = Bucket(parts.tuning.activity_per_second, asyncio.get_running_loop().time(), burst=1.0)

    async def step(self) -> None:
        """One pass, then a rest."""
        await self.relay()
        await asyncio.sleep(self._parts.tuning.activity_look)

    async def relay(self) -> int:
        """Tell what is due; of how many servers. Raises ProgramError where gateway or hub are away; what the
        hub refuses counts as told."""
        every = self._parts.tuning.activity_every
        servers = {item.id: item for item in await self._parts.gateway.inventory() if item.ready}
        used = await self._used(servers)
        now, elapsed = self._parts.clock.now(), self._parts.clock.elapsed()
        self._told = {name: self._told.get(name) or first_seen(name, elapsed, every) for name in servers}
        wanted: dict[str, list[GatewayInventory]] = defaultdict(list)
        for name in due(used, self._told, now, elapsed, every):
            wanted[servers[name].user].append(servers[name])
        for user, theirs in wanted.items():
            await self._tell(user, theirs, used)
        return sum(len(theirs) for theirs in wanted.values())

    async def _tell(
        self, user: str, theirs: Sequence[GatewayInventory], used: Mapping[str, datetime]
    ) -> None:
        await asyncio.sleep(self._pace.wait(asyncio.get_running_loop().time()))
        self._pace.take()
        try:
            await self._parts.hub.tell_activity(user, {item.server: used[item.id] for item in theirs})
        except AnswerError as error:
            if error.status in _AWAY:
                raise
            # Stopped at the hub meanwhile, or the hub fails at this user; others are told all the same. It is
            # asked again after the interval if it still stands open here.
            self._refused(user, error)
        for item in theirs:
            self._told[item.id] = Told(self._parts.clock.elapsed(), used[item.id])

    def _refused(self, user: str, error: AnswerError) -> None:
        elapsed = self._parts.clock.elapsed()
        said = self._said.get(error.status, float("-inf"))
        if error.status in _STOPPED or elapsed - said < self._parts.tuning.activity_every:
            log.debug("%s: the hub takes no activity: %s", user, error)
            return
        self._said[error.status] = elapsed
        log.warning("%s: the hub takes no activity: %s Others of whom it says so are not named.", user, error)

    async def _used(self, servers: Mapping[str, GatewayInventory]) -> Mapping[str, datetime]:
        await self._sample()
        for memory in (self._cpu, self._cpu_used):
            for name in memory.keys() - servers.keys():
                del memory[name]
        found = {}
        for name, item in servers.items():
            witnesses = (item.last_activity, item.egress_used_at, self._cpu_used.get(name))
            if known := [at for at in witnesses if at is not None]:
                found[name] = max(known)
        return found

    async def _sample(self) -> None:
        try:
            usages = await self._parts.launcher.usages()
        except ProgramError as error:
            log.debug("No CPU figures for the hub now: %s", error)
            return
        now, elapsed = self._parts.clock.now(), self._parts.clock.elapsed()
        for name, usage in usages.items():
            if usage.cpu_seconds is None:
                continue
            before = self._cpu.get(name)
            self._cpu[name] = (elapsed, usage.cpu_seconds)
            if before is None or elapsed <= before[0]:
                continue
            if (usage.cpu_seconds - before[1]) / (elapsed - before[0]) > CPU_IN_USE:
                self._cpu_used[name] = now
