"""How is a connection made without blocking the others? The server by TCP on loopback, a door by path."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable

from .loop import Loop

__all__ = ["LOOPBACK", "dial_door", "dial_server", "open_door"]

LOOPBACK = "127.0.0.1"
FIRST_DELAY = 0.02
LAST_DELAY = 0.25

OnDialled = Callable[["socket.socket | None"], None]


def open_door(path: str) -> socket.socket | None:
    """A non-blocking connection to a door, or None: a unix socket answers at once or not at all."""
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError:  # out of descriptors, which passes
        return None
    try:
        connection.connect(path)
    except OSError:  # gone, not there yet, or its backlog is full
        connection.close()
        return None
    return connection


def dial_door(loop: Loop, path: str, patience: float, done: OnDialled) -> None:
    """Call `done` with a connection to a door; None after `patience` seconds of a gateway's restart."""
    deadline = time.monotonic() + patience

    def attempt(delay: float) -> None:
        connection = open_door(path)
        if connection is not None or time.monotonic() >= deadline:
            done(connection)
        else:
            loop.later(delay, lambda: attempt(min(2 * delay, LAST_DELAY)))

    attempt(FIRST_DELAY)


def dial_server(loop: Loop, port: int, done: OnDialled) -> None:
    """Call `done` with a connection to the server on loopback, or with None when nothing listens."""
    try:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError:  # out of descriptors, which passes
        done(None)
        return

    def finish(_events: int) -> None:
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or _met_nobody(connection):
            loop.discard(connection)
            done(None)
            return
        loop.ignore(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        done(connection)

    if connection.connect_ex((LOOPBACK, port)) in (0, errno.EINPROGRESS):
        loop.watch(connection, select.EPOLLOUT, finish)
    else:
        connection.close()
        done(None)


def _met_nobody(connection: socket.socket) -> bool:
    # TCP connects a socket to itself where the kernel picks the port it dials as the source port.
    try:
        return bool(connection.getsockname() == connection.getpeername())
    except OSError:  # a server that is starting may close it again before this looks
        return True
