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
        self._asked: dict[str, list[float]] = {}  # one time for each start that has not come yet
        self.known = False

    def asked(self, name: str) -> None:
        """A start asks for it now, and may be on its way for a while."""
        self._names.add(name)
        self._asked[name] = [*self._late(name), asyncio.get_running_loop().time()]

    def came(self, name: str) -> None:
        """A start that asked for it is there, and gives it back by itself; others may be on their way."""
        if name in self._asked:
            self._asked[name] = self._late(name)[1:]

    def missed(self, name: str = "") -> None:
        """It could not be given back; without a name: some may be like this."""
        self.known = False
        if name:
            self._names.add(name)

    def found(self, names: Iterable[str]) -> None:
        """These have no volume; all were looked at. Who asked another launcher for one may be on the way."""
        for name in set(names) - self._names:
            self.asked(name)
        self.known = True

    def done(self, name: str) -> None:
        """It is gone, or has its volume."""
        self._names.discard(name)
        self._asked.pop(name, None)

    def all(self) -> tuple[str, ...]:
        """Each that is not done."""
        return tuple(sorted(self._names))

    def waits(self, name: str) -> bool:
        """Is no start on its way that asked for it?"""
        return not self._late(name)

    def _late(self, name: str) -> list[float]:
        now = asyncio.get_running_loop().time()
        return [asked for asked in self._asked.get(name, ()) if now < asked + _START_TIME]
