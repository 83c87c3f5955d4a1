"""Who ends a sandbox that passes a limit which the kernel does not hold? A look at all, twice a second.

Law: it decides nothing itself (`rules.soft_limits` does); a look that fails is logged, and the next follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from ...rules.soft_limits import end_for, soft_limits
from .host import OciHost
from .processes import by_namespace, count, namespace_of
from .sandbox import OciSandbox

__all__ = ["watch_soft_limits"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_INTERVAL = 0.5  # seconds; a program that takes 2 GB a second passes its limit by 1 GB


async def watch_soft_limits(host: OciHost, sandboxes: Mapping[str, OciSandbox]) -> None:
    """Watch for as long as the backend is open; returns at once where the kernel holds every limit."""
    while soft_limits(host.capabilities.limits):
        await asyncio.sleep(_INTERVAL)
        running = [sandbox for sandbox in list(sandboxes.values()) if sandbox.init is not None]
        if not running:
            continue
        try:
            # In a thread: the kernel may need milliseconds for each large process.
            verdicts = await asyncio.to_thread(_verdicts, host, running)
        except OSError:
            log.exception("The sandboxes could not be looked at")
            continue
        for sandbox, reason in verdicts:
            sandbox.end_for(reason)


def _verdicts(host: OciHost, running: list[OciSandbox]) -> list[tuple[OciSandbox, str]]:
    processes = by_namespace()
    found = []
    for sandbox in running:
        init, most = sandbox.init, sandbox.record.spec.resources
        namespace = None if init is None else namespace_of(init)
        if init is None or namespace is None:
            continue
        used = count(init, processes.get(namespace, ()), most, exact=False)
        reason = end_for(used.memory, used.pids, most, host.capabilities.limits)
        if reason:
            found.append((sandbox, reason))
    return found
