"""How is one request of a sandbox carried to a program's socket and its answer back, without holding either?

Law: the program's connection is used for one request; what one side does not take is not read from the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import h11

from ..rules.heads import is_ambiguous
from ..rules.proxied_heads import framing, to_sandbox
from .answers import Refusal, refusal_bytes
from .stream import Stream, StreamLostError, next_event

__all__ = ["Carriage", "CarriageTimes", "Carried", "Peer"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")
_AWAY = Refusal(503, "api.broker_away", "The broker of secrets does not answer; it may be restarting", True)
_LATE = Refusal(504, "api.broker_away", "The broker of secrets took the request and did not answer", True)


@dataclass(frozen=True)
class CarriageTimes:
    """Seconds until an answer must begin after the request was sent, and that a side may take no byte for.

    Both are more than the broker's own patience with a host, so that its sentence is the one that is read.
    """

    begin: float = 180.0
    stall: float = 150.0


@dataclass(frozen=True)
class Peer:
    """The sandbox's connection and what parses it."""

    connection: h11.Connection
    stream: Stream


@dataclass(frozen=True)
class Carried:
    """A request as it goes to the program; `count` is told of bytes out of and into the sandbox."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    count: Callable[[int, int], None]
    spent: Callable[[], Refusal | None]


class Carriage:
    """One exchange between a sandbox's connection and one of its own to the program."""

    def __init__(self, peer: Peer, program: Stream, carried: Carried, times: CarriageTimes) -> None:
        self._peer = peer.connection
        self._client = peer.stream
        self._program = program
        self._carried = carried
        self._times = times
        self._inside = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 << 10)
        self._upload: asyncio.Task[None] | None = None

    async def run(self) -> bool:
        """Carry it; True when the sandbox's connection may carry another request."""
        self._client.on_gone = self._program.abort
        if self._client.ended:
            self._program.abort()
        try:
            self._send_head()
            self._upload = asyncio.create_task(self._send_body())
            await self._answer()
            return self._peer.our_state is h11.DONE and self._peer.their_state is h11.DONE
        except TimeoutError:
            self._refuse(_LATE)
        except (StreamLostError, h11.ProtocolError) as error:
            # The sandbox left, or the broker's connection ended under the request.
            log.info("A request with a secret broke off: %s", type(error).__name__)
            self._refuse(_AWAY)
        finally:
            self._client.on_gone = None
            self._program.abort()
            if self._upload is not None:
                self._upload.cancel()
                await asyncio.gather(self._upload, return_exceptions=True)
        return False

    def _send_head(self) -> None:
        head = h11.Request(
            method=self._carried.method, target=self._carried.target, headers=self._carried.headers
        )
        self._program.write(self._inside.send(head) or b"")

    async def _send_body(self) -> None:
        clock = asyncio.get_running_loop().time
        if self._peer.they_are_waiting_for_100_continue:
            self._client.write(self._peer.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        try:
            while True:
                event = await next_event(self._peer, self._client, clock() + self._times.stall)
                if not isinstance(event, h11.Data):
                    self._program.write(self._inside.send(h11.EndOfMessage()) or b"")
                    return
                if self._carried.spent() is not None:
                    self._program.abort()
                    return
                self._carried.count(len(event.data), 0)
                self._program.write(self._inside.send(event) or b"")
                await self._program.drain(self._times.stall)
        except StreamLostError:
            # A refusal comes before everything was read; it decides.
            log.debug("The broker takes no more of a request.")
        except (h11.ProtocolError, TimeoutError) as error:
            log.info("The body of a request with a secret broke off: %s", type(error).__name__)
            self._program.abort()

    async def _answer(self) -> None:
        event = await self._head()
        if not isinstance(event, h11.Response):
            raise StreamLostError("The broker closed the connection without an answer.")
        if is_ambiguous(event.headers):
            raise h11.RemoteProtocolError("two lengths for one body")
        headers = [*to_sandbox(event.headers), *framing(list(event.headers))]
        head = h11.Response(status_code=event.status_code, reason=event.reason, headers=headers)
        self._out(self._peer.send(head) or b"")
        clock = asyncio.get_running_loop().time
        while True:
            part = await next_event(self._inside, self._program, clock() + self._times.stall)
            if isinstance(part, h11.EndOfMessage):
                self._out(self._peer.send(h11.EndOfMessage()) or b"")
                return
            if not isinstance(part, h11.Data) or self._carried.spent() is not None:
                raise StreamLostError("The answer broke off.")
            self._carried.count(0, len(part.data))
            self._out(self._peer.send(part) or b"")
            await self._client.drain(self._times.stall)

    async def _head(self) -> h11.Event | type[h11.PAUSED]:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                return await next_event(self._inside, self._program, clock() + self._times.begin)
            except TimeoutError:
                # While a body is still on its way, no answer is owed.
                if self._upload is None or self._upload.done():
                    raise

    def _out(self, data: bytes) -> None:
        if data:
            self._client.write(data)

    def _refuse(self, refusal: Refusal) -> None:
        """Say it where no answer has begun; else the connection ends within it."""
        answer = refusal_bytes(self._peer, refusal, self._carried.method)
        if not answer:
            self._client.abort()
            return
        try:
            self._client.write(answer)
        except StreamLostError:
            log.debug("A sandbox left before its answer.")
