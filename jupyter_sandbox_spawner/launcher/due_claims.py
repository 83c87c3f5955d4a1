"""Which claims without a volume may have to be given back, because nobody did or could?

A start that is refused before there is a sandbox gives back nothing, nor does a launcher that was ended, nor
one that the cluster did not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

__all__ = ["DueClaims"]

_START_TIME = 300.0  # seconds from asking for a home until its sandbox is made; then nobody comes for it


class DueClaims:
    """Names of claims. `known` is false where all have to be looked at: at first, and after a failure."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._asked: dict[str, float] = {}
        self.known = False

    def asked(self, name: str) -> None:
        """A start asks for it now, and may be on its way for a while."""
        self._names.add(name)
        self._asked[name] = asyncio.get_running_loop().time()

    def missed(self, name: str = "") -> None:
        """It could not be given back; without a name: some may be like this."""
        self.known = False
        self._asked.pop(name, None)

    def found(self, names: Iterable[str]) -> None:
        """These have no volume; all were looked at."""
        self._names.update(names)
        self.known = True

    def done(self, name: str) -> None:
        """It is gone, or has its volume."""
        self._names.discard(name)
        self._asked.pop(name, None)

    def all(self) -> tuple[str, ...]:
        """Each that is not done."""
        return tuple(sorted(self._names))

    def waits(self, name: str) -> bool:
        """Has no start asked for it lately?"""
        asked = self._asked.get(name)
        return asked is None or asyncio.get_running_loop().time() >= asked + _START_TIME
