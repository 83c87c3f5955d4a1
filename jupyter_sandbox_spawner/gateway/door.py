"""How does one door listen: who may connect, how often, and what happens when descriptors run out?

Law: an acceptor never dies silently and never takes what belongs to another sandbox: over its own caps it
leaves connections in its own backlog, and only the sandbox's own uid gets past it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..rules.bucket import Bucket
from ..serving import peer_credentials

__all__ = ["Door", "DoorPlan", "Reserve"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

_BACKLOG = 1024  # a full unix backlog is an immediate EAGAIN for whoever connects
_BATCH = 4  # connections taken in one turn of the loop, so that no door's flood delays the others' next step
_RETRY = 0.1  # seconds without accepting after descriptors ran out
_SAY_EVERY = 10.0  # seconds between equal lines in the log
_BROKEN = 1.0  # seconds before a failed listener is bound again


class Reserve:
    """One spare descriptor: given up for a moment, it lets a door take a connection and close it."""

    def __init__(self) -> None:
        self._descriptor: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def shed(self, listener: socket.socket) -> None:
        """Take one waiting connection and close it, so that its peer learns at once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        with contextlib.suppress(OSError):  # another thread may have taken the descriptor first
            listener.accept()[0].close()
        with contextlib.suppress(OSError):  # tried again at the next call
            self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, kw_only=True)
class DoorPlan:
    """One door: its name and path, the only uid that may connect, its caps and who serves it.

    `refusal` is sent to a connection over `connections` before it is closed; None leaves the connection in
    the backlog until there is room. `handler` owns the non-blocking socket it is given.
    """

    name: str
    path: str
    uid: int
    connections: int
    per_second: float
    handler: Callable[[socket.socket], Awaitable[None]]
    on_foreign: Callable[[str, int], None]
    on_capped: Callable[[str], None]
    refusal: bytes | None = None


class Door:
    """A listening unix socket and the connections that came through it."""

    def __init__(self, plan: DoorPlan, reserve: Reserve) -> None:
        self.plan = plan
        self._reserve = reserve
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._watching = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rate = Bucket(plan.per_second, self._loop.time())
        self._said = -_SAY_EVERY

    def open(self) -> None:
        """Bind and listen, replacing what an earlier gateway left at this path."""
        Path(self.plan.path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.plan.path)
        # The sandbox's uid must be able to connect; its directory's parent (0700) keeps others away.
        os.chmod(self.plan.path, 0o666)  # noqa: S103
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._listener = listener
        self._watch()

    def resize(self, connections: int, per_second: float) -> None:
        """Other caps from now on; running connections stay."""
        self.plan = replace(self.plan, connections=connections, per_second=per_second)
        self._rate = Bucket(per_second, self._loop.time())
        if self._timer is None:
            self._watch()

    @property
    def connections(self) -> int:
        """Connections being served now."""
        return len(self._tasks)

    def stop_listening(self) -> None:
        """Take no more connections and remove the socket; no-op when closed."""
        self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            Path(self.plan.path).unlink(missing_ok=True)

    async def close(self) -> None:
        """Stop listening and end every connection; no-op when closed."""
        self.stop_listening()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _watch(self) -> None:
        self._timer = None
        if self._listener is not None and not self._watching:
            self._watching = True
            self._loop.add_reader(self._listener.fileno(), self._acceptable)

    def _unwatch(self) -> None:
        if self._watching and self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
        self._watching = False

    def _pause(self, seconds: float) -> None:
        self._unwatch()
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._watch)

    def _acceptable(self) -> None:
        try:
            self._accept_some()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._say_exhausted(error)
                if self._listener is not None:
                    self._reserve.shed(self._listener)
                self._pause(_RETRY)
            else:
                log.exception("Door %s failed; it is bound again.", self.plan.path)
                self._rebind()

    def _say_exhausted(self, error: OSError) -> None:
        if self._loop.time() - self._said > _SAY_EVERY:
            self._said = self._loop.time()
            log.error("Door %s: no descriptor left (%s); it retries.", self.plan.path, error.strerror)

    def _accept_some(self) -> None:
        for _ in range(_BATCH):
            wait = self._rate.wait(self._loop.time())
            if wait > 0:
                self.plan.on_capped(f"{self.plan.name}: connections per second")
                self._pause(wait)
                return
            if self.connections >= self.plan.connections and self.plan.refusal is None:
                # Taken up again when a connection ends.
                self.plan.on_capped(f"{self.plan.name}: connections")
                self._unwatch()
                return
            connection = self._accept_one()
            if connection is None:
                return
            self._rate.take()
            self._admit(connection)

    def _accept_one(self) -> socket.socket | None:
        if self._listener is None:
            return None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        connection.setblocking(False)
        return connection

    def _admit(self, connection: socket.socket) -> None:
        uid = peer_credentials(connection)[1]
        if uid != self.plan.uid:
            connection.close()
            self.plan.on_foreign(self.plan.name, uid)
            return
        if self.connections >= self.plan.connections:
            self.plan.on_capped(f"{self.plan.name}: connections")
            self._refuse(connection)
            return
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._served)

    def _refuse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the peer may be gone already
            # What the peer sent is read first: closing over unread bytes would reset the answer away.
            with contextlib.suppress(BlockingIOError):
                connection.recv(65536)
            connection.send(self.plan.refusal or b"")
            connection.shutdown(socket.SHUT_WR)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self.plan.handler(connection)
        except Exception:
            log.exception("Door %s: a connection failed.", self.plan.path)
        finally:
            connection.close()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._timer is None:
            self._watch()

    def _rebind(self) -> None:
        self._unwatch()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._timer = self._loop.call_later(_BROKEN, self._reopen)

    def _reopen(self) -> None:
        self._timer = None
        try:
            self.open()
        except OSError:
            log.exception("Door %s cannot be bound; it is tried again.", self.plan.path)
            self._rebind()
