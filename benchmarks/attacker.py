"""`python attacker.py PORT`: what does a sandbox do that wants the egress door for itself?

A small HTTP server: `.../start?kind=KIND&target=HOST` begins an attack, `.../stop` ends it and answers, as
JSON, what it has done. It dials the door itself, which is faster than its relay would be, and goes on as fast
as the sandbox's processor limit lets it. Standard library only.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain, count, repeat
from urllib.parse import parse_qs, urlsplit

__all__ = ["main"]

_DOOR = "/run/sandbox/doors/egress.sock"
_PATIENCE = 60.0
_AT_ONCE = 256  # connections that an attack tries to keep; the door lets fewer in
_KEPT = 1000  # of a flood's connections, before the oldest is closed
_RECORD = b"\x16\x03\x01\x40\x00"  # the head of a TLS record of 16 KiB
# A ClientHello as long as OpenSSL takes one, in eight such records: nobody may wait for its end.
_HELLO = _RECORD + b"\x01\x01\xff\xff\x03\x03" + bytes(16378) + 7 * (_RECORD + bytes(16384))


def _connect(target: str, port: int) -> bytes:
    return f"CONNECT {target}:{port} HTTP/1.1\r\nHost: {target}:{port}\r\n\r\n".encode()


def slow_heads(number: int, target: str) -> Iterator[bytes]:
    """The head of a CONNECT or of a GET that never ends, a byte at a time."""
    line = f"CONNECT {target}:80" if number % 2 else f"GET http://{target}/"
    head = f"{line} HTTP/1.1\r\nHost: {target}\r\nX: ".encode()
    return chain((bytes((byte,)) for byte in head), repeat(b"a"))


def endless_hellos(number: int, target: str) -> Iterator[bytes]:
    """A CONNECT to port 443, then a hello without an end: a byte at a time, or 4 KiB at a time."""
    size = 1 if number % 2 else 4096
    hello = (_HELLO[at : at + size] for at in range(0, len(_HELLO), size))
    return chain((_connect(target, 443),), hello, repeat(b"a"))


def chatter(number: int, target: str) -> Iterator[bytes]:
    """A CONNECT, then single bytes through the tunnel."""
    return chain((_connect(target, 80),), repeat(b"a"))


class Drips:
    """As many connections as the door takes, each sent the next piece in turn; a cut one is opened anew."""

    def __init__(self, pieces: Iterator[Iterator[bytes]]) -> None:
        self._pieces = pieces
        self._links: deque[tuple[socket.socket, Iterator[bytes]]] = deque()
        self.told = {"attempts": 0, "connected": 0, "sends": 0}

    def turn(self) -> None:
        """One piece for each, and one more connection where there are too few."""
        if len(self._links) < _AT_ONCE:
            self.told["attempts"] += 1
            link = _dialled()
            if link is not None:
                self.told["connected"] += 1
                self._links.append((link, next(self._pieces)))
        for _ in range(len(self._links)):
            link, pieces = self._links.popleft()
            if self._send(link, next(pieces)):
                self._links.append((link, pieces))
            else:
                link.close()

    def _send(self, link: socket.socket, piece: bytes) -> bool:
        try:
            link.send(piece)
        except BlockingIOError:  # it is not read yet, and one piece less makes no head shorter
            return True
        except OSError:  # it was cut
            return False
        self.told["sends"] += 1
        return True

    def close(self) -> None:
        """Let go of all."""
        for link, _ in self._links:
            link.close()


class Flood:
    """One connection after the other, each with a whole request; the oldest are closed."""

    def __init__(self, target: str) -> None:
        self._request = _connect(target, 80)
        self._kept: deque[socket.socket] = deque()
        self.told = {"attempts": 0, "connected": 0, "sends": 0}

    def turn(self) -> None:
        """One more."""
        self.told["attempts"] += 1
        link = _dialled()
        if link is not None:
            self.told["connected"] += 1
            self._kept.append(link)
            try:
                link.send(self._request)
                self.told["sends"] += 1
            except OSError:
                return  # closed meanwhile; its turn to be forgotten comes
        if len(self._kept) > (_KEPT if link else 0):
            self._kept.popleft().close()

    def close(self) -> None:
        """Let go of all."""
        for link in self._kept:
            link.close()


class Computing:
    """No attack: the same processor time, used for sums."""

    def __init__(self) -> None:
        self.told = {"attempts": 0, "connected": 0, "sends": 0}

    def turn(self) -> None:
        """A millisecond's work or so."""
        sum(range(50_000))

    def close(self) -> None:
        """Nothing is held."""


def _dialled() -> socket.socket | None:
    link = socket.socket(socket.AF_UNIX)
    link.setblocking(False)
    try:
        link.connect(_DOOR)
    except OSError:  # the door's backlog is full
        link.close()
        return None
    return link


def _until_forgotten(target: str) -> None:
    """Wait for the answer to one more connection: what the attack left in the door's backlog is before it."""
    while (link := _dialled()) is None:
        time.sleep(0.05)  # a full backlog has no other sign
    with link:
        link.settimeout(_PATIENCE)
        link.sendall(_connect(target, 80))
        link.recv(4096)


def _attack(kind: str, target: str) -> Drips | Flood | Computing:
    if kind == "flood":
        return Flood(target)
    if kind == "computing":
        return Computing()
    pieces = {"slow-heads": slow_heads, "endless-hellos": endless_hellos, "chatter": chatter}[kind]
    return Drips(pieces(number, target) for number in count())


class _Running:
    """One attack in a thread of its own."""

    def __init__(self, kind: str, target: str) -> None:
        self._target = target
        self._attack = _attack(kind, target)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._attack.turn()

    def end(self) -> dict[str, int]:
        """Stop it, and wait until nothing of it is left; what it did."""
        self._stop.set()
        self._thread.join()
        self._attack.close()
        _until_forgotten(self._target)
        return self._attack.told


class _Handler(BaseHTTPRequestHandler):
    running: _Running | None = None

    def do_GET(self) -> None:
        """Start or stop."""
        parts = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        told: dict[str, int] = {}
        if parts.path.endswith("/start"):
            _Handler.running = _Running(asked["kind"], asked["target"])
        elif _Handler.running is not None:
            told = _Handler.running.end()
            _Handler.running = None
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> int:
    """Serve until a signal ends it."""
    HTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
