"""Is a line worth saying again? When it is new, and then once a minute for as long as it comes."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Repeats"]


class Repeats:
    """The lines that were said last, each with its time; `due` says whether one is said now.

    A line that has not come for as long is new again. At most `most` lines are remembered.
    """

    def __init__(self, every: float = 60.0, most: int = 64) -> None:
        """`every`: seconds between two times."""
        self._every = every
        self._most = most
        self._said: dict[Hashable, float] = {}

    def due(self, line: Hashable, now: float) -> bool:
        """Say it now? `line` may be what lines have in common that count as one; `now` in seconds of a clock
        that does not jump."""
        at = self._said.get(line)
        if at is not None and now - at < self._every:
            return False
        self._said.pop(line, None)
        self._said[line] = now
        while len(self._said) > self._most:
            del self._said[next(iter(self._said))]
        return True
