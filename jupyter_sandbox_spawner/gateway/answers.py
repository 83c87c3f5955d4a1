"""What does a refusal of the gateway look like on the wire? The sentence in the status line, and a code."""

from __future__ import annotations

import json
from dataclasses import dataclass

import h11

__all__ = ["Refusal", "plain_refusal", "refusal_bytes"]


@dataclass(frozen=True)
class Refusal:
    """`code` is stable and goes into X-Sandbox-Deny; `sentence` is for people, one line of ASCII."""

    status: int
    code: str
    sentence: str
    as_json: bool = False


def refusal_bytes(connection: h11.Connection, refusal: Refusal, method: bytes = b"GET") -> bytes:
    """The whole answer, after which the connection is closed; empty when an answer has already begun."""
    if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return b""
    body, content_type = _body(refusal)
    head = h11.Response(
        status_code=refusal.status,
        reason=refusal.sentence.encode("ascii", "replace")[:200],
        headers=[*_headers(refusal, content_type, len(body)), (b"Connection", b"close")],
    )
    sent = connection.send(head) or b""
    if method != b"HEAD":
        sent += connection.send(h11.Data(data=body)) or b""
    return sent + (connection.send(h11.EndOfMessage()) or b"")


def plain_refusal(refusal: Refusal) -> bytes:
    """The same for a connection whose request is never read."""
    body, content_type = _body(refusal)
    lines = [f"HTTP/1.1 {refusal.status} {refusal.sentence}".encode("ascii", "replace")]
    lines += [name + b": " + value for name, value in _headers(refusal, content_type, len(body))]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def _body(refusal: Refusal) -> tuple[bytes, bytes]:
    if refusal.as_json:
        document = {"code": refusal.code, "message": refusal.sentence}
        return json.dumps(document).encode() + b"\n", b"application/json"
    return refusal.sentence.encode() + b"\n", b"text/plain; charset=utf-8"


def _headers(refusal: Refusal, content_type: bytes, length: int) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"Content-Type", content_type),
        (b"Content-Length", str(length).encode()),
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"X-Sandbox-Deny", refusal.code.encode()),
    ]
    return [*headers, (b"Retry-After", b"1")] if refusal.status in (429, 503) else headers
