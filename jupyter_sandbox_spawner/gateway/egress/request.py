"""Is this one request a proxy request, and for which host, port and path?

Law: CONNECT in authority form or `http://` in absolute form, one head, framed in one way; else refused.
"""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass

import h11

from ...errors import EgressRefusedError
from ...rules.egress import Decision
from .answers import refusal
from .limits import Limits
from .pace import PacedReader, Turns

__all__ = ["ProxyRequest", "read_request"]

_PORT = re.compile(r"[0-9]{1,5}")
_ABSOLUTE = re.compile(r"http://([^/?]*)([/?].*)?", re.IGNORECASE)


@dataclass(frozen=True)
class ProxyRequest:
    """One checked request: host as the client wrote it; `path` in origin form, empty for CONNECT.

    `machine` is h11's view of the client; it may hold bytes that came after the head.
    """

    verb: str
    host: str
    port: int
    path: str
    head: h11.Request
    machine: h11.Connection


async def read_request(client: socket.socket, limits: Limits, turns: Turns) -> ProxyRequest:
    """Read one head. Raises EgressRefusedError (400, 408, 431), or OSError when the client is gone."""
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
    try:
        reading = _read_head(PacedReader(client, turns), machine, limits.head_bytes)
        head = await asyncio.wait_for(reading, limits.head_seconds)
    except asyncio.TimeoutError:
        message = f"The request head was not complete after {limits.head_seconds:g} s."
        raise _bad(message, 408) from None
    except h11.RemoteProtocolError as error:
        raise _bad(f"This is not an HTTP request: {error}.", error.error_status_hint) from None
    _check_framing(head)
    return _parse(head, machine)


async def _read_head(reader: PacedReader, machine: h11.Connection, most: int) -> h11.Request:
    received = 0
    while True:
        event = machine.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise ConnectionAbortedError("The client left before its request.")
        # One byte past the limit and h11 refuses; a larger read could let a whole longer head in.
        data = await reader.receive(most + 1 - received)
        received += len(data)
        machine.receive_data(data)


def _check_framing(head: h11.Request) -> None:
    names = [name for name, _ in head.headers]
    framed = b"transfer-encoding" in names
    if framed and (b"content-length" in names or head.http_version < b"1.1"):
        raise _bad("The request frames its body in two ways (Content-Length and Transfer-Encoding).")
    if head.method == b"CONNECT" and (framed or b"content-length" in names):
        raise _bad("A CONNECT request has no body.")


def _parse(head: h11.Request, machine: h11.Connection) -> ProxyRequest:
    verb, target = head.method.decode(), head.target.decode()
    if verb == "CONNECT":
        host, colon, port = target.rpartition(":")
        if not colon or not _PORT.fullmatch(port):
            raise _bad(f"CONNECT wants host:port, not {target[:200]!r}.")
        return ProxyRequest(verb, host, int(port), "", head, machine)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise _bad(f"A proxy wants a whole http:// address or CONNECT, not {verb} {target[:200]!r}.")
    host, number = _authority(match[1])
    path = match[2] or "/"
    return ProxyRequest(verb, host, number, path if path.startswith("/") else "/" + path, head, machine)


def _authority(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        return text, 80
    if not _PORT.fullmatch(port):
        raise _bad(f"{text[:200]!r} has no port that is a number.")
    return host, int(port)


def _bad(message: str, status: int = 400) -> EgressRefusedError:
    return refusal(Decision(False, "egress.bad_request", message, ""), status)
