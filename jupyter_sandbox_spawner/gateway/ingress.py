"""Which idle connection carries the next browser request into the sandbox?

Law: connections only come out of the sandbox; the gateway never dials in. An idle one says nothing: what
speaks or ends while idle is dropped.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from .stream import Stream

__all__ = ["HAND_OFF", "HoldTimes", "IngressPool"]

HAND_OFF = b"\x01"  # the relay strips it; everything after it is HTTP/1.1


class HoldTimes:
    """Seconds a request waits for an idle connection: before the server was first ready, afterwards while
    nothing is connected (it is dead or restarting), and while all connections are busy."""

    def __init__(self, starting: float = 60.0, silent: float = 1.0, busy: float = 30.0) -> None:
        self.starting = starting
        self.silent = silent
        self.busy = busy


class IngressPool:
    """The ingress connections of one sandbox. `on_ready` is called at the first one."""

    def __init__(self, ready: bool, hold: HoldTimes, on_ready: Callable[[], None]) -> None:
        self.was_ready = ready
        self._hold = hold
        self._on_ready = on_ready
        self._idle: deque[Stream] = deque()
        self._waiting: deque[asyncio.Future[Stream]] = deque()
        self._open = 0
        self.first = asyncio.Event()
        if ready:
            self.first.set()

    async def handle(self, connection: socket.socket) -> None:
        """Serve one connection of the ingress door until it is closed."""
        stream = Stream()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, connection)
        self._open += 1
        try:
            self._offer(stream)
            await stream.closed
        finally:
            self._open -= 1
            self._drop(stream)

    def take(self) -> Stream | None:
        """An idle connection that is there now."""
        while self._idle:
            stream = self._idle.popleft()
            if stream.silent:
                return _taken(stream)
        return None

    async def acquire(self) -> Stream | None:
        """An idle connection or the next that comes, first come first served; None when none came in time."""
        # One may have come since the caller looked: it is idle, and nobody would offer it again.
        if stream := self.take():
            return stream
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Stream] = loop.create_future()
        self._waiting.append(place)
        self._check_later(place, loop.time())
        try:
            return await place
        except TimeoutError:
            return None
        except asyncio.CancelledError:
            # The browser left in the very turn in which a connection came for it.
            if place.done() and not place.cancelled() and place.exception() is None:
                self._offer(place.result())
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def _check_later(self, place: asyncio.Future[Stream], since: float) -> None:
        # The limit depends on what happens meanwhile, so a waiting request looks again when it is reached.
        loop = asyncio.get_running_loop()
        left = since + self._limit() - loop.time()
        if place.done():
            return
        if left <= 0:
            place.set_exception(TimeoutError())
        else:
            loop.call_later(min(left, self._hold.silent), self._check_later, place, since)

    def _limit(self) -> float:
        if not self.was_ready:
            return self._hold.starting
        return self._hold.busy if self._open else self._hold.silent

    def _offer(self, stream: Stream) -> None:
        if not self.was_ready:
            self.was_ready = True
            self._on_ready()
        self.first.set()
        if not stream.silent:
            stream.abort()
            return
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(stream)
                return
        stream.on_early = lambda: self._drop(stream)
        stream.on_gone = stream.on_early
        self._idle.append(stream)

    def _drop(self, stream: Stream) -> None:
        if stream in self._idle:
            self._idle.remove(stream)
        stream.abort()


def _taken(stream: Stream) -> Stream:
    stream.on_early = None
    stream.on_gone = None
    return stream
