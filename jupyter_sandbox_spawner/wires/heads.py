"""How is a head read from a connection, and how is it answered? Within a size and a time, or refused."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from ..errors import RefusedError, SandboxError
from ..rules.wires import FRAMES, HEAD_LIMIT, Head, parse_head
from .stream import CutOffError, End, TlsEnd

__all__ = ["OPENED", "OPENED_FRAMED", "answer", "read_head"]

OPENED = b"HTTP/1.1 200 OK\r\n\r\n"
OPENED_FRAMED = b"HTTP/1.1 200 OK\r\n" + FRAMES + b": 1\r\n\r\n"
_LINGER = 2.0  # seconds that a refused peer has to read why


async def read_head(end: TlsEnd) -> tuple[Head, bytes]:
    """The head and its body; what follows them stays to be read. The caller sets the time.

    Raises RefusedError `wires.bad_head`; CutOffError where the peer leaves.
    """
    raw = b""
    while b"\r\n\r\n" not in raw[:HEAD_LIMIT]:
        if len(raw) > HEAD_LIMIT:
            message = f"The head of a request is larger than {HEAD_LIMIT} bytes."
            raise RefusedError(message, code="wires.bad_head", status=431)
        raw += await _more(end)
    lines, mark, rest = raw.partition(b"\r\n\r\n")
    head = parse_head(lines + mark)
    while len(rest) < head.length:
        rest += await _more(end)
    end.unread(rest[head.length :])
    return head, rest[: head.length]


async def _more(end: TlsEnd) -> bytes:
    data = await end.read()
    if not data:
        raise CutOffError("the peer left within its head")
    return data


async def answer(end: End, status: int, error: SandboxError | None = None) -> None:
    """Answer, end this way, and wait a moment until the peer has ended its own.

    Closing over unread bytes would reset the connection and lose the answer.
    """
    body = b"" if error is None else json.dumps(error.as_document()).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
    if status == 503:
        lines.append("Retry-After: 1")
    if status != 204:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    try:
        await asyncio.wait_for(_last_words(end, "\r\n".join([*lines, "", ""]).encode() + body), _LINGER)
    except (OSError, asyncio.TimeoutError):
        return  # it had its chance
    finally:
        end.close()


async def _last_words(end: End, raw: bytes) -> None:
    await end.write(raw)
    await end.finish()
    while await end.read():
        pass
