"""How does a line reach the audit so that it is still there after a crash, and what if the disk is full?

Law: `write` returns when the lines are on disk. On a full disk security records go into space reserved for
them, and nobody is admitted until there is room again; denials wait for nothing and take no reserve.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import ProgramError
from ..rules.audit import Entry, line_of, seal, sign_head
from ..rules.list_query import AuditQuery
from ..serving import private_directory
from .audit_files import AuditPaths, Start, backwards, open_files
from .clock import Clock

__all__ = ["AuditLog"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SCAN_LINES = 100_000  # how far back one question about old lines reads


class AuditLog:
    """The one writer of an audit directory; use it as `async with`."""

    def __init__(self, directory: str, clock: Clock, reserve: int = 1 << 20, head_every: int = 100) -> None:
        self.paths = AuditPaths(Path(directory))
        self._clock = clock
        self._reserve = reserve
        self._head_every = head_every
        self._lock = asyncio.Lock()
        self._start: Start | None = None
        self._seq = 0
        self._prev = ""
        self._signed = 0
        self._last: dict[str, Any] | None = None
        self.trouble = ""

    async def __aenter__(self) -> AuditLog:
        private_directory(str(self.paths.directory))
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S.%f")
        self._start = await asyncio.to_thread(open_files, self.paths, stamp)
        self._seq, self._prev, self._signed = self._start.seq, self._start.prev, self._start.signed_seq
        for note in self._start.notes:
            log.error("Audit: %s %s", note.action, dict(note.detail))
        await asyncio.to_thread(self._keep_reserve)
        await self.write(*self._start.notes, Entry(actor="control", action="audit.opened", outcome="done"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.sign()
        start, self._start = self._start, None
        if start is not None:
            os.close(start.descriptor)
            os.close(start.heads_descriptor)

    async def write(self, *entries: Entry, security: bool = True) -> int:
        """Append and sync; the number of the last record.

        `security=False` (denials) never touches the reserve. Raises ProgramError `audit.full` or
        `audit.unwritable`; then nothing of these entries is in the file.
        """
        if not entries:
            return self._seq
        async with self._lock:
            await asyncio.to_thread(self._append, entries, security)
            if self._seq - self._signed >= self._head_every:
                await asyncio.to_thread(self._sign)
            return self._seq

    async def sign(self) -> None:
        """Sign a head over what was written since the last one."""
        async with self._lock:
            await asyncio.to_thread(self._sign)

    async def recover(self) -> None:
        """Is there room again? Then the reserve is restored and it is recorded."""
        if not self.trouble:
            return
        space = os.statvfs(self.paths.directory)
        if space.f_bavail * space.f_frsize < 2 * self._reserve:
            return
        was, self.trouble = self.trouble, ""
        await asyncio.to_thread(self._keep_reserve)
        await self.write(
            Entry(actor="control", action="audit.restored", outcome="done", detail={"after": was})
        )

    def check(self) -> None:
        """May anything be admitted? Raises ProgramError with the reason why not."""
        if self.trouble:
            raise _unwritable(self.trouble)

    async def lines(
        self, user: str | None = None, sandbox: str | None = None, limit: int = 100, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Records, newest first, of a user or sandbox; `before` is the number to continue under."""
        asked = AuditQuery(user=user or "", sandbox=sandbox or "", limit=min(max(limit, 1), 1000))
        return (await self.search(replace(asked, before=before)))[0]

    async def search(self, query: AuditQuery) -> tuple[list[dict[str, Any]], int | None]:
        """Records, newest first, and the number to continue under; None where there is nothing older.

        Reads back so far only at a time: there may be a number and no records.
        """
        return await asyncio.to_thread(self._search, query)

    def _search(self, query: AuditQuery) -> tuple[list[dict[str, Any]], int | None]:
        found: list[dict[str, Any]] = []
        words, last = query.words(), self._seq + 1
        # The lines' numbers follow one another, so those above `before` are passed over uncounted.
        above = 0 if query.before is None else max(self._seq - query.before, 0)
        for number, (_, line) in enumerate(backwards(self.paths.records)):
            if len(found) >= query.limit or number - above >= _SCAN_LINES:
                return found, last
            if number < above or not _may_be(line, words, number):
                continue
            try:
                record = json.loads(line)
            except ValueError:
                continue  # a line being written now; a broken one is what `audit verify` reports
            last, at = record["seq"], datetime.fromisoformat(record["time"].replace("Z", "+00:00"))
            if query.since is not None and at < query.since:
                return found, None
            is_within = query.until is None or at < query.until
            if is_within and (query.before is None or last < query.before) and query.takes(record):
                found.append(record)
        return found, None

    def _append(self, entries: Sequence[Entry], security: bool) -> None:
        start = self._opened()
        seq, prev, records = self._seq, self._prev, []
        now = self._clock.now()
        for entry in entries:
            seq += 1
            record = seal(entry, seq, now, prev)
            prev = record["hash"]
            records.append(record)
        raw = b"".join(line_of(record) for record in records)
        try:
            _write_whole(start.descriptor, raw)
        except OSError as error:
            self._trouble(error, now)
            if not (security and error.errno in _FULL and self._give_reserve()):
                raise _unwritable(self.trouble) from error
            self._append_again(start, raw)
        self._seq, self._prev, self._last = seq, prev, records[-1]

    def _append_again(self, start: Start, raw: bytes) -> None:
        try:
            _write_whole(start.descriptor, raw)
        except OSError as error:
            raise _unwritable(self.trouble) from error

    def _sign(self) -> None:
        start = self._opened()
        if self._last is None or self._signed == self._seq:
            return
        head = sign_head(self._last, start.key, self._clock.now())
        try:
            _write_whole(start.heads_descriptor, line_of(head))
        except OSError as error:
            self._trouble(error, self._clock.now())
            return
        self._signed = self._seq

    def _trouble(self, error: OSError, now: datetime) -> None:
        what = "its disk is full" if error.errno in _FULL else str(error.strerror)
        self.trouble = f"The audit cannot be written: {what} ({self.paths.directory})."
        log.error("%s Since %s; nobody is admitted until that is over.", self.trouble, now)

    def _keep_reserve(self) -> None:
        descriptor = os.open(self.paths.reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._reserve)
        except OSError as error:
            self._trouble(error, self._clock.now())
        finally:
            os.close(descriptor)

    def _give_reserve(self) -> bool:
        try:
            size = self.paths.reserve.stat().st_size
            # Piece by piece, so that denials of others cannot eat what the first record freed.
            os.truncate(self.paths.reserve, max(size - max(self._reserve // 16, 1 << 16), 0))
        except OSError:
            return False
        return size > 0

    def _opened(self) -> Start:
        if self._start is None:
            raise ProgramError("The audit is closed.", code="audit.closed")
        return self._start


def _may_be(line: bytes, words: Sequence[bytes], number: int) -> bool:
    """Worth reading? Now and then any line is, so that its number and time are known."""
    return number % 500 == 0 or all(word in line for word in words)


def _write_whole(descriptor: int, raw: bytes) -> None:
    """All bytes and a sync, or the file as it was and OSError."""
    end = os.fstat(descriptor).st_size
    try:
        view = memoryview(raw)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _unwritable(trouble: str) -> ProgramError:
    full = "disk is full" in trouble
    return ProgramError(
        trouble,
        code="audit.full" if full else "audit.unwritable",
        remedy="Ask your admin to make room there; servers start again by themselves then.",
        status=503,
    )
