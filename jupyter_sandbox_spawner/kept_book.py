"""What does the admin's file say now? It is read again when it changes, and the last good reading stays.

Law: a reading takes the place of another as a whole or not at all; an edit with an error changes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from .errors import ConfigurationError
from .rules.rulebook import Rulebook
from .rules.rulebook_file import parse_rulebook

__all__ = ["BookState", "KeptBook"]

log = logging.getLogger("jupyter_sandbox_spawner.rulebook")
# An editor may still be writing; half a file can be a good list of fewer profiles.
_SETTLED = 200_000_000  # nanoseconds
_Signature = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class BookState:
    """What is in force since when, and `problem`: why the file as it is now is not; "" where it is.

    `book` is None where no reading was good yet; `digest` is that of its text, `refused` that of the text
    that has the problem.
    """

    file: str
    book: Rulebook | None = None
    digest: str = ""
    loaded_at: datetime | None = None
    problem: str = ""
    refused: str = ""


class KeptBook:
    """One file's rule book. `current` looks whether the file changed; it may be called from any thread.

    `environments`: names of user images that exist; empty: not checked.
    """

    def __init__(self, file: str, environments: Collection[str] = ()) -> None:
        self._environments = tuple(environments)
        self._state = BookState(file=file)
        self._signature: _Signature | None = None
        self._lock = threading.Lock()

    def current(self) -> BookState:
        """The state now, after a look at the file."""
        with self._lock:
            self._look()
            return self._state

    def _look(self) -> None:
        file = self._state.file
        try:
            with Path(file).open("rb") as stream:
                signature = _signature(os.fstat(stream.fileno()))
                if signature == self._signature or (self._state.book and _is_fresh(signature)):
                    return
                raw = stream.read()
                if _signature(os.fstat(stream.fileno())) != signature:
                    return  # it was written while it was read
        except OSError as error:
            self._signature = None
            self._refuse(f"{file} cannot be read: {error.strerror}.", "")
            return
        self._signature = signature
        self._take(raw)

    def _take(self, raw: bytes) -> None:
        digest = hashlib.sha256(raw).hexdigest()
        state = self._state
        if state.book is not None and digest == state.digest:
            self._state = BookState(
                file=state.file, book=state.book, digest=digest, loaded_at=state.loaded_at
            )
            return
        try:
            book = parse_rulebook(raw.decode("utf-8"), state.file, self._environments)
        except UnicodeDecodeError:
            self._refuse(f"{state.file} cannot be read: it is not UTF-8 text.", digest)
        except ConfigurationError as error:
            self._refuse(str(error), digest)
        else:
            now = datetime.now(timezone.utc)
            self._state = BookState(file=state.file, book=book, digest=digest, loaded_at=now)

    def _refuse(self, problem: str, refused: str) -> None:
        state = self._state
        if (problem, refused) == (state.problem, state.refused):
            return
        kept = "what was read before stays in force" if state.book else "there is nothing to go by"
        log.error("The profiles are refused, %s: %s", kept, problem)
        self._state = BookState(
            file=state.file,
            book=state.book,
            digest=state.digest,
            loaded_at=state.loaded_at,
            problem=problem,
            refused=refused,
        )


def _signature(found: os.stat_result) -> _Signature:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _is_fresh(signature: _Signature) -> bool:
    age = time.time_ns() - max(signature[-2:])
    return 0 <= age < _SETTLED
