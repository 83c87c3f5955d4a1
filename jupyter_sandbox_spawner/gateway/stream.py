"""How are bytes read from and written to one connection, with back-pressure and deadlines?

Law: at most one reader and one writer wait at a time; a chunk is handed on as it came, never copied.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

import h11

__all__ = ["Stream", "StreamLostError", "next_event"]

_READ_AHEAD = 256 << 10  # bytes held for a slow reader before the peer is paused


class StreamLostError(ConnectionError):
    """The peer is gone and cannot be written to."""


class Stream(asyncio.Protocol):
    """One connection. `on_gone` is called once at end of file or loss, `on_early` for bytes while idle."""

    def __init__(self, accepted: Callable[[Stream], None] | None = None) -> None:
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._full = False
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.on_gone: Callable[[], None] | None = None
        self.on_early: Callable[[], None] | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop connected us."""
        self._transport = transport  # type: ignore[assignment]
        if self._accepted is not None:
            self._accepted(self)

    def data_received(self, data: bytes) -> None:
        """Keep the chunk; pause the peer when too much waits."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held > _READ_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reader)
        if self.on_early is not None:
            self.on_early()

    def eof_received(self) -> bool:
        """The peer sends no more; we may still write."""
        self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Everything that waits wakes up."""
        self._end()
        _wake(self._writer)
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._full = True

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        self._full = False
        _wake(self._writer)

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        _wake(self._reader)
        if self.on_gone is not None:
            self.on_gone()

    # what the programs use

    @property
    def socket(self) -> socket.socket:
        """The connected socket, to ask it for its peer."""
        if self._transport is None:
            raise StreamLostError("There is no connection yet.")
        return self._transport.get_extra_info("socket")  # type: ignore[no-any-return]

    @property
    def ended(self) -> bool:
        """Has the peer sent its last byte (some may still wait to be read)?"""
        return self._ended

    @property
    def silent(self) -> bool:
        """Has the peer neither sent anything that waits to be read nor gone away?"""
        return not self._ended and not self._chunks

    async def read(self, timeout: float | None = None) -> bytes:
        """The next chunk; empty at the end. Raises TimeoutError after `timeout` seconds."""
        while not self._chunks:
            if self._ended:
                return b""
            self._reader = self._loop.create_future()
            await _wait(self._loop, self._reader, timeout)
        chunk = self._chunks.popleft()
        self._held -= len(chunk)
        if self._paused and self._held <= _READ_AHEAD and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return chunk

    def write(self, data: bytes) -> None:
        """Queue bytes; raises StreamLostError when the peer is gone."""
        if self._transport is None or self._transport.is_closing():
            raise StreamLostError("The peer closed the connection.")
        self._transport.write(data)

    async def drain(self, timeout: float | None = None) -> None:
        """Wait until the peer has taken enough of what was written."""
        while self._full and not self.closed.done():
            self._writer = self._loop.create_future()
            await _wait(self._loop, self._writer, timeout)

    def close(self) -> None:
        """Close after what was written is sent; no-op when closed."""
        if self._transport is not None:
            self._transport.close()

    async def finish(self, timeout: float) -> None:
        """Say that nothing more comes and wait, up to `timeout` seconds, until the peer closes too.

        Closing over unread bytes would reset the connection and lose what the peer has not read yet.
        """
        if self._transport is None:
            return
        deadline = self._loop.time() + timeout
        if not self._transport.is_closing():
            self._transport.write_eof()
        try:
            while await self.read(max(0.0, deadline - self._loop.time())):
                pass
        except TimeoutError:
            self.abort()
        self.close()
        if not self.closed.done():
            await asyncio.wait([self.closed], timeout=max(0.0, deadline - self._loop.time()))
        self.abort()

    def abort(self) -> None:
        """Close now; what was not sent is lost."""
        if self._transport is not None:
            self._transport.abort()


async def next_event(
    connection: h11.Connection, stream: Stream, deadline: float | None = None
) -> h11.Event | type[h11.PAUSED]:
    """The next part of a message; `deadline` is an instant of the loop's clock.

    Raises h11.RemoteProtocolError for what is not HTTP, TimeoutError past the deadline.
    """
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event  # type: ignore[return-value]
        left = None if deadline is None else deadline - asyncio.get_running_loop().time()
        if left is not None and left <= 0:
            raise TimeoutError
        connection.receive_data(await stream.read(left))


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


async def _wait(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], timeout: float | None) -> None:
    if timeout is None:
        await future
        return
    # A timer costs less than the task that asyncio.wait_for makes on Python 3.10 and 3.11.
    timer = loop.call_later(timeout, _expire, future)
    try:
        await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
