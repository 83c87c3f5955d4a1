"""How does a program that knows no proxy, such as a database driver, get out? By a port to one place.

Law: it opens nothing. Each connection is asked of the egress door, which decides about it as about any other.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit

from ..errors import ConfigurationError, RefusedError, UnreachableError
from .door import check_inside

__all__ = ["Forward", "forward"]

_PLACE = re.compile(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}")
_PATIENCE = 20.0  # seconds until the door has reached the place, or has said why not
_LONGEST_HEAD = 8192
_PIECE = 65536


class Forward:
    """`host` and `port`, on loopback of this sandbox, lead to `place` until it is closed."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._serve, name=f"forward to {place}", daemon=True).start()

    def __enter__(self) -> Forward:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.host}:{self.port} leads to {self.place}>"

    def close(self) -> None:
        """Take no new connections; those that are open stay."""
        # A thread waits in accept: without this the kernel would go on listening for it.
        _end(self._listener)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:  # closed
                return
            threading.Thread(target=_join, args=(connection, self.place), daemon=True).start()


def forward(place: str) -> Forward:
    """A port of loopback that leads to `host:port` outside, for what cannot use a proxy.

    Raises RefusedError `forward.refused` with the door's own words, UnreachableError, ConfigurationError.
    """
    check_inside()
    if not isinstance(place, str) or not _PLACE.fullmatch(place):
        raise ConfigurationError(
            f"{place!r} is no place to connect to.",
            code="forward.place",
            field="place",
            remedy='Write host and port: "db.example:5432".',
        )
    # Once now, so that a refusal is told here and not by a driver that knows no reason.
    _connected(place).close()
    return Forward(place)


def _connected(place: str) -> socket.socket:
    door = urlsplit(os.environ.get("HTTPS_PROXY", ""))
    connection: socket.socket | None = None
    try:
        connection = socket.create_connection((door.hostname or "127.0.0.1", door.port or 0), _PATIENCE)
        connection.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        _, status, reason = (_head(connection).split("\r\n")[0] + "  ").split(" ", 2)
        if status == "200":
            connection.settimeout(None)
            opened, connection = connection, None
            return opened
    except OSError as error:
        raise UnreachableError(
            f"The sandbox's egress door does not answer ({error}).",
            code="door.unreachable",
            remedy="Try again in a minute, and tell the hub's admin if it stays.",
        ) from error
    finally:
        if connection is not None:
            connection.close()
    why = reason.partition(";")[0].strip() or f"the door answered {status}"
    raise RefusedError(
        f"There is no way to {place}: {why}.",
        code="forward.refused",
        remedy="%sandbox egress lists what this server may reach.",
    )


def _head(connection: socket.socket) -> str:
    """Byte by byte: what comes after it is the other side's own."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _LONGEST_HEAD:
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError("it closed the connection")
        head += byte
    return head.decode("latin-1")


def _join(inside: socket.socket, place: str) -> None:
    with inside:
        try:
            outside = _connected(place)
        except (RefusedError, UnreachableError):
            return  # the driver sees its connection closed; the refusal is in %sandbox egress
        with outside:
            back = threading.Thread(target=_copy, args=(outside, inside), daemon=True)
            back.start()
            _copy(inside, outside)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(_PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone: the other is told by the end of both directions.
        for side in (source, target):
            _end(side)


def _end(side: socket.socket) -> None:
    try:
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it had ended
