"""Which connections to other wires are open and idle, so that the next call needs no handshake?

Law: nothing of a caller is sent over one before the other side has said that it leads on; one that has gone
meanwhile costs a question, never a call. None is used for long, nor after the certificates changed.
"""

from __future__ import annotations

import asyncio
import socket

from .dial import Far
from .stream import TlsEnd

__all__ = ["Kept"]

_IDLE = 20.0  # seconds; the other side waits longer, so that it is this side that ends one
_LIFE = 60.0  # seconds after its handshake
_MOST = 8


class Kept:
    """Idle connections by machine: verbs new, take, put, forget, close."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle: dict[TlsEnd, tuple[str, asyncio.TimerHandle]] = {}
        self._ends: dict[TlsEnd, float] = {}  # when one is too old, by the loop's clock

    def new(self, end: TlsEnd) -> None:
        """This one had its handshake just now."""
        self._ends[end] = self._loop.time() + _LIFE

    def take(self, far: Far) -> TlsEnd | None:
        """The one to this machine that was used last and is still good."""
        context = far.context()
        for end, (host, _) in reversed(tuple(self._idle.items())):
            if host != far.host:
                continue
            if self._is_good(end) and end.is_of(context):
                self._out(end)
                return end
            self.drop(end)
        return None

    def put(self, far: Far, end: TlsEnd) -> None:
        """Keep it for the next call, or close it."""
        if len(self._idle) >= _MOST or not self._is_good(end):
            self.drop(end)
            return
        self._idle[end] = (far.host, self._loop.call_later(_IDLE, self.drop, end))

    def drop(self, end: TlsEnd) -> None:
        """Close one."""
        self._out(end)
        self._ends.pop(end, None)
        end.close()

    def forget(self, far: Far) -> None:
        """Close all that are idle and lead to this machine."""
        for end, (host, _) in tuple(self._idle.items()):
            if host == far.host:
                self.drop(end)

    def close(self) -> None:
        """Close all that are idle."""
        for end in tuple(self._idle):
            self.drop(end)

    def _out(self, end: TlsEnd) -> None:
        if (held := self._idle.pop(end, None)) is not None:
            held[1].cancel()

    def _is_good(self, end: TlsEnd) -> bool:
        """Young enough, and nothing came of it: an idle one is silent until it ends."""
        if self._loop.time() >= self._ends.get(end, 0.0):
            return False
        try:
            end.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False
