"""How do bytes get from one socket to the other and back? Two flows, spliced through a pipe, else copied.

Each end may finish sending before the other (half-close). When a receiver is slow its sender is not read, so
nothing is buffered beyond one pipe or one read a flow.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from functools import partial

from .loop import Loop
from .pipes import Pipe, Pipes

__all__ = ["Pair"]

ROUNDS = 2  # of a pipe's size, then it is the turn of the other connections
SHORT = 16 << 10  # a shorter read has emptied the socket: asking again would only cost a call
_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_GONE = select.EPOLLHUP | select.EPOLLERR
_scratch = memoryview(bytearray(64 << 10))


class _Flow:
    """One direction. `waiting` is how many bytes were read and not yet taken by the target."""

    def __init__(self, source: socket.socket, target: socket.socket, pipes: Pipes) -> None:
        self._source = source
        self._target = target
        self._pipes = pipes
        self._pipe: Pipe | None = None
        self._rest: memoryview | bytes = b""
        self.waiting = 0
        self.at_end = False  # nothing more will be read
        self.finished = False  # and the target knows

    def pull(self) -> None:
        """The source may have bytes: move them until it has none, the target is full, or the turn is over."""
        for _ in range(ROUNDS):
            size = self._read()
            self.push()
            if size < SHORT or self.waiting:
                return

    def push(self) -> None:
        """Give the target what waits; what it does not take goes on waiting."""
        try:
            while self.waiting:
                self.waiting -= self._send()
        except BlockingIOError:
            if isinstance(self._rest, memoryview):
                self._rest = bytes(self._rest)  # the scratch buffer belongs to whoever reads next
            return
        self._rest = b""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe)
            self._pipe = None

    def settle(self) -> None:
        """Pass the end on once every byte before it was taken."""
        if self.at_end and not self.waiting and not self.finished:
            self.finished = True
            self._target.shutdown(socket.SHUT_WR)

    def abandon(self) -> None:
        """The target takes nothing any more."""
        self.at_end = self.finished = True
        self.waiting = 0
        self._rest = b""
        if self._pipe is not None:
            self._pipes.destroy(self._pipe)
            self._pipe = None

    def _read(self) -> int:
        pipe = self._pipes.borrow()
        try:
            size = self._copy_in() if pipe is None else self._splice_in(pipe)
        except BlockingIOError:
            return 0
        self.waiting = size
        self.at_end = size == 0
        return size

    def _splice_in(self, pipe: Pipe) -> int:
        try:
            size = os.splice(self._source.fileno(), pipe.writer, self._pipes.size, flags=_FLAGS)
        except OSError as error:
            if error.errno not in _UNABLE:
                self._pipes.give_back(pipe)
                raise
            self._pipes.destroy(pipe)
            self._pipes.give_up()
            return self._copy_in()
        if size:
            self._pipe = pipe
        else:
            self._pipes.give_back(pipe)
        return size

    def _copy_in(self) -> int:
        size = self._source.recv_into(_scratch)
        self._rest = _scratch[:size]
        return size

    def _send(self) -> int:
        if self._pipe is not None:
            try:
                return os.splice(self._pipe.reader, self._target.fileno(), self.waiting, flags=_FLAGS)
            except OSError as error:
                if error.errno not in _UNABLE:
                    raise
            self._rest = os.read(self._pipe.reader, self.waiting)
            self._pipes.destroy(self._pipe)
            self._pipe = None
            self._pipes.give_up()
        sent = self._target.send(self._rest)
        self._rest = self._rest[sent:]
        return sent


class Pair:
    """Two connected non-blocking sockets; owns both and closes them, then calls `ended` once."""

    def __init__(
        self, loop: Loop, pipes: Pipes, ends: tuple[socket.socket, socket.socket], ended: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._ends = ends
        self._ended = ended
        # Flow n reads end n: its target is the other one.
        self._flows = (_Flow(ends[0], ends[1], pipes), _Flow(ends[1], ends[0], pipes))
        self._callbacks = (partial(self._on_events, 0), partial(self._on_events, 1))
        self._gone = [False, False]
        self._closed = False
        for index in (0, 1):
            self._watch(index)

    def _on_events(self, index: int, events: int) -> None:
        reading, writing = self._flows[index], self._flows[1 - index]
        try:
            if events & _GONE and not self._gone[index]:
                self._gone[index] = True
                writing.abandon()
            if events & select.EPOLLOUT:
                writing.push()
            if events & (select.EPOLLIN | _GONE) and not reading.at_end and not reading.waiting:
                reading.pull()
            for flow in self._flows:
                flow.settle()
        except OSError:  # reset or closed by the other side: both ends go
            self._close()
            return
        if all(flow.finished for flow in self._flows):
            self._close()
        elif not self._closed:
            self._watch(0)
            self._watch(1)

    def _watch(self, index: int) -> None:
        reading, writing = self._flows[index], self._flows[1 - index]
        events = 0 if reading.at_end or reading.waiting else select.EPOLLIN
        if writing.waiting:
            events |= select.EPOLLOUT
        if not events and self._gone[index]:
            # epoll reports a hang-up whatever is asked for: staying registered would spin.
            self._loop.ignore(self._ends[index])
        else:
            self._loop.watch(self._ends[index], events, self._callbacks[index])

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for flow in self._flows:
            flow.abandon()
        for end in self._ends:
            self._loop.discard(end)
        self._ended()
