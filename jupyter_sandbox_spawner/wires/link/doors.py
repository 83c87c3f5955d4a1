"""How is one door of a pod held? A unix socket for one uid; each connection is carried to the gateway.

Law: a connection that came while the gateway restarts waits for it instead of being lost; the boot door's
waits as long as whoever dialled it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
import struct
from collections.abc import Awaitable, Iterator
from pathlib import Path

from ...rules.pod_doors import DOORS
from ..stream import PlainEnd, TlsEnd, join
from .gateway import Gateway

__all__ = ["PodDoor", "bind"]

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
        with _leaving(connection) as left:
            if not await _first(self._gateway.bought, left, None if deadline is None else _PATIENCE):
                return None
            wait = _FIRST
            while not left.is_set():
                try:
                    return await self._gateway.open(self._name)
                except OSError as error:
                    log.debug("%s: %r; it is tried again", self._name, error)
                if deadline is not None and loop.time() >= deadline:
                    return None
                await _within(left.wait(), wait)
                wait = min(2 * wait, _LAST)
        return None


async def _first(wanted: asyncio.Event, left: asyncio.Event, seconds: float | None) -> bool:
    """Was `wanted` set in time, and before whoever waits for it left?"""
    waits = [asyncio.ensure_future(event.wait()) for event in (wanted, left)]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return wanted.is_set() and not left.is_set()


async def _within(done: Awaitable[object], seconds: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(done, seconds)


@contextlib.contextmanager
def _leaving(connection: socket.socket) -> Iterator[asyncio.Event]:
    """An event that is set once whoever dialled is gone both ways; what is sent is left unread."""
    loop, left = asyncio.get_running_loop(), asyncio.Event()
    with select.epoll() as look:  # asyncio watches a socket for bytes too, which may be there and stay
        look.register(connection, 0)
        loop.add_reader(look.fileno(), left.set)
        try:
            yield left
        finally:
            loop.remove_reader(look.fileno())
