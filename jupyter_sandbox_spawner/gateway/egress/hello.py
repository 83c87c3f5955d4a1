"""Which server does the client's TLS hello name? OpenSSL parses it; the bytes go on unchanged."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

from ...errors import EgressRefusedError
from ...rules.egress import Decision
from .answers import refusal
from .limits import Limits
from .pace import PacedReader, Turns

__all__ = ["Hello", "HelloReader"]


@dataclass(frozen=True)
class Hello:
    """The bytes read so far (the hello and what came with it) and the name in it, if any."""

    raw: bytes
    server_name: str | None


class _Parser(ssl.SSLObject):
    seen = False
    server_name: str | None = None


class HelloReader:
    """Reads hellos with one shared SSLContext: a new one for each would cost five times the time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.sslobject_class = _Parser
        self._context.sni_callback = _take_name

    async def read(self, client: socket.socket, first: bytes, turns: Turns) -> Hello:
        """Read until the name is known. Raises EgressRefusedError `egress.sni_mismatch` for anything else."""
        try:
            reading = self._read(PacedReader(client, turns), first)
            return await asyncio.wait_for(reading, self._limits.hello_seconds)
        except asyncio.TimeoutError:
            raise _refused(f"no complete TLS hello after {self._limits.hello_seconds:g} s") from None

    async def _read(self, reader: PacedReader, raw: bytes) -> Hello:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        parser = self._context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(raw)
        while not _parsed(parser):
            if len(raw) >= self._limits.hello_bytes:
                raise _refused(f"a TLS hello of more than {self._limits.hello_bytes >> 10} KiB")
            data = await reader.receive(self._limits.hello_bytes - len(raw))
            if not data:
                raise ConnectionAbortedError("The client left before its TLS hello.")
            incoming.write(data)
            raw += data
        if not (isinstance(parser, _Parser) and parser.seen):
            raise _refused("no TLS hello that OpenSSL can read")
        return Hello(raw, parser.server_name)


def _parsed(parser: ssl.SSLObject) -> bool:
    try:
        parser.do_handshake()
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True


def _take_name(parser: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> int:
    if isinstance(parser, _Parser):
        parser.seen = True
        parser.server_name = name
    # The name is all we want: an alert ends this handshake, and nothing of it is ever sent.
    return ssl.ALERT_DESCRIPTION_USER_CANCELLED


def _refused(what: str) -> EgressRefusedError:
    message = f"Port 443 wants a TLS hello that names the host; the client sent {what}."
    return refusal(Decision(False, "egress.sni_mismatch", message, ""))
