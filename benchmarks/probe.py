"""`python probe.py PORT`: what runs both in the sandbox and beside it, so that only the way differs?

A small HTTP server. `.../ping` is answered at once (the front's row times that); `.../download?...` and
`.../connect?...` let it be a client of a proxy and answer with what it measured, as JSON. Standard library
only.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

__all__ = ["main"]

_PONG = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\npong\n"
_BUFFER = 256 << 10
_PATIENCE = 120.0
_Place = tuple[str, int]


def _place(text: str) -> _Place:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _tunnel(proxy: str, target: str) -> socket.socket:
    """A connection to the target, through the proxy if one is named."""
    connection = socket.create_connection(_place(proxy or target), _PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if proxy:
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            chunk = connection.recv(4096)
            if not chunk:
                raise ConnectionError(f"the proxy closed after {head!r}")
            head += chunk
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(f"the proxy said {head!r}")
    return connection


def _receive(connection: socket.socket, size: int) -> None:
    buffer = bytearray(_BUFFER)
    while size:
        got = connection.recv_into(buffer)
        if not got:
            raise ConnectionError(f"{size} bytes are missing")
        size -= got


def download(proxy: str, target: str, size: int, streams: int) -> float:
    """Seconds from asking to the last byte of all streams; the tunnels are up before."""
    tunnels = [_tunnel(proxy, target) for _ in range(streams)]
    failures: list[Exception] = []

    def run(tunnel: socket.socket) -> None:
        try:
            tunnel.sendall(f"{size}\n".encode())
            _receive(tunnel, size)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(tunnel,)) for tunnel in tunnels]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    for tunnel in tunnels:
        tunnel.close()
    if failures:
        raise failures[0]
    return seconds


def connect(proxy: str, target: str, count: int) -> float:
    """Median seconds from dialling to the first byte, one connection after the other."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        with _tunnel(proxy, target) as tunnel:
            tunnel.sendall(b"1\n")
            _receive(tunnel, 1)
            found.append(time.perf_counter() - start)
    return statistics.median(found)


def _answer(target: str) -> bytes:
    parts = urlsplit(target)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    try:
        proxy, to = asked.get("proxy", ""), asked["target"]
        if parts.path.endswith("/download"):
            seconds = download(proxy, to, int(asked["size"]), int(asked["streams"]))
        else:
            seconds = connect(proxy, to, int(asked["count"]))
        document: dict[str, object] = {"seconds": seconds}
    except (OSError, KeyError, ValueError) as error:
        document = {"error": repr(error)}
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Server(asyncio.Protocol):
    """One connection, kept alive; requests have no body."""

    def __init__(self) -> None:
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, self._read = self._read.partition(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode()
            if target.endswith("/ping"):
                self._write(_PONG)
            else:
                work = asyncio.get_running_loop().run_in_executor(None, _answer, target)
                work.add_done_callback(lambda done: self._write(done.result()))

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


def main() -> int:
    """Serve until a signal ends it."""
    asyncio.run(_serve(int(sys.argv[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
