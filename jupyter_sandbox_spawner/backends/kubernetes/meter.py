"""What do sandboxes use, as far as a namespace may know? Memory, where the cluster has the metrics API.

The kubelets know more (seconds of CPU, the peak, processes), but tell it only to whoever has rights over
nodes, which the launcher has not; what is not measured is told as None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from ...models import Usage
from .api import Cluster
from .layout import USER
from .quantities import quantity
from .sandbox import PodSandbox

__all__ = ["Meter"]

_FRESH = 10.0  # seconds; the metrics server itself measures every 15


class Meter:
    """One reading of all pods serves everybody who asks within ten seconds."""

    def __init__(self, api: Cluster, selector: str) -> None:
        self._api = api
        self._selector = selector
        self._read_at = -_FRESH
        self._memory: Mapping[str, str] = {}
        self._lock = asyncio.Lock()

    async def usage(self, sandbox: PodSandbox) -> Usage:
        """What is known of one."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._read_at >= _FRESH:
                self._read_at = now
                self._memory = await self._api.memory_of_pods(self._selector, USER)
        found = self._memory.get(sandbox.id)
        killed = sandbox.view.killed_for_memory if sandbox.view else False
        return Usage(
            cpu_seconds=None,
            memory=None if found is None else int(quantity(found)),
            memory_peak=None,
            pids=None,
            oom_kills=int(killed),
        )
