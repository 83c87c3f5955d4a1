"""Which sandboxes run, by one answer of the launcher for the polls of all servers?

Law: nothing counts as running that the launcher did not list within `BELIEVED` seconds, and the event of its
end takes it off at once and for good: no id is used twice. That one is not listed proves no end of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from ..errors import ProgramError

__all__ = ["BELIEVED", "Running"]

log = logging.getLogger("jupyter_sandbox_spawner.hub")
BELIEVED = 45.0  # seconds; the follower of deaths asks anew every 30
_SHARED = 2.0  # seconds in which nobody asks again for one that is not listed, or for a launcher that is away


class Running:
    """The list. `ask` gives the ids that are not over; `clock` is a steady one, in seconds."""

    def __init__(
        self, ask: Callable[[], Awaitable[frozenset[str]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._listed: frozenset[str] = frozenset()
        self._over: set[str] = set()
        self._asked = float("-inf")
        self._failed: tuple[float, ProgramError] | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def age(self) -> float:
        """Seconds since the list was asked for."""
        return self._clock() - self._asked

    def __contains__(self, sandbox: str) -> bool:
        return self.age <= BELIEVED and sandbox in self._listed and sandbox not in self._over

    def over(self, sandbox: str) -> None:
        """Its end was told, whatever a list that is on its way says."""
        self._over.add(sandbox)

    async def includes(self, sandbox: str) -> bool:
        """Does it run, as far as a list says that is young enough? Raises ProgramError where none is to be
        had."""
        if sandbox not in self and sandbox not in self._over and self.age > _SHARED:
            await self.look()
        return sandbox in self

    async def look(self) -> None:
        """Ask anew; who comes meanwhile, or right after a failure, shares the outcome."""
        if self._failed is not None and self._clock() - self._failed[0] <= _SHARED:
            raise self._failed[1].with_traceback(None)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._look(), name="sandboxes-running")
        # A poll that is given up must not take the answer from the others.
        await asyncio.shield(self._asking)

    async def _look(self) -> None:
        began = self._clock()
        try:
            listed = await self._ask()
        except ProgramError as error:
            if self._failed is None:
                log.warning("Which servers run is not known now: %s", error)
            self._failed = self._clock(), error
            raise
        finally:
            self._asking = None
        self._listed, self._asked, self._failed = listed, began, None
        # One that is not even listed needs no note of its end any more.
        self._over &= listed
