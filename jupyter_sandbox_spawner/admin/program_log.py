"""Where does a program's output go? To a file of bounded size, and its last lines stay at hand.

Law: a full disk never stops the supervisor; the lines that could not be written are counted and reported.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["ProgramLog"]

_LARGEST = 8 << 20  # bytes of one file; one older file is kept beside it
_LINES = 20
_LONGEST = 64 << 10  # bytes kept of a line that does not end


class ProgramLog:
    """A stream as circus wants it: called with {"data": bytes}, opened and closed around a program's life."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0
        self._file: BinaryIO | None = None
        self._tail: deque[bytes] = deque(maxlen=_LINES)
        self._partial = b""

    def __call__(self, data: Mapping[str, Any]) -> None:
        chunk: bytes = data["data"]
        *lines, rest = (self._partial + chunk).split(b"\n")
        self._tail.extend(line[-_LONGEST:] for line in lines)
        self._partial = rest[-_LONGEST:]
        try:
            self._write(chunk)
        except OSError:
            self.lost += len(lines)

    def last_lines(self) -> list[str]:
        """The last lines, oldest first; an unfinished one counts."""
        lines = [*self._tail, self._partial] if self._partial else list(self._tail)
        return [line.decode(errors="replace") for line in lines[-_LINES:]]

    def begin(self) -> None:
        """The program was started again: its last lines are those of this start."""
        self._tail.clear()
        self._partial = b""

    def open(self) -> None:
        """Nothing to do: the file is opened by the first line."""

    def close(self) -> None:
        """Close the file; the last lines stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, chunk: bytes) -> None:
        if self._file is None:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            self._file = os.fdopen(descriptor, "ab", buffering=0)
        if self._file.tell() > _LARGEST:
            self.close()
            os.replace(self.path, self.path.with_name(self.path.name + ".1"))
            return self._write(chunk)
        self._file.write(chunk)
        return None
