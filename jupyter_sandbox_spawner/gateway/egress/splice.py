"""How do bytes go from one socket to the other: by splice through a borrowed pipe, or copied?

Law: a pipe goes back to the pool only empty; one that may hold a tenant's bytes is closed.
ref: field notes on throughput: past the pipe quota of a user (fs.pipe-user-pages-soft) the kernel
shrinks new pipes to 8 KiB, so the pool is bounded and what comes later is copied.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket

__all__ = ["PIPE_BYTES", "Parcel", "PipePool"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")
# The most an ordinary user may ask for (fs.pipe-max-size). Measured beside 256 KiB on two busy processors:
# 0.6 of the processor time a byte, as fewer turns wake fewer neighbours.
PIPE_BYTES = 1 << 20
_COPY_BYTES = 256 << 10  # a stalled receiver's chunk stays in memory when it was copied
_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
_NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS})
Pipe = tuple[int, int]


class PipePool:
    """At most `most` pipes of PIPE_BYTES, made when first needed, and one buffer for who gets none."""

    def __init__(self, most: int) -> None:
        self._most = most if hasattr(os, "splice") else 0
        self._made = 0
        self._free: list[Pipe] = []
        self.scratch = memoryview(bytearray(_COPY_BYTES))

    @property
    def lent(self) -> int:
        """How many pipes are borrowed now."""
        return self._made - len(self._free)

    def borrow(self) -> Pipe | None:
        """An empty pipe, or None: then copy."""
        if self._free:
            return self._free.pop()
        return self._make() if self._made < self._most else None

    def give_back(self, pipe: Pipe) -> None:
        """Return an empty pipe."""
        self._free.append(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe that may not be empty."""
        os.close(pipe[0])
        os.close(pipe[1])
        self._made -= 1

    def stop_lending(self, why: OSError) -> None:
        """Copy from now on: this kernel does not splice these sockets, or gives no more pipes."""
        log.warning("Egress copies instead of splicing past %s pipes: %s", self._made, why)
        self._most = 0

    def close(self) -> None:
        """Close what was returned; no more is lent."""
        self._most = 0
        while self._free:
            self.discard(self._free.pop())

    def _make(self) -> Pipe | None:
        try:
            pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._most = self._made
            log.warning("No pipe for egress, copying past %s of them: %s", self._made, error)
            return None
        self._made += 1
        try:
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError as error:
            self.discard(pipe)
            self._most = self._made
            log.warning("The pipe quota ends at %s pipes of %s bytes: %s", self._made, PIPE_BYTES, error)
            return None
        return pipe


class Parcel:
    """Bytes on their way from a source to a target; `size` of them wait here, in a pipe or copied."""

    def __init__(self, pool: PipePool) -> None:
        self._pool = pool
        self._pipe: Pipe | None = None
        self._copied = memoryview(b"")
        self.size = 0

    def take(self, source: socket.socket, most: int) -> int:
        """Take up to `most` bytes into an empty parcel; 0 at the end. Raises BlockingIOError."""
        self._pipe = self._pool.borrow()
        try:
            self.size = self._splice_in(source, most) if self._pipe else self._receive(source, most)
        finally:
            if self.size == 0:
                self._release()
        return self.size

    def give(self, target: socket.socket) -> bool:
        """Hand over what waits; False where the target takes no more now."""
        try:
            while self.size:
                self.size -= self._send(target)
        except BlockingIOError:
            return False
        self._release()
        return True

    def unload(self) -> None:
        """Move what waits out of the pipe, so that a stalled target holds none."""
        if self._pipe is None or self.size == 0:
            return
        chunks = []
        left = self.size
        while left:
            chunks.append(os.read(self._pipe[0], left))
            left -= len(chunks[-1])
        self._copied = memoryview(b"".join(chunks))
        self._pool.give_back(self._pipe)
        self._pipe = None

    def drop(self) -> None:
        """Forget what waits; its pipe is closed, not returned."""
        if self._pipe is not None and self.size:
            self._pool.discard(self._pipe)
            self._pipe = None
        self.size = 0
        self._release()

    def _splice_in(self, source: socket.socket, most: int) -> int:
        if self._pipe is None:
            return self._receive(source, most)
        try:
            return os.splice(source.fileno(), self._pipe[1], min(most, PIPE_BYTES), flags=_FLAGS)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            self._pool.stop_lending(error)
        self._release()
        return self._receive(source, most)

    def _receive(self, source: socket.socket, most: int) -> int:
        # The buffer is shared by all: what the target does not take at once is copied out of it.
        size = source.recv_into(self._pool.scratch, min(most, _COPY_BYTES))
        self._copied = self._pool.scratch[:size]
        return size

    def _send(self, target: socket.socket) -> int:
        if self._pipe is not None:
            return os.splice(self._pipe[0], target.fileno(), self.size, flags=_FLAGS)
        try:
            sent = target.send(self._copied)
        except BlockingIOError:
            self._keep()
            raise
        self._copied = self._copied[sent:]
        return sent

    def _keep(self) -> None:
        if self._copied.obj is self._pool.scratch.obj:
            self._copied = memoryview(bytes(self._copied))

    def _release(self) -> None:
        if self._pipe is not None:
            self._pool.give_back(self._pipe)
            self._pipe = None
        self._copied = memoryview(b"")
