"""How does a TLS port take connections, so that nobody can use it up? Caps and times before any trust.

Law: whoever has not yet said who it is counts by its address, and only so many of an address at a time; what
is above waits for nothing and is closed. A listener never dies silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..errors import SandboxError
from ..rules.bucket import Bucket
from ..rules.wires import Head, plain_address
from .counts import Counts
from .frames import FramedEnd
from .heads import OPENED, OPENED_FRAMED, answer, read_head
from .nameless import Nameless
from .stream import CutOffError, PlainEnd, TlsEnd, join, keep_alive

__all__ = ["Admitted", "Limits", "Listener", "open_unix", "tcp_listener"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_RETRY = 0.1  # seconds without accepting after it failed
_BUCKETS = 4096  # addresses whose pace is remembered
_KEPT = 60.0  # seconds that a connection waits to be used again; its other side gives it up sooner


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
    """Where an admitted connection leads; `hold` is entered for as long as it is carried.

    `framed`: in frames, after which the connection may be used again.
    """

    path: str
    who: str
    hold: contextlib.AbstractContextManager[None]
    framed: bool = False


Judge = Callable[[TlsEnd, Head, bytes, str], Awaitable[Admitted | None]]
_WAIT = "The program behind this wire does not answer; it may be restarting."


class Listener:
    """One port. `judge` decides on a head: Admitted, None where it has answered, or SandboxError."""

    def __init__(
        self, way: str, context: Callable[[], ssl.SSLContext], judge: Judge, counts: Counts, limits: Limits
    ) -> None:
        self._way, self._context, self._judge = way, context, judge
        self._counts, self._limits = counts, limits
        self._nameless = Nameless(limits.of_address, limits.of_all)
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
        if self._nameless.is_full(address):
            connection.close()
            self._crowded(address)
            return
        if (found := self._nameless.take_out()) is not None:
            self._crowded(found[0])
            found[1].cancel()
        task = asyncio.ensure_future(self._serve(connection, address))
        self._nameless.add(address, task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before it begins closes nothing.
        task.add_done_callback(lambda done: self._over(connection, address, done))

    def _over(self, connection: socket.socket, address: str, task: asyncio.Task[None]) -> None:
        connection.close()
        self._nameless.remove(address, task)

    def _crowded(self, address: str) -> None:
        why = "too many connections without a name"
        self._counts.turned_away(self._way, "wires.crowded", address, why)

    async def _serve(self, connection: socket.socket, address: str) -> None:
        try:
            keep_alive(connection)
            end = await self._shaken(connection, address)
            found = None if end is None else await self._admitted(end, address)
            self._has_a_name(address)
            while end is not None and found is not None:
                kept = await self._carry(end, *found)
                found = await self._admitted_again(end, address) if kept else None
        except (OSError, asyncio.TimeoutError) as error:
            log.debug("A connection of %s ended: %r", address, error)
        except Exception:
            if self._counts.is_time(("failed", self._way, address)):
                log.exception("A connection of %s failed.", address)

    def _has_a_name(self, address: str) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._nameless.remove(address, task)

    async def _own_pace(self, address: str) -> None:
        now = asyncio.get_running_loop().time()
        if address not in self._paces and len(self._paces) >= _BUCKETS:
            self._paces.clear()
        pace = self._paces.setdefault(address, Bucket(self._limits.pace, now, self._limits.burst))
        wait = pace.wait(now)
        pace.take()  # also in advance: who comes next waits longer
        if wait > 0:
            await asyncio.sleep(wait)

    async def _shaken(self, connection: socket.socket, address: str) -> TlsEnd | None:
        await self._own_pace(address)
        end = TlsEnd(connection, self._context())
        try:
            await asyncio.wait_for(end.shake_hands(), self._limits.handshake)
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "no TLS"
            self._counts.turned_away(self._way, "wires.handshake", address, str(why))
            return None
        except asyncio.TimeoutError:
            self._counts.turned_away(self._way, "wires.slow", address, "no handshake in time")
            return None
        except CutOffError:  # a probe that only looks whether somebody listens
            return None
        self._counts.shook_hands(self._way)
        return end

    async def _admitted(self, end: TlsEnd, address: str) -> tuple[PlainEnd, Admitted] | None:
        try:
            try:
                head, body = await asyncio.wait_for(read_head(end), self._limits.head)
            except asyncio.TimeoutError:
                raise SandboxError("No head came in time.", code="wires.slow", status=408) from None
            return await self._opened(end, head, body, address)
        except SandboxError as error:
            self._counts.turned_away(self._way, error.code, address, error.message)
            await answer(end, error.status, error)
            return None

    async def _opened(
        self, end: TlsEnd, head: Head, body: bytes, address: str
    ) -> tuple[PlainEnd, Admitted] | None:
        admitted = await self._judge(end, head, body, address)
        if admitted is None:
            return None
        inside = open_unix(admitted.path)
        if inside is None:
            raise SandboxError(_WAIT, code="wires.away", remedy="Try again in a moment.", status=503)
        return inside, admitted

    async def _admitted_again(self, end: TlsEnd, address: str) -> tuple[PlainEnd, Admitted] | None:
        """What is asked for next over the same connection, while our certificates are still those it saw."""
        await asyncio.wait_for(end.wait(), _KEPT)
        if not end.is_of(self._context()):
            return None
        return await self._admitted(end, address)

    async def _carry(self, end: TlsEnd, inside: PlainEnd, admitted: Admitted) -> bool:
        """Until both ways have ended; may the connection be used again?"""
        self._counts.begin(self._way)
        try:
            with contextlib.closing(inside), admitted.hold:
                if not admitted.framed:
                    await end.write(OPENED)
                    await join(end, inside)
                    return False
                framed = FramedEnd(end)
                await end.write(OPENED_FRAMED)
                await join(framed, inside)
                return framed.is_whole
        finally:
            self._counts.end(self._way)


def open_unix(path: str) -> PlainEnd | None:
    """A connection to a unix socket of this machine; None where nobody takes it now."""
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:  # no descriptor is left
        return None
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
