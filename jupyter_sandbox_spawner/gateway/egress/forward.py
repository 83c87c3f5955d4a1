"""How does one plain HTTP request go through: Host rewritten, hop-by-hop headers gone, then both ends close?

Law: h11 frames both sides anew, so nothing a client smuggles into its framing reaches the upstream.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import h11

from ...errors import EgressRefusedError
from ...rules.egress import Decision
from .answers import refusal
from .caps import Meter
from .limits import Limits
from .pace import PacedReader, Turns
from .request import ProxyRequest

__all__ = ["forward", "has_begun"]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",
        b"host",
        b"keep-alive",
        b"te",
        b"trailer",
        b"upgrade",
    }
)
_CHUNK = 256 << 10
_PLENTY = 16 << 10  # bytes of a body at once: such a read is followed by the next without a pause
_LARGEST_ANSWER_HEAD = 64 << 10
_EARLY_ANSWER_SECONDS = 2.0
Headers = list[tuple[bytes, bytes]]


async def forward(
    request: ProxyRequest,
    client: socket.socket,
    upstream: socket.socket,
    meter: Meter,
    limits: Limits,
    turns: Turns,
) -> None:
    """Send one request up and its answer down.

    Raises EgressRefusedError where nothing of an answer came, so that the client can still be told;
    OSError, TimeoutError or h11.ProtocolError where either side broke off: the client sees a cut connection.
    """
    above = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_ANSWER_HEAD)
    near = _Near(client, request.machine, limits.idle_seconds, PacedReader(client, turns, _PLENTY))
    far = _Far(upstream, above, limits.idle_seconds, meter)
    await far.send(_request_head(request))
    if request.machine.they_are_waiting_for_100_continue:
        await near.send(h11.InformationalResponse(status_code=100, headers=[]))
    up = asyncio.create_task(_carry_body(near, far))
    down = asyncio.create_task(_carry_answer(far, near))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if not down.done():
            # A server may answer early (413) and stop reading: its answer is still worth a moment.
            failed = up.exception() is not None
            await asyncio.wait({down}, timeout=_EARLY_ANSWER_SECONDS if failed else None)
    finally:
        up.cancel()
        down.cancel()
        sent, answered = await asyncio.gather(up, down, return_exceptions=True)
    if isinstance(answered, asyncio.CancelledError) and sent is not None:
        raise sent
    if isinstance(answered, Exception):
        raise answered if has_begun(request) else _no_answer(request, answered)


def has_begun(request: ProxyRequest) -> bool:
    """Has anything of the answer been sent to the client?"""
    return request.machine.our_state is not h11.SEND_RESPONSE


def _no_answer(request: ProxyRequest, error: Exception) -> Exception:
    if isinstance(error, EgressRefusedError):
        return error
    message = f"{request.host}:{request.port} gave no answer that HTTP allows: {error}"
    return refusal(Decision(False, "egress.unreachable", message, ""), 502)


@dataclass(frozen=True)
class _Wire:
    """One socket and h11's view of it; `seconds` is how long one step may take."""

    connection: socket.socket
    machine: h11.Connection
    seconds: float

    async def event(self) -> object:
        while True:
            event = self.machine.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.machine.receive_data(await self.receive())

    async def receive(self) -> bytes:
        received = asyncio.get_running_loop().sock_recv(self.connection, _CHUNK)
        return await asyncio.wait_for(received, self.seconds)

    async def send(self, event: h11.Event) -> None:
        data = self.machine.send(event)
        if data:
            await self.transmit(data)

    async def transmit(self, data: bytes) -> None:
        sent = asyncio.get_running_loop().sock_sendall(self.connection, data)
        await asyncio.wait_for(sent, self.seconds)


@dataclass(frozen=True)
class _Near(_Wire):
    """The wire whose sender may be hostile: small pieces of a body are waited for until they are more."""

    reader: PacedReader

    async def receive(self) -> bytes:
        return await asyncio.wait_for(self.reader.receive(_CHUNK), self.seconds)


@dataclass(frozen=True)
class _Far(_Wire):
    """The wire whose bytes are counted: heads included, so that they are no free way out."""

    meter: Meter

    async def receive(self) -> bytes:
        self.meter.room(1)
        data = await super().receive()
        self.meter.down(len(data))
        return data

    async def transmit(self, data: bytes) -> None:
        self.meter.room(1)
        await super().transmit(data)
        self.meter.up(len(data))


async def _carry_body(near: _Wire, far: _Wire) -> None:
    while True:
        event = await near.event()
        if isinstance(event, h11.Data):
            await far.send(h11.Data(data=event.data))
        elif isinstance(event, h11.EndOfMessage):
            await far.send(h11.EndOfMessage())
            return
        else:
            raise ConnectionAbortedError("The client left in the middle of its request.")


async def _carry_answer(far: _Wire, near: _Wire) -> None:
    while True:
        event = await far.event()
        if isinstance(event, h11.Response):
            await near.send(_answer_head(event))
        elif isinstance(event, h11.Data):
            await near.send(h11.Data(data=event.data))
        elif isinstance(event, h11.EndOfMessage):
            await near.send(h11.EndOfMessage())
            return
        elif not isinstance(event, h11.InformationalResponse):
            raise ConnectionAbortedError("The server closed the connection without an answer.")


def _request_head(request: ProxyRequest) -> h11.Request:
    host = request.host if request.port == 80 else f"{request.host}:{request.port}"
    kept = _end_to_end(request.head.headers)
    return h11.Request(
        method=request.head.method,
        target=request.path,
        headers=[(b"Host", host.encode()), *kept, (b"Connection", b"close")],
    )


def _answer_head(answer: h11.Response) -> h11.Response:
    kept = [(name, value) for name, value in _end_to_end(answer.headers) if name != b"transfer-encoding"]
    return h11.Response(
        status_code=answer.status_code, reason=answer.reason, headers=[*kept, (b"Connection", b"close")]
    )


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    listed = list(headers)
    named = {
        token.strip().lower()
        for name, value in listed
        if name == b"connection"
        for token in value.split(b",")
    }
    # Content-Length and Transfer-Encoding frame the body that follows: naming them must not drop them.
    dropped = (_HOP_BY_HOP | named) - {b"content-length", b"transfer-encoding"}
    return [(name, value) for name, value in listed if name not in dropped and not name.startswith(b"proxy-")]
