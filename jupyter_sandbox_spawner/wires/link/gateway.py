"""How does the link speak with the gateway's wires? It buys its key with the ticket, then opens doors.

Law: the link makes its key itself and only its digest is sent, so that no answer holds it, and an answer that
is lost can be asked for again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import ssl
import time
from pathlib import Path

from ..dial import Answer, AwayError, Far, ask, dial
from ..stream import TlsEnd
from .files import ticket_of

__all__ = ["Gateway", "TicketRefusedError", "UntrustedError"]

log = logging.getLogger("link")
_AT_ONCE = 32  # handshakes; further connections wait for their turn
_FIRST, _LAST = 0.05, 2.0  # seconds between tries
_SAY_EVERY = 10.0
# OpenSSL's reasons. ref: openssl/x509_vfy.h
_VERIFIED = {
    9: "certificates.clock",
    10: "certificates.expired",
    **dict.fromkeys((62, 64), "certificates.name"),
    **dict.fromkeys((2, 18, 19, 20, 21), "certificates.foreign"),
}
_FINAL = (401, 403, 407)  # what is not known or not allowed here; all else may be otherwise in a moment


class TicketRefusedError(Exception):
    """The gateway's wires will not take this pod; its message says why."""


class UntrustedError(Exception):
    """Whoever answers as the gateway's wires is not trusted; its message says why, by its code."""


class Gateway:
    """The gateway's wires, as one sandbox's link sees them. `secret` holds `ticket` and `ca.pem`."""

    def __init__(self, sandbox: str, name: str, address: tuple[str, int], secret: str, key: str) -> None:
        self._sandbox, self._secret, self._key = sandbox, secret, key
        self._far = Far(*address, name, self._context)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._trusted: tuple[int, ssl.SSLContext] | None = None
        self._said = -_SAY_EVERY
        self.bought = asyncio.Event()

    async def buy(self, first: bool = False) -> None:
        """Let the ticket buy the key; tries again while nobody answers or our address is not known yet.

        `first`: no server runs behind this link yet. Then it raises UntrustedError where the gateway shows a
        certificate that does not hold here; later it waits for a gateway that is mended. Who does not answer
        is not judged: networks let a new pod out late.
        """
        wait = _FIRST
        while True:
            try:
                answer = await self._offer()
            except OSError as error:
                if first and isinstance(error, ssl.SSLCertVerificationError):
                    raise self._untrusted(error) from error
                self._say("The gateway is not reached yet: %s", error)
            else:
                if answer.status == 204:
                    self.bought.set()
                    return
                if answer.status in _FINAL:
                    raise TicketRefusedError(f"{answer.code}: {answer.document.get('message', '')}")
                self._say("The gateway lets us wait: %s", answer.code)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LAST)

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> UntrustedError:
        code = _VERIFIED.get(error.verify_code, "certificates.refused")
        if code == "certificates.expired" and not self._has_authority():
            code = "certificates.authority_expired"
        return UntrustedError(f"{code}: {error.verify_message}")

    async def open(self, door: str) -> TlsEnd | None:
        """A connection to a door; None where it is refused. OSError where it may be tried again."""
        head = f"CONNECT {door}.sandbox:443 HTTP/1.1\r\nHost: {door}.sandbox\r\n"
        head += f"Proxy-Authorization: {self._basic(self._key)}\r\n\r\n"
        async with self._turns:
            end = await dial(self._far)
            try:
                answer = await ask(end, head.encode(), self._far.answer_time)
            except BaseException:
                end.close()
                raise
        if answer.status == 200:
            return end
        end.close()
        if answer.status not in _FINAL:
            raise AwayError(answer.code)
        self._say("The door %s is refused: %s", door, answer.code)
        return None

    async def _offer(self) -> Answer:
        body = json.dumps({"key_sha256": hashlib.sha256(self._key.encode()).hexdigest()})
        head = f"POST /ticket HTTP/1.1\r\nHost: pods.sandbox\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: {self._basic(ticket_of(self._secret))}\r\n\r\n{body}"
        end = await dial(self._far)
        try:
            return await ask(end, head.encode(), self._far.answer_time)
        finally:
            end.close()

    def _basic(self, secret: str) -> str:
        return "Basic " + base64.b64encode(f"{self._sandbox}:{secret}".encode()).decode()

    def _context(self) -> ssl.SSLContext:
        """The authorities as they are now: they may change while the pod runs."""
        path = Path(self._secret, "ca.pem")
        stamp = os.stat(path).st_mtime_ns
        if self._trusted is None or self._trusted[0] != stamp:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            context.load_verify_locations(str(path))
            self._trusted = (stamp, context)
        return self._trusted[1]

    def _has_authority(self) -> bool:
        """Has one of the authorities not ended yet?"""
        ends = [str(known["notAfter"]) for known in self._context().get_ca_certs()]
        return any(ssl.cert_time_to_seconds(end) > time.time() for end in ends)

    def _say(self, text: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY:
            self._said = now
            log.warning(text, *arguments)
