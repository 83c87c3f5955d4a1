"""Of which sandboxes did a transaction write an event, or the end? Noted then, told when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["mark_changed", "noting"]

_changed: ContextVar[set[str] | None] = ContextVar("changed", default=None)


def mark_changed(sandbox: str) -> None:
    """Something its user may hear of is being written; no-op outside a question of the store."""
    found = _changed.get()
    if found is not None:
        found.add(sandbox)


@contextmanager
def noting() -> Iterator[set[str]]:
    """While it lasts, the set that `mark_changed` adds to."""
    found: set[str] = set()
    token = _changed.set(found)
    try:
        yield found
    finally:
        _changed.reset(token)
