"""How is a flood of equal events kept to a few lines? The first is told at once, repeats once per window.

Law: a sandbox writes at most `_DIFFERENT` different lines in a window, whatever it invents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timezone

from .events import Detail, Spool

__all__ = ["Reporter"]

_WINDOW = 10.0  # seconds
_DIFFERENT = 64
_KEYS = ("host", "port", "code", "uid", "door", "claimed")


class Reporter:
    """Writes one sandbox's events into the spool."""

    def __init__(self, spool: Spool, sandbox: str, user: str, server: str) -> None:
        self._write: Callable[[str, Detail], object] = lambda kind, detail: spool.append(
            datetime.now(timezone.utc), kind, sandbox, user, server, detail
        )
        self._counts: dict[tuple[object, ...], int] = {}
        self._details: dict[tuple[object, ...], tuple[str, Detail]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def report(self, kind: str, detail: Detail, times: int = 1) -> None:
        """Tell of one event, or of so many; equal ones within the window are counted and told at its end."""
        key = (kind, *(detail.get(name) for name in _KEYS))
        if key not in self._counts and len(self._counts) >= _DIFFERENT:
            key = (kind, "more")
            detail = {"code": detail.get("code"), "host": "(many more)"}
        if key in self._counts:
            self._counts[key] += times
            self._details[key] = (kind, detail)
            return
        self._counts[key] = 0
        self._write(kind, {**detail, "count": times})
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WINDOW, self.flush)

    def flush(self) -> None:
        """Write the repeats counted so far and start a new window."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts, self._counts = self._counts, {}
        details, self._details = self._details, {}
        for key, count in counts.items():
            if count:
                kind, detail = details[key]
                self._write(kind, {**detail, "count": count})
