"""What does a client read when it is refused?

Law: the sentence stands in the status line, because urllib shows only that and git and curl show no body.
"""

from __future__ import annotations

import asyncio
import re
import socket

from ...errors import EgressRefusedError
from ...rules.egress import Decision
from .pace import PacedReader, Turns

__all__ = ["ESTABLISHED", "TLS_ACCESS_DENIED", "answer", "refusal", "refusal_bytes"]

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# A fatal alert 49: TLS clients then say "access denied" instead of "connection reset".
TLS_ACCESS_DENIED = bytes((0x15, 3, 3, 0, 2, 2, 49))
_LONGEST_HOST = 100
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 256 << 10
_REMEDY = "See what this sandbox may reach: %sandbox egress in a notebook cell. Ask the hub's admin for more."


def refusal(decision: Decision, status: int = 403) -> EgressRefusedError:
    """The error that carries a refused decision to the client."""
    return EgressRefusedError(decision.message, code=decision.code, remedy=_REMEDY, status=status)


def refusal_bytes(error: EgressRefusedError, host: str) -> bytes:
    """A whole HTTP/1.1 answer: sentence in the status line, code in X-Sandbox-Deny, both in the body."""
    shown = re.sub(r"[^!-~]", "?", host[:_LONGEST_HOST])
    reason = {
        403: f"Blocked by sandbox: {shown}; see %sandbox egress",
        429: "Too many connections from this sandbox; see %sandbox egress",
        502: f"Sandbox cannot reach {shown}; see %sandbox egress",
    }.get(error.status, "Not a proxy request; see %sandbox egress")
    body = f"{error.message} ({error.code})\n{error.remedy}\n".encode()
    head = (
        f"HTTP/1.1 {error.status} {reason}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Sandbox-Deny: {error.code}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


async def answer(client: socket.socket, raw: bytes, turns: Turns) -> None:
    """Send the last bytes and wait briefly for the client's end.

    Closing with unread bytes would reset the connection and could cost the client its answer.
    """
    await asyncio.wait_for(_send_and_drain(client, raw, turns), _LINGER_SECONDS)


async def _send_and_drain(client: socket.socket, raw: bytes, turns: Turns) -> None:
    await asyncio.get_running_loop().sock_sendall(client, raw)
    client.shutdown(socket.SHUT_WR)
    reader = PacedReader(client, turns)
    drained = 0
    while drained < _LINGER_BYTES:
        data = await reader.receive(65536)
        if not data:
            return
        drained += len(data)
