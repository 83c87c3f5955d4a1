"""How does the sandbox's API door carry the four calls of the hub that a server needs, and refuse the rest?

Law: bodies and answers are small, whole and bounded; redirects are not followed; cookies do not pass.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass

import aiohttp
import h11
from yarl import URL

from ..rules import api_filter, heads
from ..rules.api_filter import ANSWER_HEADERS, ApiCall
from .answers import Refusal, refusal_bytes
from .sandbox import OpenSandbox
from .stream import Stream, StreamLostError, next_event

__all__ = ["ApiDoor"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

_HEAD_LIMIT = 16 << 10
_BODY_LIMIT = 64 << 10  # an activity report or an OAuth form; both are below 2 KiB
_ANSWER_LIMIT = 4 << 20  # a user model of an admin with many groups and servers
_REQUEST_TIME = 15.0  # seconds for a whole request to arrive
_IDLE_TIME = 75.0  # seconds a kept-alive connection may say nothing


class ApiDoor:
    """Serves the API doors of all sandboxes; one client session towards the hub."""

    def __init__(self, hub_api_url: str, hub_timeout: float = 30.0) -> None:
        self._url = hub_api_url
        self._timeout = aiohttp.ClientTimeout(total=hub_timeout, sock_connect=3.0)
        self._session: aiohttp.ClientSession | None = None

    async def handle(self, connection: socket.socket, sandbox: OpenSandbox) -> None:
        """Serve one connection until it ends; its requests are all this sandbox's."""
        stream = Stream()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, connection)
        peer = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)
        try:
            while await self._one_request(peer, stream, sandbox):
                peer.start_next_cycle()
        except h11.RemoteProtocolError as error:
            refusal = Refusal(error.error_status_hint, "api.bad_request", "Not an HTTP request", True)
            _send(stream, refusal_bytes(peer, refusal))
        except TimeoutError:
            refusal = Refusal(408, "api.too_slow", "The request did not arrive in time", True)
            _send(stream, refusal_bytes(peer, refusal))
        except StreamLostError:
            log.debug("%s: the API door's client left.", sandbox.id)
        finally:
            await stream.finish(2.0)

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def _one_request(self, peer: h11.Connection, stream: Stream, sandbox: OpenSandbox) -> bool:
        if not await _has_more(peer, stream):
            return False
        deadline = asyncio.get_running_loop().time() + _REQUEST_TIME
        request = await next_event(peer, stream, deadline)
        if not isinstance(request, h11.Request):
            return False
        answer = await self._answer(request, peer, stream, deadline, sandbox)
        if isinstance(answer, Refusal):
            _send(stream, refusal_bytes(peer, answer, request.method))
            return False
        sent = peer.send(h11.Response(status_code=answer.status, headers=answer.headers)) or b""
        sent += peer.send(h11.Data(data=answer.body)) or b""
        _send(stream, sent + (peer.send(h11.EndOfMessage()) or b""))
        await stream.drain(_REQUEST_TIME)
        return peer.our_state is h11.DONE and peer.their_state is h11.DONE

    async def _answer(
        self,
        request: h11.Request,
        peer: h11.Connection,
        stream: Stream,
        deadline: float,
        sandbox: OpenSandbox,
    ) -> _Answer | Refusal:
        if fault := heads.fault(request.headers):
            return Refusal(400, "api.bad_request", fault, True)
        if not sandbox.api_may_ask():
            sandbox.deny("api.denied", {"code": "api.too_many"})
            return Refusal(429, "api.too_many", "Blocked by sandbox: too many calls of the hub's API", True)
        call = api_filter.decide(sandbox.api_calls, request.method, request.target)
        if call is None:
            sandbox.deny("api.denied", {"code": "api.not_allowed", "host": _shown(request)})
            sentence = "Blocked by sandbox: this call of the hub's API is not open to a sandbox"
            return Refusal(403, "api.not_allowed", sentence, True)
        body = await _whole_body(peer, stream, deadline)
        if body is None:
            return Refusal(413, "api.too_large", f"At most {_BODY_LIMIT} bytes are taken here", True)
        return await self._ask_hub(call, request, body)

    async def _ask_hub(self, call: ApiCall, request: h11.Request, body: bytes) -> _Answer | Refusal:
        if self._session is None:
            skipped = ("User-Agent", "Accept-Encoding", "Accept")
            connector = aiohttp.TCPConnector(limit=256)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, skip_auto_headers=skipped, trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )  # fmt: skip
        headers = [
            (name.decode(), value.decode("latin-1"))
            for name, value in request.headers
            if name in api_filter.REQUEST_HEADERS
        ]
        url = URL(self._url + call.suffix, encoded=True)
        try:
            async with self._session.request(
                call.method, url, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                content = await _bounded(answer)
                if content is None:
                    return Refusal(502, "api.answer_too_large", "The hub's answer is too large", True)
                return _Answer(answer.status, _passed_headers(answer, len(content)), content)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            log.warning("The hub does not answer a sandbox's call: %s", type(error).__name__)
            sentence = "The hub does not answer; it may be restarting. Try again in a moment"
            return Refusal(503, "api.hub_away", sentence, True)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


async def _has_more(peer: h11.Connection, stream: Stream) -> bool:
    if peer.trailing_data[0]:
        return True
    try:
        chunk = await stream.read(_IDLE_TIME)
    except TimeoutError:
        return False
    peer.receive_data(chunk)
    return bool(chunk)


async def _whole_body(peer: h11.Connection, stream: Stream, deadline: float) -> bytes | None:
    body = bytearray()
    if peer.they_are_waiting_for_100_continue:
        _send(stream, peer.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
    while isinstance(event := await next_event(peer, stream, deadline), h11.Data):
        body += event.data
        if len(body) > _BODY_LIMIT:
            return None
    return bytes(body)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes | None:
    content = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        content += chunk
        if len(content) > _ANSWER_LIMIT:
            return None
    return bytes(content)


def _passed_headers(answer: aiohttp.ClientResponse, length: int) -> list[tuple[str, str]]:
    passed = [(name, value) for name, value in answer.headers.items() if name.lower() in ANSWER_HEADERS]
    return [*passed, ("Content-Length", str(length))]


def _shown(request: h11.Request) -> str:
    # Hostile text: shortened here, escaped by whoever shows it.
    return (
        f"{request.method.decode('ascii', 'replace')[:16]} {request.target.decode('ascii', 'replace')[:120]}"
    )


def _send(stream: Stream, data: bytes) -> None:
    if data:
        stream.write(data)
