"""What do the tests of the egress door share? Real sockets, recorded lookups and decisions."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone

from jupyter_sandbox_spawner.gateway.egress import EgressHandler, Limits
from jupyter_sandbox_spawner.gateway.egress.own import OwnService
from jupyter_sandbox_spawner.models import EgressPolicy
from jupyter_sandbox_spawner.rules.egress import Decision, compile_rules

Control = Callable[[str, bool], None]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPBACK = "127.0.0.1"


class RecordingResolver:
    """A DNS server that answers from a table and remembers who asked for what."""

    def __init__(self, answers: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.answers = dict(answers or {})
        self.lookups: list[str] = []

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        self.lookups.append(host)
        return self.answers.get(host, ())

    def close(self) -> None:
        pass


@dataclass
class Account:
    """A sandbox as the egress door sees it, with everything it was told."""

    policy: EgressPolicy
    id: str = "sb-aaaaaaaaaaaaaaaaaaaa"
    user: str = "ada"
    server: str = ""
    zone: str = ""
    allowance: int | None = None
    decided: list[tuple[str, int, str, str, str]] = field(default_factory=list)
    up: int = 0
    down: int = 0

    def egress_decided(self, host: str, port: int, verb: str, decision: Decision, address: str = "") -> None:
        assert decision.allowed == (decision.code == "egress.allowed")
        self.decided.append((host, port, verb, decision.code, address))

    def egress_bytes(self, up: int, down: int) -> None:
        self.up += up
        self.down += down
        if self.allowance is not None:
            self.allowance -= up + down

    def egress_allowance(self) -> int | None:
        return self.allowance

    @property
    def codes(self) -> list[str]:
        """The codes decided so far."""
        return [code for _, _, _, code, _ in self.decided]


def account(*items: object, **policy: object) -> Account:
    """An account whose policy holds these rules, written as in YAML."""
    return Account(EgressPolicy(rules=compile_rules(items, "egress"), **policy))  # type: ignore[arg-type]


def private(host: str, port: int, *networks: str) -> dict[str, object]:
    """A rule for a name that stands on loopback."""
    return {"host": host, "ports": [port], "allow_private": list(networks or (LOOPBACK,))}


@dataclass
class Door:
    """One open door: `path` for unix clients, `port` for clients that speak TCP only."""

    path: str
    port: int
    handler: EgressHandler
    tasks: set[asyncio.Task[None]]

    async def ask(self, raw: bytes, timeout: float = 10.0) -> bytes:
        """Send bytes, then read to the end."""
        async with self.streams() as (reader, writer):
            writer.write(raw)
            await writer.drain()
            return await asyncio.wait_for(reader.read(), timeout)

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection, closed whatever happens in the block."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            yield reader, writer
        finally:
            await shut(writer)

    async def connect(self, target: str) -> socket.socket:
        """A raw socket on which CONNECT was answered with 200."""
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, self.path)
        await loop.sock_sendall(raw, connect_head(target))
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = await asyncio.wait_for(loop.sock_recv(raw, 1), 10)
            assert data, answer
            answer += data
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return raw


def connect_head(target: str) -> bytes:
    """A CONNECT request as curl writes it."""
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Connection: Keep-Alive\r\n\r\n".encode()


def get_head(url: str, *headers: str, method: str = "GET") -> bytes:
    """An absolute-form request."""
    lines = [f"{method} {url} HTTP/1.1", "Host: whatever.test", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def shut(writer: asyncio.StreamWriter) -> None:
    """Close a stream whatever the other end did."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


@asynccontextmanager
async def open_door(
    who: Account,
    resolver: RecordingResolver | None = None,
    services: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    own: tuple[OwnService, ...] = (),
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> AsyncIterator[Door]:
    """Accept on a unix socket and on loopback, as the gateway's door does, and hand over."""
    handler = EgressHandler(resolver or RecordingResolver(), services or {}, limits, own, now)
    tasks: set[asyncio.Task[None]] = set()
    with (
        tempfile.TemporaryDirectory(prefix="egr") as directory,
        socket.socket(socket.AF_UNIX) as near,
        socket.create_server((LOOPBACK, 0)) as tcp,
    ):
        near.bind(f"{directory}/egress.sock")
        near.listen(512)
        acceptors = [asyncio.create_task(_accept(one, handler, who, tasks)) for one in (near, tcp)]
        try:
            yield Door(f"{directory}/egress.sock", tcp.getsockname()[1], handler, tasks)
        finally:
            for task in acceptors:
                task.cancel()
            await asyncio.gather(*acceptors, return_exceptions=True)
            await handler.close()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            errors = [e for e in outcomes if e and not isinstance(e, asyncio.CancelledError)]
            assert errors == []


async def _accept(
    listener: socket.socket, handler: EgressHandler, who: Account, tasks: set[asyncio.Task[None]]
) -> None:
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        tasks.add(asyncio.create_task(handler.handle(connection, who)))


@dataclass
class Server:
    """A server on loopback: its port and how many connections it has seen."""

    port: int
    place: str
    hits: int = 0
    heads: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(
    serve: Serve, tls: ssl.SSLContext | None = None, host: str = LOOPBACK, port: int = 0
) -> AsyncIterator[Server]:
    """Run one upstream while the block lasts."""
    seen = Server(0, "")
    running: set[asyncio.Task[None]] = set()

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.hits += 1
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            await shut(writer)

    server = await asyncio.start_server(count, host, port, ssl=tls)
    seen.port = server.sockets[0].getsockname()[1]
    seen.place = f"{host}:{seen.port}"
    try:
        yield seen
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def web(
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A web server that keeps the heads it was sent and always gives the same answer."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()

    async with serving(serve, tls) as server:
        server.heads = heads
        yield server


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, and the end after the end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def code_of(answer: bytes) -> str:
    """The reason code of a refusal."""
    lines = answer.split(b"\r\n\r\n", 1)[0].decode().split("\r\n")
    return next((line.split(": ")[1] for line in lines if line.startswith("X-Sandbox-Deny: ")), "")


async def allowed(door: Door, server_port: int) -> bool:
    """Does the allowed twin answer?"""
    return (await door.ask(get_head(f"http://ok.test:{server_port}/"))).endswith(b"hello")
