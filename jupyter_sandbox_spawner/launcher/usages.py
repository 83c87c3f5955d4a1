"""What have all sandboxes used, also those that went a moment ago?

Law: a sandbox is read once more before it goes, so that what it used at the end is not lost with its cgroup.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..backends.base import Backend, is_over
from ..errors import SandboxError
from ..models import InventoryItem, Usage, Usages
from .gpu_meter import GpuMeter, busiest

__all__ = ["UsageBook"]

_KEPT = 900.0  # seconds: control asks every minute, and may be away for a while
_MOST = 10_000
_IN_A_ROW = 25  # readings before others get their turn; each reads a few files


class UsageBook:
    """Readings by the backend, and the last ones of sandboxes that are gone, for a quarter of an hour."""

    def __init__(self, backend: Backend, meter: GpuMeter | None = None) -> None:
        self._backend = backend
        self._meter = meter or GpuMeter()
        self._gone: OrderedDict[str, tuple[float, Usage]] = OrderedDict()

    async def all(self) -> Usages:
        """Of every sandbox; one that cannot be read is left out."""
        self._forget_old()
        found = {sandbox: usage for sandbox, (_, usage) in self._gone.items()}
        inventory = await self._backend.inventory()
        busy = await self._busy(inventory)
        for number, item in enumerate(inventory):
            if number % _IN_A_ROW == 0:
                await asyncio.sleep(0)
            usage = await self._read(item.id)
            if usage is not None:
                found[item.id] = replace(usage, gpu_busy=busy[item.id]) if item.id in busy else usage
        return Usages(sandboxes=found)

    async def one(self, sandbox: str) -> Usage:
        """Of one sandbox. Raises what the backend raises for one that it does not have."""
        usage = await self._backend.usage(sandbox)
        inventory = [item for item in await self._backend.inventory() if item.id == sandbox]
        return replace(usage, gpu_busy=(await self._busy(inventory)).get(sandbox))

    async def _busy(self, inventory: Sequence[InventoryItem]) -> Mapping[str, float | None]:
        """By sandbox; the driver is asked once, and only where one of them has devices and runs."""
        devices = {
            item.id: item.labels.get("gpus", "").split() for item in inventory if not is_over(item.status)
        }
        devices = {sandbox: names for sandbox, names in devices.items() if names}
        found = await self._meter.look() if devices else {}
        return {sandbox: busiest(found, names) for sandbox, names in devices.items()}

    async def keep(self, sandbox: str) -> None:
        """It is about to end or to go: what it used so far is remembered."""
        usage = await self._read(sandbox)
        if usage is not None:
            self._gone[sandbox] = time.monotonic(), usage
            self._gone.move_to_end(sandbox)
            self._forget_old()

    async def _read(self, sandbox: str) -> Usage | None:
        """None where nothing can be measured, also because its cgroup has gone."""
        try:
            usage = await self._backend.usage(sandbox)
        except SandboxError:
            return None
        return None if usage.cpu_seconds is None else usage

    def _forget_old(self) -> None:
        before = time.monotonic() - _KEPT
        while self._gone:
            at, _ = next(iter(self._gone.values()))
            if at >= before and len(self._gone) <= _MOST:
                return
            self._gone.popitem(last=False)
