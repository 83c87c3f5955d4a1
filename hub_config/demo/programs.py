"""Which process is each program now, and when did a killed one answer again? The supervisor's log tells.

Law: a program is killed as a crash would kill it, by SIGKILL to its own process and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "Crash", "Programs"]

PROGRAMS = ("launcher", "gateway", "control", "broker", "proxy", "hub")
_RESTART_WITHIN = 120.0
_LOOK = 0.02  # seconds; the log is a file and there is no event to wait for
_LINE = re.compile(r"(\w+)\s+(started, pid|ready,) ([0-9.]+)")


@dataclass(frozen=True)
class Crash:
    """Programs that were killed at the same moment, and seconds until each answered again."""

    seconds: dict[str, float]

    @property
    def slowest(self) -> float:
        """Seconds until all of them answered."""
        return max(self.seconds.values())


@dataclass(frozen=True)
class _Life:
    pid: int
    ready: bool


class Programs:
    """The programs of one running site, by the file its supervisor writes to."""

    def __init__(self, log_file: Path) -> None:
        self._log = log_file

    def pid(self, name: str) -> int:
        """The process that runs this program now."""
        return self._lives(name)[-1].pid

    async def kill(self, names: Sequence[str]) -> Crash:
        """SIGKILL these at once; returns when every one of them answers again. Raises TimeoutError."""
        lives = {name: len(self._lives(name)) for name in names}
        start = time.monotonic()
        for name in names:
            os.kill(self.pid(name), signal.SIGKILL)
        seconds: dict[str, float] = {}
        while len(seconds) < len(lives):
            for name, before in lives.items():
                if name not in seconds and any(life.ready for life in self._lives(name)[before:]):
                    seconds[name] = round(time.monotonic() - start, 2)
            if time.monotonic() - start > _RESTART_WITHIN:
                missing = sorted(set(lives) - set(seconds))
                raise TimeoutError(f"{', '.join(missing)} did not answer within {_RESTART_WITHIN:.0f} s")
            await asyncio.sleep(_LOOK)
        return Crash(seconds)

    def _lives(self, name: str) -> list[_Life]:
        """Every process that was started as this program, oldest first."""
        found: list[_Life] = []
        for line in self._log.read_text(errors="replace").splitlines():
            match = _LINE.match(line)
            if match is None or match[1] != name:
                continue
            if match[2].startswith("started"):
                found.append(_Life(int(match[3]), False))
            elif found:
                found[-1] = _Life(found[-1].pid, True)
        return found
