"""How are small requests read whole and answered, one after the other, on one connection?

Law: a request has a deadline and a bounded body; whatever a client sends, only its connection suffers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import h11

from ..rules import heads
from .answers import Refusal, refusal_bytes
from .stream import Stream, StreamLostError, next_event

__all__ = ["Answer", "Carry", "Limits", "Request", "serve_requests"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bytes of a head and of a body; seconds for a whole request to arrive and a connection to say nothing.

    `bad_request` and `too_slow` are the codes of the refusals made here.
    """

    bad_request: str
    too_slow: str
    head: int = 16 << 10
    body: int = 64 << 10
    request: float = 15.0
    idle: float = 75.0


@dataclass(frozen=True)
class Answer:
    """A whole answer; its length is added."""

    status: int
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""


class Request:
    """A request whose head has arrived. The body is read by `body` alone: a refusal needs none."""

    def __init__(self, head: h11.Request, connection: _Connection, deadline: float) -> None:
        self.method: bytes = head.method
        self.target: bytes = head.target
        self.headers: Sequence[tuple[bytes, bytes]] = list(head.headers)
        self._connection = connection
        self._deadline = deadline

    async def body(self) -> bytes | None:
        """The whole body; None where it is larger than it may be."""
        return await self._connection.body(self._deadline)


# An answer that is no whole one is carried by what is given here, to which the connection then belongs; True
# where it may carry another request.
Carry = Callable[[h11.Connection, Stream], Awaitable[bool]]
Respond = Callable[[Request], Awaitable["Answer | Refusal | Carry"]]


async def serve_requests(stream: Stream, limits: Limits, respond: Respond) -> None:
    """Serve one connection until it ends; a refusal ends it."""
    connection = _Connection(stream, limits)
    try:
        while await connection.one_request(respond):
            pass
    except h11.RemoteProtocolError as error:
        connection.refuse(Refusal(error.error_status_hint, limits.bad_request, "Not HTTP", True))
    except TimeoutError:
        sentence = "The request did not arrive in time"
        connection.refuse(Refusal(408, limits.too_slow, sentence, True))
    except StreamLostError:
        log.debug("A client left before its answer.")
    finally:
        await stream.finish(2.0)


class _Connection:
    def __init__(self, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._peer = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head)

    async def one_request(self, respond: Respond) -> bool:
        """Answer one; False when the connection carries no more."""
        peer = self._peer
        if not await self._has_more():
            return False
        deadline = asyncio.get_running_loop().time() + self._limits.request
        head = await next_event(peer, self._stream, deadline)
        if not isinstance(head, h11.Request):
            return False
        answer = await self._respond(Request(head, self, deadline), respond)
        if isinstance(answer, Refusal):
            self.refuse(answer, head.method)
            return False
        if isinstance(answer, Answer):
            self._send(answer, head.method)
            await self._stream.drain(self._limits.request)
        elif not await answer(peer, self._stream):
            return False
        if peer.our_state is not h11.DONE or peer.their_state is not h11.DONE:
            return False
        peer.start_next_cycle()
        return True

    async def _respond(self, request: Request, respond: Respond) -> Answer | Refusal | Carry:
        if fault := heads.fault(request.headers):
            return Refusal(400, self._limits.bad_request, fault, True)
        return await respond(request)

    async def body(self, deadline: float) -> bytes | None:
        """See Request.body."""
        found = bytearray()
        if self._peer.they_are_waiting_for_100_continue:
            self._write(self._peer.send(h11.InformationalResponse(status_code=100, headers=[])))
        while isinstance(event := await next_event(self._peer, self._stream, deadline), h11.Data):
            found += event.data
            if len(found) > self._limits.body:
                return None
        return bytes(found)

    def refuse(self, refusal: Refusal, method: bytes = b"GET") -> None:
        """Say no; a client that is gone is not told."""
        try:
            self._write(refusal_bytes(self._peer, refusal, method))
        except StreamLostError:
            log.debug("A client left before it was refused.")

    def _send(self, answer: Answer, method: bytes) -> None:
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        sent = self._peer.send(h11.Response(status_code=answer.status, headers=headers)) or b""
        if method != b"HEAD":
            sent += self._peer.send(h11.Data(data=answer.body)) or b""
        self._write(sent + (self._peer.send(h11.EndOfMessage()) or b""))

    def _write(self, data: bytes | None) -> None:
        if data:
            self._stream.write(data)

    async def _has_more(self) -> bool:
        if self._peer.trailing_data[0]:
            return True
        try:
            chunk = await self._stream.read(self._limits.idle)
        except TimeoutError:
            return False
        self._peer.receive_data(chunk)
        return bool(chunk)
