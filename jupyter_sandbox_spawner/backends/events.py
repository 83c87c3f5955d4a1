"""How do many readers wait for the status changes of one backend? A bounded log with growing numbers."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime, timezone

from ..models import Event, SandboxSpec, Status

__all__ = ["EventLog"]


class EventLog:
    """The newest `size` events in memory.

    Numbers start at the clock in milliseconds, so a reader's number from before a restart of the
    launcher is still below every number after it. Where the clock went back meanwhile it is above all
    of them, and the reader gets every event there is.
    """

    def __init__(self, now: datetime, size: int = 4096) -> None:
        self._next = int(now.timestamp() * 1000)
        self._events: deque[Event] = deque(maxlen=size)
        self._news = asyncio.Condition()

    async def add(self, spec: SandboxSpec, status: Status) -> None:
        """Tell every reader that this sandbox now has this status."""
        self._next += 1
        event = Event(
            seq=self._next,
            time=datetime.now(timezone.utc),
            kind=f"sandbox.{status.value}",
            sandbox=spec.id,
            user=spec.user,
            server=spec.server,
            detail={"exit_code": status.exit_code, "reason": status.reason},
        )
        async with self._news:
            self._events.append(event)
            self._news.notify_all()

    def after(self, seq: int) -> tuple[Event, ...]:
        """Events above `seq`, oldest first; all of them for a number that was not given here."""
        least = seq if seq <= self._next else 0
        return tuple(event for event in self._events if event.seq > least)

    async def wait(self, seq: int, timeout: float) -> tuple[Event, ...]:
        """Like `after`, waiting up to `timeout` seconds for the first one."""
        try:
            async with self._news:
                await asyncio.wait_for(self._news.wait_for(lambda: bool(self.after(seq))), timeout)
        except asyncio.TimeoutError:
            return ()
        return self.after(seq)
