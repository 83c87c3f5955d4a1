"""`python probe.py PORT`: what runs both in the sandbox and beside it, so that only the way differs?

A small HTTP server. `.../ping` is answered at once (the front's row times that); `.../download?...`,
`.../connect?...` and `.../requests?...` let it be a client of a proxy and answer with what it measured, as
JSON. Standard library only.
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
_LONGEST_HEAD = 16 << 10
_PATIENCE = 30.0
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


def connect(proxy: str, target: str, count: int) -> dict[str, float]:
    """Seconds from dialling to the first byte, one connection after the other: see `_told`."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        with _tunnel(proxy, target) as tunnel:
            tunnel.sendall(b"1\n")
            _receive(tunnel, 1)
            found.append(time.perf_counter() - start)
    return _told("connect", found)


def requests(proxy: str, target: str, count: int, every: float) -> dict[str, float]:
    """Seconds of a CONNECT to its first byte and of a small GET, in turn, one every `every` seconds.

    A request that is late because of the one before counts from when it was due: who waits is not left out.
    """
    found: tuple[list[float], list[float]] = ([], [])
    due = time.perf_counter()
    for number in range(2 * count):
        due += every
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        start = time.perf_counter() if wait > 0 else due
        (_ping_by_get if number % 2 else _ping_by_connect)(proxy, target)
        found[number % 2].append(time.perf_counter() - start)
    return _told("connect", found[0]) | _told("get", found[1])


def _ping_by_connect(proxy: str, target: str) -> None:
    with _tunnel(proxy, target) as tunnel:
        tunnel.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        if not tunnel.recv(4096):
            raise ConnectionError("the target closed without an answer")


def _ping_by_get(proxy: str, target: str) -> None:
    with socket.create_connection(_place(proxy), _PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"GET http://{target}/ping HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"pong\n"):
            chunk = connection.recv(4096)
            if not chunk or answer[:12] not in (b"", b"HTTP/1.1 200"):
                raise ConnectionError(f"the proxy answered {answer + chunk!r}")
            answer += chunk


def _told(name: str, found: list[float]) -> dict[str, float]:
    # Not the worst: what one request in twenty exceeds.
    return {f"{name}_p50": statistics.median(found), f"{name}_p95": statistics.quantiles(found, n=20)[-1]}


def _measured(path: str, asked: dict[str, str]) -> dict[str, float]:
    proxy, to = asked.get("proxy", ""), asked["target"]
    if path.endswith("/download"):
        return {"seconds": download(proxy, to, int(asked["size"]), int(asked["streams"]))}
    if path.endswith("/requests"):
        return requests(proxy, to, int(asked["count"]), float(asked["every"]))
    return connect(proxy, to, int(asked["count"]))


def _answer(target: str) -> bytes:
    parts = urlsplit(target)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    document: dict[str, object]
    try:
        document = {**_measured(parts.path, asked)}
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
        if len(self._read) > _LONGEST_HEAD and self._transport is not None:
            self._transport.close()
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
