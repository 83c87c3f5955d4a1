"""Who has connected and not yet said who it is? Counted by address, and within bounds.

Law: where all places are taken the newcomer gets one, from the address that holds most: nobody keeps others
out by many addresses, and whoever has few waits for nothing.
"""

from __future__ import annotations

import asyncio

__all__ = ["Nameless"]

_Task = asyncio.Task[None]


class Nameless:
    """Tasks by address, at most `of_address` of one and `of_all` together."""

    def __init__(self, of_address: int, of_all: int) -> None:
        self._of_address, self._of_all = of_address, of_all
        self._tasks: dict[str, dict[_Task, None]] = {}  # oldest first
        self._count = 0

    def is_full(self, address: str) -> bool:
        """Has this address all that one may have?"""
        return len(self._tasks.get(address, ())) >= self._of_address

    def add(self, address: str, task: _Task) -> None:
        """One more of an address."""
        self._tasks.setdefault(address, {})[task] = None
        self._count += 1

    def remove(self, address: str, task: _Task) -> None:
        """It has said who it is, or is over; no-op where it was taken out."""
        held = self._tasks.get(address, {})
        if task in held:
            del held[task]
            self._count -= 1
        if not held:
            self._tasks.pop(address, None)

    def take_out(self) -> tuple[str, _Task] | None:
        """The oldest of the address that holds most, where there is no place left; it counts no more."""
        if self._count < self._of_all:
            return None
        address = max(self._tasks, key=lambda name: len(self._tasks[name]))
        task = next(iter(self._tasks[address]))
        self.remove(address, task)
        return address, task
