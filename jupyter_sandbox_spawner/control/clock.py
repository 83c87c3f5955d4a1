"""What time is it, and did the clock just jump?

Law: deadlines are wall-clock UTC instants, because people are told them. How much time really passed is
CLOCK_BOOTTIME's word: unlike CLOCK_MONOTONIC it goes on while the machine sleeps, and nobody can set it.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol

__all__ = ["Clock", "JumpDetector", "SystemClock"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TOLERANCE = 5.0  # seconds of difference that are slewing and scheduling, not a jump


class Clock(Protocol):
    """now: aware UTC. elapsed: seconds since this boot, also while asleep. boot: an id of this boot."""

    def now(self) -> datetime: ...
    def elapsed(self) -> float: ...
    def boot(self) -> str: ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Wall clock, aware UTC."""
        return datetime.now(timezone.utc)

    def elapsed(self) -> float:
        """Seconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """The kernel's id of this boot."""
        return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


class JumpDetector:
    """Compares both clocks with their last reading."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall = clock.now()
        self._elapsed = clock.elapsed()

    def restore(self, wall: datetime, elapsed: float, boot: str) -> None:
        """Compare from an earlier process's reading on; ignored if the machine was started anew since."""
        if boot and boot == self._clock.boot() and elapsed <= self._elapsed:
            self._wall, self._elapsed = wall, elapsed

    def look(self) -> timedelta:
        """By how much the wall clock jumped since the last look; zero for ordinary running."""
        wall, elapsed = self._clock.now(), self._clock.elapsed()
        jump = (wall - self._wall).total_seconds() - (elapsed - self._elapsed)
        self._wall, self._elapsed = wall, elapsed
        return timedelta(seconds=jump) if abs(jump) > TOLERANCE else timedelta()

    def reading(self) -> tuple[datetime, float, str]:
        """The last reading, to be kept for the next process."""
        return self._wall, self._elapsed, self._clock.boot()
