"""How does a wire reach the other machine and ask there for a socket? TCP, TLS, one head, one answer.

Standard library only: the link of each pod runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .stream import CutOffError, TlsEnd, keep_alive

__all__ = [
    "Answer",
    "AwayError",
    "Far",
    "FRAMED",
    "SilentError",
    "ask",
    "connect",
    "dial",
    "is_remembered",
    "known_addresses",
    "look_up_again",
]

FRAMED = b"sandbox-frames: 1"
_ANSWER_LIMIT = 16 << 10  # bytes
_REMEMBERED = (
    5.0  # seconds; a call through wires is a connection, and a look-up for each would double its way
)
_Addresses = list[tuple[int, Any]]  # families and addresses
_known: dict[tuple[str, int], tuple[float, _Addresses]] = {}
_asking: dict[tuple[str, int], asyncio.Task[_Addresses]] = {}


class AwayError(ConnectionError):
    """Nobody answers as it should on the other machine; it may be there a moment later."""


class SilentError(AwayError):
    """A connection stands, and nothing comes over it."""


@dataclass(frozen=True)
class Far:
    """The wires on another machine: `name` is the one in their certificate. Times are in seconds."""

    host: str
    port: int
    name: str
    context: Callable[[], ssl.SSLContext] = field(repr=False)
    connect_time: float = 2.0
    answer_time: float = 10.0


@dataclass(frozen=True)
class Answer:
    """An answer's status, and the document in it where it is a refusal; `framed`: frames follow."""

    status: int
    document: dict[str, Any] = field(default_factory=dict)
    framed: bool = False

    @property
    def code(self) -> str:
        """The code of the refusal."""
        return str(self.document.get("code", f"wires.{self.status}"))


async def dial(far: Far) -> TlsEnd:
    """Connect and shake hands. Raises OSError (ssl.SSLError among them) or AwayError."""
    connection = await connect(far.host, far.port, far.connect_time)
    try:
        end = TlsEnd(connection, far.context(), far.name)
        await asyncio.wait_for(end.shake_hands(), far.answer_time)
    except asyncio.TimeoutError:
        connection.close()
        raise AwayError(f"{far.name} did not complete a handshake in time") from None
    except BaseException:
        connection.close()
        raise
    return end


async def ask(end: TlsEnd, head: bytes, seconds: float) -> Answer:
    """Send a head (and body) and take the answer; what follows a 200 stays to be read from `end`."""
    try:
        return await asyncio.wait_for(_exchange(end, head), seconds)
    except asyncio.TimeoutError:
        raise SilentError("the wires on the other machine did not answer in time") from None


async def _exchange(end: TlsEnd, head: bytes) -> Answer:
    await end.write(head)
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await _more(end, raw)
    first, _, rest = raw.partition(b"\r\n\r\n")
    line, *headers = first.split(b"\r\n")
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise AwayError("what answers is not the wires of another machine")
    status = int(words[1])
    if status in (200, 204):
        end.unread(rest)
        return Answer(status, framed=FRAMED in headers)
    while len(rest) < _ANSWER_LIMIT and (data := await end.read()):  # a refusal ends with its connection
        rest += data
    return Answer(status, _document(rest))


async def _more(end: TlsEnd, raw: bytes) -> bytes:
    data = await end.read()
    if not data or len(raw) > _ANSWER_LIMIT:
        raise CutOffError("the connection ended within an answer")
    return data


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


async def connect(host: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection to the first address of a host that takes one."""
    failed: BaseException | None = None
    for family, address in await known_addresses(host, port, seconds):
        try:
            return await _connect(socket.socket(family, socket.SOCK_STREAM), address, seconds)
        except (OSError, asyncio.TimeoutError) as error:
            failed = error
    look_up_again(host, port)
    raise AwayError(f"{host}:{port} takes no connection: {str(failed) or 'not in time'}") from failed


async def known_addresses(host: str, port: int, seconds: float) -> _Addresses:
    """Families and addresses of a host; a name's are remembered for seconds. OSError where it has none."""
    loop = asyncio.get_running_loop()
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port))]
    until, found = _known.get((host, port), (0.0, []))
    if loop.time() < until:
        return found
    asking = _asking.get((host, port))
    if asking is None or asking.get_loop() is not loop:
        # One thread a name, however many wait for it: it lives on until the name server answers or fails.
        asking = asyncio.ensure_future(_look_up(host, port))
        _asking[(host, port)] = asking
    try:
        return await asyncio.wait_for(asyncio.shield(asking), seconds)
    except asyncio.TimeoutError:
        raise AwayError(f"the name {host} was not resolved in time") from None


def look_up_again(host: str, port: int) -> None:
    """Forget the addresses of a name."""
    _known.pop((host, port), None)


def is_remembered(host: str, port: int) -> bool:
    """Would `known_addresses` answer without asking anybody?"""
    return asyncio.get_running_loop().time() < _known.get((host, port), (0.0, []))[0]


async def _look_up(host: str, port: int) -> _Addresses:
    loop = asyncio.get_running_loop()
    try:
        names = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    finally:
        _asking.pop((host, port), None)
    found: _Addresses = [(family, address) for family, _, _, _, address in names]
    _known[(host, port)] = (loop.time() + _REMEMBERED, found)
    return found


async def _connect(connection: socket.socket, address: Any, seconds: float) -> socket.socket:
    keep_alive(connection)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(connection, address), seconds)
    except BaseException:
        connection.close()
        raise
    return connection
