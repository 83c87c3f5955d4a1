"""How does a browser's connection get in? The sandbox keeps some connections to the ingress door open
and idle; the gateway hands a browser's over to one of them with a marker byte, and it is piped to the server.
"""

from __future__ import annotations

import select
import socket
from collections import deque

from .dial import FIRST_DELAY, LAST_DELAY, dial_server, open_door
from .loop import Loop
from .pipes import Pipes
from .pump import Pair

__all__ = ["Ingress"]

MARKER = b"\x01"
PROBE_INTERVAL = 0.02  # no event says that somebody else began to listen
# jupyter_server first tries its port: it listens and closes at once, which resets who had come by then.
PROBE_TIME = 0.05
MAX_OPEN = 256


class Ingress:
    """The pool of idle connections; nothing is dialled before the server listens on `port`."""

    def __init__(self, loop: Loop, pipes: Pipes, door: str, port: int) -> None:
        self._loop = loop
        self._pipes = pipes
        self.door = door
        self._port = port
        self._open = 0
        self._waiting: deque[_Slot] = deque()

    def start(self, idle_connections: int) -> None:
        """Begin to ask for the server; once it listens for good, dial `idle_connections` times."""

        def answered(connection: socket.socket | None) -> None:
            if connection is None:
                self._loop.later(PROBE_INTERVAL, probe)
            else:
                self._loop.later(PROBE_TIME, lambda: stayed(connection))

        def stayed(connection: socket.socket) -> None:
            was_reset = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
            self._loop.discard(connection)
            if was_reset:
                probe()
                return
            for _ in range(idle_connections):
                _Slot(self._loop, self).dial()

        def probe() -> None:
            dial_server(self._loop, self._port, answered)

        probe()

    def admit(self, slot: _Slot) -> bool:
        """May this slot dial? Else it is called again when a connection has ended."""
        if self._open < MAX_OPEN:
            return True
        self._waiting.append(slot)
        return False

    def hand_over(self, outside: socket.socket) -> None:
        """Pipe a connection that the gateway has handed over to the server."""
        self._open += 1
        self._loop.ignore(outside)

        def dialled(inside: socket.socket | None) -> None:
            if inside is None:
                self._loop.discard(outside)
                self._ended()
            else:
                Pair(self._loop, self._pipes, (outside, inside), self._ended)

        dial_server(self._loop, self._port, dialled)

    def _ended(self) -> None:
        self._open -= 1
        if self._waiting:
            self._waiting.popleft().dial()


class _Slot:
    """One place in the pool: dials, waits for the marker, hands over, and dials again at once."""

    def __init__(self, loop: Loop, ingress: Ingress) -> None:
        self._loop = loop
        self._ingress = ingress
        self._delay = FIRST_DELAY

    def dial(self) -> None:
        if not self._ingress.admit(self):
            return
        connection = open_door(self._ingress.door)
        if connection is None:
            self._again_later()
        else:
            self._loop.watch(connection, select.EPOLLIN, lambda _events: self._on_readable(connection))

    def _on_readable(self, connection: socket.socket) -> None:
        try:
            first = connection.recv(1)
        except BlockingIOError:
            return
        except OSError:  # reset: the same as closed
            first = b""
        if first == MARKER:
            self._delay = FIRST_DELAY
            self._ingress.hand_over(connection)
            self.dial()
        else:
            # Closed, or bytes that nobody may send on an idle connection: never use it.
            self._loop.discard(connection)
            self._again_later()

    def _again_later(self) -> None:
        self._loop.later(self._delay, self.dial)
        self._delay = min(2 * self._delay, LAST_DELAY)
