"""How is one browser request carried to a server and its answer back, without holding either?

Law: whatever a server sends, only this exchange suffers; its connection into the sandbox is never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import h11

from ..rules import activity, browser, heads
from ..rules.frames import FrameReader
from .answers import Refusal, refusal_bytes
from .ingress import HAND_OFF
from .sandbox import DOWNLOADS_OFF, OpenSandbox
from .stream import Stream, StreamLostError, next_event

__all__ = ["HEAD_LIMIT", "AnswerTimes", "Exchange"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

HEAD_LIMIT = 64 << 10
_INFORMATIONAL_LIMIT = 16
_LOST = Refusal(502, "front.connection_lost", "The server closed the connection without an answer")
_LATE = Refusal(504, "front.no_answer", "The server took the request and did not answer in time")
_NOT_HTTP = Refusal(502, "front.bad_answer", "The server answered with something that is not HTTP")


class AnswerTimes:
    """Seconds until a server must have begun to answer, and that a peer may take no byte for."""

    def __init__(self, begin: float = 600.0, stall: float = 300.0) -> None:
        self.begin = begin
        self.stall = stall


class _BarredError(Exception):
    """The answer may not go to the browser, or no more of it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal


class Exchange:
    """One request between a browser's connection (`client`, parsed by `peer`) and an ingress connection."""

    def __init__(
        self, peer: h11.Connection, client: Stream, ingress: Stream, sandbox: OpenSandbox, times: AnswerTimes
    ) -> None:
        self._peer = peer
        self._client = client
        self._ingress = ingress
        self._sandbox = sandbox
        self._times = times
        self._inside = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
        self._counts = True
        self._method = b"GET"
        self._target = b""
        self._frames = FrameReader()
        self._answers = FrameReader()
        self._upload: asyncio.Task[None] | None = None
        self.upgraded = False

    async def run(self, request: h11.Request) -> bool:
        """Carry it; True when the browser's connection may carry another request."""
        websocket = heads.wants_websocket(request.method, request.headers)
        self._counts = activity.request_counts(
            request.method, request.target, self._sandbox.entry.prefix, websocket
        )
        self._method = request.method
        self._target = request.target
        self._used()
        self._client.on_gone = self._ingress.abort
        if self._client.ended:
            self._ingress.abort()
        try:
            self._upload = self._send_request(request, websocket)
            switched = await self._answer()
            return not switched and self._both_done()
        except h11.ProtocolError as error:
            log.info("%s: the server's answer is not HTTP: %s", self._sandbox.id, error)
            self._refuse_answer()
        except TimeoutError:
            self._refuse(_LATE)
        except _BarredError as error:
            self._sandbox.deny("front.denied", {"code": error.refusal.code})
            self._refuse(error.refusal)
        except StreamLostError:
            # Either the browser left (nobody to tell) or the ingress connection died under the request.
            self._refuse(_LOST)
        finally:
            self._client.on_gone = None
            self._ingress.abort()
            if self._upload is not None:
                self._upload.cancel()
                await asyncio.gather(self._upload, return_exceptions=True)
        return False

    def _send_request(self, request: h11.Request, websocket: bool) -> asyncio.Task[None] | None:
        headers = heads.request_headers(request.headers, websocket)
        head = self._inside.send(h11.Request(method=request.method, target=request.target, headers=headers))
        first = self._peer.next_event()
        if isinstance(first, h11.EndOfMessage):
            self._into(HAND_OFF + (head or b"") + (self._inside.send(h11.EndOfMessage()) or b""))
            return None
        self._into(HAND_OFF + (head or b""))
        if isinstance(first, h11.Data):
            self._into(self._inside.send(first) or b"")
        return asyncio.create_task(self._send_body())

    async def _send_body(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                event = await next_event(self._peer, self._client, clock() + self._times.stall)
                if isinstance(event, h11.Data):
                    self._into(self._inside.send(event) or b"")
                    await self._ingress.drain(self._times.stall)
                else:
                    self._into(self._inside.send(h11.EndOfMessage()) or b"")
                    return
        except StreamLostError:
            # A server may answer before it has read everything; its answer decides.
            log.debug("%s: the server takes no more of a request.", self._sandbox.id)
        except (h11.ProtocolError, TimeoutError) as error:
            log.info("%s: a request's body broke off: %s", self._sandbox.id, error)
            self._ingress.abort()

    async def _answer(self) -> bool:
        for _ in range(_INFORMATIONAL_LIMIT):
            event = await self._head()
            if isinstance(event, h11.Response):
                await self._download(event)
                return False
            if not isinstance(event, h11.InformationalResponse):
                raise StreamLostError("The server closed the connection without an answer.")
            if event.status_code == 101:
                await self._switch(event)
                return True
            informational = h11.InformationalResponse(status_code=event.status_code, headers=[])
            self._out(self._peer.send(informational) or b"")
        raise h11.RemoteProtocolError("too many informational answers")

    async def _head(self) -> h11.Event | type[h11.PAUSED]:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                return await next_event(self._inside, self._ingress, clock() + self._times.begin)
            except TimeoutError:
                # While a body is still on its way in, the server owes no answer.
                if self._upload is None or self._upload.done():
                    raise

    async def _download(self, response: h11.Response) -> None:
        if heads.is_ambiguous(response.headers):
            raise h11.RemoteProtocolError("two lengths for one body")
        if not self._sandbox.entry.browser.downloads and browser.is_attachment(response.headers):
            raise _BarredError(DOWNLOADS_OFF)
        self._check_length(browser.length(response.headers))
        headers = heads.response_headers(response.headers, self._sandbox.pages)
        head = h11.Response(status_code=response.status_code, reason=response.reason, headers=headers)
        pending = self._peer.send(head) or b""
        while True:
            event = await next_event(self._inside, self._ingress)
            if isinstance(event, h11.Data):
                self._check_room()
                self._out(pending + (self._peer.send(event) or b""))
                pending = b""
                await self._client.drain(self._times.stall)
            elif isinstance(event, h11.EndOfMessage):
                self._out(pending + (self._peer.send(h11.EndOfMessage()) or b""))
                return
            else:
                raise StreamLostError("The server closed the connection within its answer.")

    async def _switch(self, event: h11.InformationalResponse) -> None:
        self._client.on_gone = None
        headers = heads.switch_headers(event.headers, self._sandbox.pages)
        self._out(self._peer.send(h11.InformationalResponse(status_code=101, headers=headers)) or b"")
        self.upgraded = True
        self._sandbox.leaving.ended()
        self._upgraded_out(self._inside.trailing_data[0])
        self._upgraded_into(self._peer.trailing_data[0])
        ways = [
            asyncio.create_task(self._pump(self._client, self._ingress, inward=True)),
            asyncio.create_task(self._pump(self._ingress, self._client, inward=False)),
        ]
        withdraw = self._sandbox.leaving.on_hang_up(lambda frame: self._hang_up(frame, ways))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            withdraw()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        await self._client.finish(1.0)

    async def _pump(self, source: Stream, target: Stream, inward: bool) -> None:
        try:
            while chunk := await source.read():
                if inward:
                    self._upgraded_into(chunk)
                else:
                    self._check_room()
                    self._upgraded_out(chunk)
                await target.drain(self._times.stall)
        except _BarredError as error:
            self._sandbox.deny("front.denied", {"code": error.refusal.code})
        except (StreamLostError, TimeoutError):
            log.debug("%s: one end of an upgraded connection left.", self._sandbox.id)

    def _upgraded_into(self, chunk: bytes) -> None:
        prefix = self._sandbox.entry.prefix
        seen = list(self._frames.feed(chunk))
        self._counts = any(activity.message_counts(self._target, prefix, frame) for frame in seen)
        self._into(chunk)

    def _upgraded_out(self, chunk: bytes) -> None:
        self._answers.skip(chunk)
        self._out(chunk)

    def _hang_up(self, frame: bytes, ways: list[asyncio.Task[None]]) -> None:
        """End the WebSocket with a close frame, where one may stand now: not within another."""
        if self._answers.between:
            with contextlib.suppress(StreamLostError):  # the browser left
                self._out(frame)
        for way in ways:
            way.cancel()

    def _into(self, data: bytes) -> None:
        if data:
            self._ingress.write(data)
            self._sandbox.bytes_in += len(data)
            self._used()

    def _out(self, data: bytes) -> None:
        if data:
            self._client.write(data)
            self._sandbox.front_bytes(len(data))

    def _check_length(self, length: int) -> None:
        """Refuse what could not arrive whole: an answer that breaks off leaves proxy and browser waiting."""
        left = self._sandbox.front_room(self._method)
        if left is not None and length > left:
            sentence = browser.too_large_sentence(length, left)
            raise _BarredError(Refusal(403, "front.bytes_capped", sentence))

    def _check_room(self) -> None:
        """Raises _BarredError where today's bytes to browsers are used up."""
        if refusal := self._sandbox.cap_refusal(self._method):
            raise _BarredError(refusal)

    def _used(self) -> None:
        if self._counts:
            self._sandbox.used()

    def _both_done(self) -> bool:
        return self._peer.our_state is h11.DONE and self._peer.their_state is h11.DONE

    def _refuse_answer(self) -> None:
        if self._ingress.ended and not self._inside.trailing_data[0]:
            self._refuse(_LOST)
        else:
            self._refuse(_NOT_HTTP)

    def _refuse(self, refusal: Refusal) -> None:
        answer = refusal_bytes(self._peer, refusal, self._method)
        try:
            self._out(answer)
        except StreamLostError:
            log.debug("%s: the browser left before its answer.", self._sandbox.id)
