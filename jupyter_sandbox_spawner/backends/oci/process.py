"""Does a sandbox's init process still run, and how did it end? Known by its pidfd, never by its number."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from .kernel import start_time

__all__ = ["InitProcess"]


class InitProcess:
    """One running init process. `ended` is set when it is dead, also as a zombie."""

    def __init__(self, pid: int, started: int, descriptor: int) -> None:
        self.pid = pid
        self.start_time = started
        self.ended = asyncio.Event()
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._readable)

    @classmethod
    def adopt(cls, pid: int, expected_start: int | None = None) -> InitProcess | None:
        """Watch a process; None if it is dead or another process has its number by now."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        started = start_time(pid)
        if started is None or expected_start not in (None, started):
            os.close(descriptor)
            return None
        return cls(pid, started, descriptor)

    def _readable(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self.ended.set()

    def send(self, number: signal.Signals) -> None:
        """Signal it; no-op if it is dead."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def exit_code(self) -> int | None:
        """Exit status (128 + n for signal n) of an ended process; None where it was not our child."""
        try:
            result = os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return None
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status

    def close(self) -> None:
        """Stop watching; the process is left as it is."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
