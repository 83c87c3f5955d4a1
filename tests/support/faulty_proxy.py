"""What does Vault look like when the way to it is broken? A real proxy in front of it, with switches.

It lives in a thread of its own, so that a client that blocks its loop cannot stop it. Switches hold for
requests that begin afterwards; whoever hangs or is dripped at when a switch is thrown is reset.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

__all__ = ["FaultyProxy", "Seen", "faulty_proxy"]

T = TypeVar("T")
REASONS = {
    307: "Temporary Redirect",
    429: "Too Many Requests",
    473: "Performance Standby",
    502: "Bad Gateway",
}


@dataclass(frozen=True)
class Seen:
    """A request that arrived. Whether it had a token is noted, never which."""

    method: str
    path: str
    token: bool
    namespace: str = ""


@dataclass(frozen=True)
class _Message:
    """The head of a request or answer, without its empty line, and its body as it came."""

    head: bytes
    body: bytes

    @property
    def first(self) -> list[str]:
        """The words of its first line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")

    @property
    def whole(self) -> bytes:
        """All its bytes."""
        return self.head + b"\r\n\r\n" + self.body


@dataclass
class FaultyProxy:
    """Switches: pass_on, hang, reset, cut, drip, refuse, answer, malformed, redirect. `address` stays.

    `connections` counts what was accepted, `requests` lists what was asked.
    """

    upstream: str
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    requests: list[Seen] = field(default_factory=list)
    _mode: str = "pass"
    _answer: bytes = b""
    _pause: float = 1.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def address(self) -> str:
        """What a client is given in place of Vault's address."""
        return f"http://{self.host}:{self.port}"

    @property
    def token_seen(self) -> bool:
        """Has any request brought an X-Vault-Token?"""
        return any(request.token for request in self.requests)

    def pass_on(self) -> None:
        """Everything goes to Vault and back."""
        self._switch("pass")

    def hang(self) -> None:
        """Requests are read and never answered."""
        self._switch("hang")

    def reset(self) -> None:
        """Requests are answered by a TCP reset."""
        self._switch("reset")

    def cut(self) -> None:
        """Vault gets the request, and half of its answer comes back before a reset."""
        self._switch("cut")

    def drip(self, pause: float = 1.0) -> None:
        """Vault's answer comes a byte at a time, with this pause in seconds between them."""
        self._pause = pause
        self._switch("drip")

    def refuse(self) -> None:
        """Nobody listens; the port is free until another switch, and taken back then."""
        self._switch("refuse")

    def answer(
        self, status: int, headers: Mapping[str, str] | None = None, body: str = '{"errors":[]}'
    ) -> None:
        """Everything gets this answer, and Vault hears nothing."""
        lines = [
            f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}",
            f"Content-Length: {len(body.encode())}",
        ]
        lines += [
            f"{name}: {value}"
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items()
        ]
        self._answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode()
        self._switch("answer")

    def malformed(self, body: str = '{"data": {"data": {"password": ') -> None:
        """A 200 whose JSON ends in the middle."""
        self.answer(200, body=body)

    def redirect(self, to: str) -> None:
        """A 307 to the same path at another address, as a standby of Vault answers."""
        self._answer = to.rstrip("/").encode()
        self._switch("redirect")

    def _switch(self, mode: str) -> None:
        self._wait(self._change(mode))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _change(self, mode: str) -> None:
        slow, self._mode = self._mode in ("hang", "drip"), mode
        if slow or mode in ("refuse", "reset"):
            await self._end_connections()
        if mode == "refuse":
            await self._stop_listening()
        elif self._server is None:
            self._server = await asyncio.start_server(self._accept, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end_connections(self) -> None:
        ending = list(self._tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _close(self) -> None:
        await self._stop_listening()
        await self._end_connections()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (request := await _read(reader)) is not None:
                await self._serve(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            _abort(writer)
        except asyncio.CancelledError:
            _abort(writer)  # the switch was thrown; the task ends here as it should
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, request: _Message, writer: asyncio.StreamWriter) -> None:
        method, path = request.first[:2]
        head = request.head.decode("latin-1").lower()
        _, _, namespace = head.partition("\r\nx-vault-namespace:")
        place = namespace.partition("\r\n")[0].strip()
        self.requests.append(Seen(method, path, "\r\nx-vault-token:" in head, place))
        if self._mode == "hang":
            await asyncio.get_running_loop().create_future()
        elif self._mode == "reset":
            raise ConnectionResetError
        elif self._mode == "answer":
            writer.write(self._answer)
        elif self._mode == "redirect":
            target = self._answer + path.encode()
            writer.write(
                b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: " + target + b"\r\n\r\n"
            )
        else:
            await self._give(await self._ask(request), writer)
        await writer.drain()

    async def _give(self, answer: _Message, writer: asyncio.StreamWriter) -> None:
        if self._mode == "cut":
            writer.write(answer.whole[: len(answer.whole) - len(answer.body) // 2 - 1])
            await writer.drain()
            raise ConnectionResetError
        if self._mode != "drip":
            writer.write(answer.whole)
            return
        for byte in answer.whole:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(self._pause)

    async def _ask(self, request: _Message) -> _Message:
        place = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            writer.write(request.whole)
            answer = await _read(reader, bodiless=request.first[0] == "HEAD")
        finally:
            writer.close()
        if answer is None:
            raise ConnectionResetError
        return answer


async def _read(reader: asyncio.StreamReader, *, bodiless: bool = False) -> _Message | None:
    """The next message; None where the other side has closed before it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    lines = head.decode("latin-1").lower().split("\r\n")[1:]
    headers = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if bodiless:
        return _Message(head, b"")
    if headers.get("transfer-encoding") == "chunked":
        return _Message(head, await _read_chunks(reader))
    return _Message(head, await reader.readexactly(int(headers.get("content-length", 0))))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body without trailers, framing and all."""
    body = b""
    while not body.endswith(b"\r\n0\r\n\r\n") and body != b"0\r\n\r\n":
        line = await reader.readline()
        body += line + await reader.readexactly(int(line.split(b";")[0], 16) + 2)
    return body


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with a reset rather than in order."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def faulty_proxy(upstream: str, host: str = "127.0.0.1") -> Iterator[FaultyProxy]:
    """A proxy that passes on, for the block. At another `host`, such as 127.0.0.2, a target of redirects."""
    proxy = FaultyProxy(upstream, host)
    thread = threading.Thread(target=proxy._loop.run_forever, name="faulty proxy", daemon=True)
    thread.start()
    try:
        proxy.pass_on()
        yield proxy
    finally:
        proxy._wait(proxy._close())
        proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join()
        proxy._loop.close()
