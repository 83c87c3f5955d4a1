"""How is another program asked one thing over HTTP, and its answer taken whole?

Law: one connection a question, small and bounded both ways; no redirect is followed, no cookie is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import h11

from .requests import Answer
from .stream import Stream, StreamLostError, next_event

__all__ = ["AnswerTooLargeError", "AskedProgram", "Question", "UnansweredError"]

_CONNECT = 3.0  # seconds; both programs are on this machine
_ANSWER_LIMIT = 4 << 20  # a user model of an admin with many groups and servers
_ALIVE = 2.0  # seconds that a program on a held socket may take for the smallest of questions
_BELIEVED = 1.0  # seconds that an answer proves the program alive


class UnansweredError(Exception):
    """The program is away, or was lost before it had answered."""


class AnswerTooLargeError(Exception):
    """The answer has more bytes than are taken."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """`target` is ours, never a client's; `seconds` is for the whole exchange."""

    method: str
    target: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""
    seconds: float = 30.0


class AskedProgram:
    """A program at a TCP port, of loopback where no host is given, or at a unix socket.

    A `held` socket belongs to the supervisor and takes connections while its program is dead, so a small
    question goes first: what must not happen late is only sent to a program that answers now.
    """

    def __init__(self, *, port: int = 0, path: str = "", held: bool = False, host: str = "127.0.0.1") -> None:
        self._place = (host, port)
        self._path = path
        self._held = held
        self._answered = -_BELIEVED

    async def ask(self, question: Question) -> Answer:
        """Its answer. Raises UnansweredError or AnswerTooLargeError."""
        await self._alive()
        answer = await self._exchange(question)
        self._answered = asyncio.get_running_loop().time()
        return answer

    async def connect(self) -> Stream:
        """A connection to it, which belongs to the caller. Raises UnansweredError."""
        await self._alive()
        try:
            return await self._connected()
        except (OSError, asyncio.TimeoutError) as error:
            raise UnansweredError(type(error).__name__) from error

    async def _alive(self) -> None:
        clock = asyncio.get_running_loop().time
        if self._held and clock() - self._answered > _BELIEVED:
            await self._exchange(Question(method="HEAD", target="/", seconds=_ALIVE))
            self._answered = clock()

    async def _exchange(self, question: Question) -> Answer:
        deadline = asyncio.get_running_loop().time() + question.seconds
        try:
            stream = await self._connected()
        except (OSError, asyncio.TimeoutError) as error:
            raise UnansweredError(type(error).__name__) from error
        try:
            return await _answer_to(question, stream, deadline)
        except (OSError, TimeoutError, asyncio.TimeoutError, h11.ProtocolError) as error:
            raise UnansweredError(type(error).__name__) from error
        finally:
            stream.abort()

    async def _connected(self) -> Stream:
        loop = asyncio.get_running_loop()
        connecting = (
            loop.create_unix_connection(Stream, self._path)
            if self._path
            else loop.create_connection(Stream, *self._place)
        )
        _, stream = await asyncio.wait_for(connecting, _CONNECT)
        return stream


async def _answer_to(question: Question, stream: Stream, deadline: float) -> Answer:
    peer = h11.Connection(h11.CLIENT)
    framing = [(b"host", b"localhost"), (b"connection", b"close")]
    if question.body or question.method == "POST":
        framing.append((b"content-length", str(len(question.body)).encode()))
    request = h11.Request(
        method=question.method.encode(),
        target=question.target.encode(),
        headers=[*framing, *question.headers],
    )
    sent = (peer.send(request) or b"") + (peer.send(h11.Data(data=question.body)) or b"")
    stream.write(sent + (peer.send(h11.EndOfMessage()) or b""))
    while not isinstance(head := await next_event(peer, stream, deadline), h11.Response):
        if not isinstance(head, h11.InformationalResponse):
            raise StreamLostError("The program closed the connection without an answer.")
    body = bytearray()
    while isinstance(event := await next_event(peer, stream, deadline), h11.Data):
        body += event.data
        if len(body) > _ANSWER_LIMIT:
            raise AnswerTooLargeError
    return Answer(head.status_code, list(head.headers), bytes(body))
