"""How does one thread serve many sockets? An epoll loop with timers; no callback ever blocks."""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import time
from collections.abc import Callable

__all__ = ["Loop"]

OnEvents = Callable[[int], None]
OnTime = Callable[[], None]


class Loop:
    """Verbs: watch, ignore, discard, later, run (and stop).

    Level-triggered. A discarded socket is closed only after the round, so that no event of that round can
    reach a new socket that got the same descriptor.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, OnEvents]] = {}
        self._timers: list[tuple[float, int, OnTime]] = []
        self._order = itertools.count()
        self._discarded: list[socket.socket] = []
        self._running = True

    def watch(self, connection: socket.socket, events: int, callback: OnEvents) -> None:
        """Call `callback` with what happened; a second call for the same socket replaces the first."""
        descriptor = connection.fileno()
        known = self._watched.get(descriptor)
        if known is None:
            self._epoll.register(descriptor, events)
        elif known[0] != events:
            self._epoll.modify(descriptor, events)
        self._watched[descriptor] = (events, callback)

    def ignore(self, connection: socket.socket) -> None:
        """Report nothing any more about this socket, hang-ups included; no-op where it was not watched."""
        descriptor = connection.fileno()
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def discard(self, connection: socket.socket) -> None:
        """Ignore the socket now and close it at the end of this round."""
        self.ignore(connection)
        self._discarded.append(connection)

    def later(self, seconds: float, callback: OnTime) -> None:
        """Call `callback` once, `seconds` from now."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), callback))

    def run(self) -> None:
        """Serve until `stop`."""
        while self._running:
            for descriptor, events in self._epoll.poll(self._patience()):
                watched = self._watched.get(descriptor)
                if watched is not None:
                    watched[1](events)
            self._run_timers()
            for connection in self._discarded:
                connection.close()
            self._discarded.clear()

    def stop(self) -> None:
        """Let `run` return after this round."""
        self._running = False

    def _patience(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
