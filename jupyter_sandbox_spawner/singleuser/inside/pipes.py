"""Which pipe carries the bytes of a splice? A bounded pool of empty ones; without one the caller copies.

Law: a pipe in the pool is empty. One that still holds bytes is closed, or another connection would get them.
"""

from __future__ import annotations

import fcntl
import os
from typing import NamedTuple

__all__ = ["Pipe", "Pipes"]

F_SETPIPE_SZ = 1031  # the fcntl module names it only where its build knew it
F_GETPIPE_SZ = 1032
# What gVisor's kernel calls itself. Its splice from a socket loses bytes where the pipe is full (a git clone
# came through broken), and no call fails that could tell.
_GVISOR = "#1 SMP Sun Jan 10 15:06:54 PST 2016"


class Pipe(NamedTuple):
    """The two descriptors of one pipe."""

    reader: int
    writer: int


class Pipes:
    """Verbs: borrow, give_back, destroy, give_up.

    `size` is in bytes; at most `limit` pipes exist at a time. An ordinary user has 64 MiB of pipes for all
    processes (fs.pipe-user-pages-soft), and past that new pipes shrink: the user's own code needs some too.
    """

    def __init__(self, size: int = 1 << 20, limit: int = 12) -> None:
        self.size = size
        self._limit = limit if hasattr(os, "splice") and os.uname().version != _GVISOR else 0
        self._idle: list[Pipe] = []
        self._made = 0

    def borrow(self) -> Pipe | None:
        """An empty pipe, or None when none can be had."""
        if self._idle:
            return self._idle.pop()
        if self._made >= self._limit:
            return None
        return self._make()

    def give_back(self, pipe: Pipe) -> None:
        """Return an empty pipe."""
        self._idle.append(pipe)

    def destroy(self, pipe: Pipe) -> None:
        """Close a pipe that may hold bytes."""
        os.close(pipe.reader)
        os.close(pipe.writer)
        self._made -= 1

    def give_up(self) -> None:
        """Splice does not work here (gVisor, some file systems): lend no more pipes."""
        self._limit = 0
        while self._idle:
            self.destroy(self._idle.pop())

    def _make(self) -> Pipe | None:
        try:
            pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:  # out of descriptors: copying needs none
            return None
        self._made += 1
        try:
            fcntl.fcntl(pipe.writer, F_SETPIPE_SZ, self.size)
        except OSError:  # over the user's quota; the kernel may have made this one tiny
            if fcntl.fcntl(pipe.writer, F_GETPIPE_SZ) < 65536:
                self.destroy(pipe)
                return None
        return pipe
