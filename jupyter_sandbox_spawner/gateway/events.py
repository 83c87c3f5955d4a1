"""What happened at the doors, kept in order on disk until control has read it?

Law: numbers only rise, also across a restart; a full spool drops its oldest lines and counts them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from ..errors import ConfigurationError
from ..models import Event
from ..wire import decode_json, encode_json

__all__ = ["Detail", "Spool"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

Detail = Mapping[str, str | int | float | bool | None]
_COMPACT_AFTER = 1000  # lines of the file that nobody needs any more before it is written anew


class Spool:
    """A bounded NDJSON file of events, and the same events in memory. One process writes it."""

    def __init__(self, path: str, limit: int = 20_000) -> None:
        self._path = Path(path)
        self._limit = limit
        self._events: deque[Event] = deque()
        self._seq = 0
        self.lost = 0
        self._stale = 0
        self._added = asyncio.Event()
        self._load()
        self._write_anew()
        self._file = self._path.open("ab", buffering=0)

    def append(self, now: datetime, kind: str, sandbox: str, user: str, server: str, detail: Detail) -> Event:
        """Add one event; it is in the file when this returns."""
        self._seq += 1
        event = Event(
            seq=self._seq, time=now, kind=kind, sandbox=sandbox, user=user, server=server, detail=dict(detail)
        )
        self._events.append(event)
        if len(self._events) > self._limit:
            self._events.popleft()
            self.lost += 1
            self._stale += 1
        try:
            self._file.write(encode_json(event) + b"\n")
        except OSError as error:
            # The event still reaches whoever polls; doors go on refusing when the disk is full.
            log.error("Event %s is not on disk: %s", event.seq, error.strerror)
        self._added.set()
        self._compact()
        return event

    async def after(self, seq: int, timeout: float) -> list[Event]:
        """Events above `seq`, at most 1000, oldest first; waits up to `timeout` seconds for the first."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not (found := self._since(seq)):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            self._added.clear()
            try:
                await asyncio.wait_for(self._added.wait(), left)
            except asyncio.TimeoutError:
                break
        return found

    def acknowledge(self, seq: int) -> None:
        """Forget events up to `seq`."""
        while self._events and self._events[0].seq <= seq:
            self._events.popleft()
            self._stale += 1
        self._compact()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _since(self, seq: int) -> list[Event]:
        if not self._events or self._events[-1].seq <= seq:
            return []
        start = max(0, seq - self._events[0].seq + 1)
        return [self._events[index] for index in range(start, min(start + 1000, len(self._events)))]

    def _compact(self) -> None:
        if self._stale < max(_COMPACT_AFTER, len(self._events)):
            return
        self._file.close()
        self._write_anew()
        self._file = self._path.open("ab", buffering=0)

    def _load(self) -> None:
        lines = self._path.read_bytes().splitlines() if self._path.exists() else []
        for number, line in enumerate(lines, 1):
            if number == 1 and line.startswith(b"#"):
                self._seq = int(line[1:])
                continue
            try:
                event = decode_json(Event, line)
            except ConfigurationError as error:
                # A line cut short by a crash is the last one; anything else is worth a look too.
                log.error("%s:%s is not an event and is left out: %s", self._path, number, error)
                continue
            self._events.append(event)
            self._seq = max(self._seq, event.seq)
        while len(self._events) > self._limit:
            self._events.popleft()

    def _write_anew(self) -> None:
        # The first line keeps the last number, so that it never starts over when all is acknowledged.
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(b"#%d\n" % self._seq)
            stream.writelines(encode_json(event) + b"\n" for event in self._events)
        os.replace(temporary, self._path)
        self._stale = 0
