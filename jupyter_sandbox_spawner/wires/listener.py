"""How does a TLS port take connections, so that nobody can use it up? Caps and times before any trust.

Law: whoever has not yet said who it is counts by its address, and only so many of an address at a time; what
is above waits for nothing and is closed. A listener never dies silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..errors import SandboxError
from ..rules.bucket import Bucket
from ..rules.wires import plain_address
from .counts import Counts
from .heads import OPENED, answer
from .stream import CutOffError, PlainEnd, TlsEnd, join, keep_alive

__all__ = ["Admitted", "Limits", "Listener", "open_unix", "tcp_listener"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_RETRY = 0.1  # seconds without accepting after descriptors ran out
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BUCKETS = 4096  # addresses whose pace is remembered


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of connections that have not said who they are. Times are in seconds; `pace`, `burst`: an address's."""

    of_address: int = 64
    of_all: int = 2048
    handshake: float = 10.0
    head: float = 10.0
    pace: float = 100.0
    burst: float = 300.0


@dataclass(frozen=True)
class Admitted:
    """Where an admitted connection leads; `hold` is entered for as long as it is carried."""

    path: str
    who: str
    hold: contextlib.AbstractContextManager[None]


Judge = Callable[[TlsEnd, str], Awaitable[Admitted | None]]
_WAIT = "The program behind this wire does not answer; it may be restarting."


class Listener:
    """One port. `judge` reads the head and decides: Admitted, None where it has answered, or SandboxError."""

    def __init__(
        self, way: str, context: Callable[[], ssl.SSLContext], judge: Judge, counts: Counts, limits: Limits
    ) -> None:
        self._way, self._context, self._judge = way, context, judge
        self._counts, self._limits = counts, limits
        self._new: Counter[str] = Counter()
        self._paces: dict[str, Bucket] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Take connections until cancelled; ends them then."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, peer = await loop.sock_accept(listener)
                except OSError as error:
                    if error.errno in _EXHAUSTED:
                        self._counts.say((self._way, "accept"), "Connections wait: %s.", error.strerror)
                        await asyncio.sleep(_RETRY)
                    continue
                self._take(connection, plain_address(peer[0]))
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, connection: socket.socket, address: str) -> None:
        if self._new[address] >= self._limits.of_address or self._new.total() >= self._limits.of_all:
            connection.close()
            self._counts.turned_away(
                self._way, "wires.crowded", address, "too many connections without a name"
            )
            return
        self._new[address] += 1
        task = asyncio.ensure_future(self._serve(connection, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, address: str) -> None:
        try:
            try:
                keep_alive(connection)
                found = await self._introduced(connection, address)
            finally:
                self._has_a_name(address)
            if found is not None:
                await self._carry(*found)
        except (OSError, asyncio.TimeoutError) as error:
            log.debug("A connection of %s ended: %r", address, error)
        except Exception:
            log.exception("A connection of %s failed.", address)
        finally:
            connection.close()

    async def _introduced(
        self, connection: socket.socket, address: str
    ) -> tuple[TlsEnd, PlainEnd, Admitted] | None:
        """Handshake, head and verdict."""
        await self._own_pace(address)
        end = TlsEnd(connection, self._context())
        if not await self._shaken(end, address):
            return None
        return await self._admitted(end, address)

    def _has_a_name(self, address: str) -> None:
        self._new[address] -= 1
        if not self._new[address]:
            del self._new[address]

    async def _own_pace(self, address: str) -> None:
        now = asyncio.get_running_loop().time()
        if address not in self._paces and len(self._paces) >= _BUCKETS:
            self._paces.clear()
        pace = self._paces.setdefault(address, Bucket(self._limits.pace, now, self._limits.burst))
        wait = pace.wait(now)
        pace.take()  # also in advance: who comes next waits longer
        if wait > 0:
            await asyncio.sleep(wait)

    async def _shaken(self, end: TlsEnd, address: str) -> bool:
        try:
            await asyncio.wait_for(end.shake_hands(), self._limits.handshake)
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "no TLS"
            self._counts.turned_away(self._way, "wires.handshake", address, str(why))
            return False
        except asyncio.TimeoutError:
            self._counts.turned_away(self._way, "wires.slow", address, "no handshake in time")
            return False
        except CutOffError:  # a probe that only looks whether somebody listens
            return False
        return True

    async def _admitted(self, end: TlsEnd, address: str) -> tuple[TlsEnd, PlainEnd, Admitted] | None:
        try:
            try:
                admitted = await asyncio.wait_for(self._judge(end, address), self._limits.head)
            except asyncio.TimeoutError:
                raise SandboxError("No head came in time.", code="wires.slow", status=408) from None
            if admitted is None:
                return None
            inside = open_unix(admitted.path)
            if inside is None:
                raise SandboxError(_WAIT, code="wires.away", remedy="Try again in a moment.", status=503)
        except SandboxError as error:
            self._counts.turned_away(self._way, error.code, address, error.message)
            await answer(end, error.status, error)
            return None
        return end, inside, admitted

    async def _carry(self, end: TlsEnd, inside: PlainEnd, admitted: Admitted) -> None:
        self._counts.begin(self._way)
        try:
            with contextlib.closing(inside), admitted.hold:
                await end.write(OPENED)
                await join(end, inside)
        finally:
            self._counts.end(self._way)


def open_unix(path: str) -> PlainEnd | None:
    """A connection to a unix socket of this machine; None where nobody takes it now."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(path)  # at once or not at all
    except OSError:
        connection.close()
        return None
    return PlainEnd(connection)


def tcp_listener(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket at an address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family, backlog=1024)
    bound.setblocking(False)
    return bound
