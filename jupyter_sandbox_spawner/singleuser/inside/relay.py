"""How does a program inside reach a door? It connects to a loopback port, which the relay pipes there."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from .dial import LOOPBACK, dial_door
from .loop import Loop
from .pipes import Pipes
from .pump import Pair

__all__ = ["RelayPort", "listen_on"]

BACKLOG = 1024
MAX_OPEN = 256  # a port; further connections wait in the backlog
PATIENCE = 5.0  # seconds that a connection waits for a gateway that restarts
ACCEPTS = 64  # a round, then it is the turn of the others
PAUSE = 0.1  # seconds without accepting when descriptors have run out


def listen_on(port: int) -> socket.socket:
    """A non-blocking listener on loopback; OSError where the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class RelayPort:
    """One loopback port and the door it leads to."""

    def __init__(self, loop: Loop, pipes: Pipes, listener: socket.socket, door: str) -> None:
        self._loop = loop
        self._pipes = pipes
        self._listener = listener
        self._door = door
        self._open = 0
        self._accept_again()

    def _accept_again(self) -> None:
        self._loop.watch(self._listener, select.EPOLLIN, self._on_connections)

    def _on_connections(self, _events: int) -> None:
        for _ in range(ACCEPTS):
            if self._open >= MAX_OPEN:
                self._loop.ignore(self._listener)
                return
            try:
                connection = self._listener.accept()[0]
            except BlockingIOError:
                return
            except ConnectionError:  # it left before its turn
                continue
            except OSError:  # out of descriptors or memory: go on when some are free
                self._loop.ignore(self._listener)
                self._loop.later(PAUSE, self._accept_again)
                return
            self._join(connection)

    def _join(self, inside: socket.socket) -> None:
        self._open += 1
        inside.setblocking(False)
        inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dial_door(self._loop, self._door, PATIENCE, self._joiner(inside))

    def _joiner(self, inside: socket.socket) -> Callable[[socket.socket | None], None]:
        def dialled(outside: socket.socket | None) -> None:
            if outside is None:
                self._loop.discard(inside)
                self._ended()
            else:
                Pair(self._loop, self._pipes, (inside, outside), self._ended)

        return dialled

    def _ended(self) -> None:
        self._open -= 1
        if self._open == MAX_OPEN - 1:
            self._accept_again()
