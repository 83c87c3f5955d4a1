"""How is one door of a pod held? A unix socket for one uid; each connection is carried to the gateway.

Law: a connection that came while the gateway restarts waits for it instead of being lost; the boot door's
waits as long as whoever dialled it does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import struct
from pathlib import Path

from ..stream import PlainEnd, TlsEnd, join
from .gateway import Gateway

__all__ = ["DOORS", "PodDoor", "bind"]

# Connections of each door at a time; further ones wait in its backlog. Bound in this order: the last one's
# socket says that all are. Together they are fewer than the gateway's wires take of one pod.
DOORS = {"boot": 8, "egress": 256, "api": 64, "ingress": 128}
log = logging.getLogger("link")
_PATIENCE = 5.0  # seconds that a connection waits for a gateway that restarts, as the relay's own would
_FIRST, _LAST = 0.05, 0.5  # seconds between tries
_RETRY = 0.1  # seconds without accepting after descriptors ran out
_CREDENTIALS = struct.Struct("iII")


def bind(directory: str, door: str) -> socket.socket:
    """A listening socket that any uid can connect to; who may is looked at then."""
    path = Path(directory, f"{door}.sock")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    os.chmod(path, 0o666)  # noqa: S103 - the user's container has another uid
    listener.listen(1024)
    listener.setblocking(False)
    return listener


class PodDoor:
    """One door and its connections."""

    def __init__(self, name: str, uid: int, gateway: Gateway) -> None:
        self._name, self._uid, self._gateway = name, uid, gateway
        self._room = asyncio.Semaphore(DOORS[name])
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Carry connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._room.release()
                log.warning("Connections to %s wait: %s", self._name, error.strerror)
                await asyncio.sleep(_RETRY)
                continue
            task = asyncio.ensure_future(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _serve(self, connection: socket.socket) -> None:
        try:
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            if _CREDENTIALS.unpack(raw)[1] != self._uid:
                return
            far = await self._reach(connection)
            if far is not None:
                await join(PlainEnd(connection), far)
        except OSError as error:
            log.debug("A connection of %s ended: %r", self._name, error)
        except Exception:
            log.exception("A connection of %s failed.", self._name)
        finally:
            connection.close()

    async def _reach(self, connection: socket.socket) -> TlsEnd | None:
        """Dial until the gateway takes it; None where that is refused, took too long, or nobody waits."""
        loop = asyncio.get_running_loop()
        deadline = None if self._name == "boot" else loop.time() + _PATIENCE
        wait = _FIRST
        while not _has_left(connection):
            if self._gateway.bought.is_set():
                try:
                    return await self._gateway.open(self._name)
                except OSError as error:
                    log.debug("%s: %r; it is tried again", self._name, error)
            if deadline is not None and loop.time() >= deadline:
                return None
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LAST)
        return None


def _has_left(connection: socket.socket) -> bool:
    """Is whoever dialled gone both ways? What is sent is left unread."""
    look = select.poll()
    look.register(connection, 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in look.poll(0))
