"""How busy are this host's GPUs at this moment? One question to the driver for all who ask within a second.

Law: nobody waits long for a driver that hangs; what it does not say is not known, which is not idle.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from .nvml import read_busy

__all__ = ["GpuMeter", "busiest"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_FRESH = 1.0  # seconds; the driver's own figure is a mean over up to one
_PATIENCE = 2.0
Reader = Callable[[], Mapping[str, float]]


class GpuMeter:
    """The last reading, by device. `read` blocks and runs in a thread of its own."""

    def __init__(self, read: Reader = read_busy, patience: float = _PATIENCE) -> None:
        self._read = read
        self._patience = patience
        self._found: Mapping[str, float] = {}
        self._at = float("-inf")
        self._reading: asyncio.Future[Mapping[str, float]] | None = None

    async def look(self) -> Mapping[str, float]:
        """By device 0 to 1; a device that is not in it is not known. Never raises."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._at < _FRESH:
            return self._found
        if self._reading is None:
            self._reading = loop.create_future()
            # A daemon: one that hangs in the driver must not keep the launcher from ending.
            threading.Thread(target=self._ask, args=(loop,), name="gpu-meter", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(self._reading), self._patience)
        except asyncio.TimeoutError:
            return {}

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            found = self._read()
        except Exception as error:  # noqa: BLE001 - a foreign library; what it says is not needed to go on
            log.warning("GPUs cannot be measured: %s", error)
            found = {}
        try:
            loop.call_soon_threadsafe(self._told, found)
        except RuntimeError:  # the launcher has ended meanwhile
            log.debug("Nobody waits for the GPUs' figures any more")

    def _told(self, found: Mapping[str, float]) -> None:
        reading, self._reading = self._reading, None
        self._found, self._at = found, asyncio.get_running_loop().time()
        if reading is not None:
            reading.set_result(found)


def busiest(found: Mapping[str, float], devices: Sequence[str]) -> float | None:
    """Of one sandbox's devices; None where it has none, or one of them is not known."""
    figures = [found[name] for name in devices if name in found]
    return max(figures) if figures and len(figures) == len(devices) else None
