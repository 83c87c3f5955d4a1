"""How does a sandbox get its boot document: once, from memory, and nobody else?

Law: that a document was handed over is on disk before its first byte leaves; it is never handed over twice.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone

from ..errors import BootError, ConfigurationError
from ..models import BootDocument
from ..wire import encode_json
from .stream import Stream, StreamLostError

__all__ = ["MAX_DOCUMENT", "BootDesk"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

MAX_DOCUMENT = 1 << 20
_SEND_TIMEOUT = 10.0  # seconds a reader may take for at most 1 MiB over a unix socket


class BootDesk:
    """Holds one document for one reader.

    `record` writes to disk that it was handed over; `report(kind, detail)` tells of second and foreign
    readers. A reader that comes before the document waits for it.
    """

    def __init__(
        self,
        booted: bool,
        record: Callable[[], Awaitable[None]],
        report: Callable[[str, dict[str, str | int]], None],
    ) -> None:
        self.booted = booted
        self.aborted = asyncio.Event()
        self._record = record
        self._report = report
        self._document: bytes | None = None
        self._reader: Stream | None = None
        self._changed = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None

    def offer(self, document: BootDocument) -> None:
        """Leave a document; refused once one was handed over or a foreign uid touched the door."""
        if self.aborted.is_set():
            raise BootError(
                "Another uid connected to the boot door; this start is aborted.",
                code="boot.foreign",
                remedy="Start the server again; the gateway's events name the uid.",
            )
        if self.booted:
            raise BootError("The boot document was already handed over.", code="boot.taken")
        raw = encode_json(document)
        if len(raw) > MAX_DOCUMENT:
            raise ConfigurationError(
                f"The boot document has {len(raw)} bytes, at most {MAX_DOCUMENT} are possible.",
                code="boot.too_large",
                remedy="Put less into the spawner's environment.",
            )
        left = (document.expires_at - datetime.now(timezone.utc)).total_seconds()
        if left <= 0:
            raise BootError(
                f"The boot document expired at {document.expires_at.isoformat()}.", code="boot.expired"
            )
        self.withdraw()
        self._document = raw
        self._expiry = asyncio.get_running_loop().call_later(left, self.withdraw)
        self._changed.set()

    def withdraw(self) -> None:
        """Forget the document and send a waiting reader away; no-op without one."""
        self._document = None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
            self._changed.set()

    def foreign(self, uid: int) -> None:
        """A uid that is not the sandbox's connected: before the hand-over this ends the start."""
        self._report("boot.foreign", {"uid": uid})
        if not self.booted:
            self.aborted.set()
            self.withdraw()
            self._changed.set()

    async def handle(self, connection: socket.socket) -> None:
        """Serve one connection of the boot door; anyone but the first reader gets end of file at once."""
        stream = Stream()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, connection)
        try:
            if self.booted or self._reader is not None or self.aborted.is_set():
                self._report("boot.second_reader", {})
                return
            self._reader = stream
            try:
                await self._serve(stream)
            finally:
                self._reader = None
        finally:
            await stream.finish(_SEND_TIMEOUT)

    async def _serve(self, stream: Stream) -> None:
        stream.on_gone = self._changed.set
        if self._document is None:
            if not stream.ended:  # on uvloop a reader that left at once is gone before it is asked
                self._changed.clear()
                await self._changed.wait()
            if stream.ended or self._document is None:
                return
        document = self._document
        # Memory first: whatever happens from here on, these bytes have no second reader.
        self.booted = True
        self.withdraw()
        await self._record()
        try:
            stream.write(document)
            await stream.drain(_SEND_TIMEOUT)
        except (StreamLostError, TimeoutError):
            log.warning("The reader of a boot document left before it had all of it.")
