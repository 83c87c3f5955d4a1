"""Which connections of pods are carried now, and may one more be? By door, by pod, and of all together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from ..errors import RefusedError
from ..rules.pod_doors import DOORS, Room, is_room

__all__ = ["PodConnections"]


class PodConnections:
    """The tasks that carry, by sandbox; `room` is what all pods have together."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._tasks: dict[str, dict[asyncio.Task[None], str]] = {}
        self._all = 0

    def of(self, sandbox: str) -> int:
        """How many one has."""
        return len(self._tasks.get(sandbox, ()))

    def check(self, sandbox: str, door: str, pods: int) -> None:
        """Refuse one more where the door is full, or all others' pods (`pods` of them) need the room."""
        own = self._tasks.get(sandbox, {})
        if Counter(own.values())[door] >= DOORS[door]:
            raise _too_many(f"More than {DOORS[door]} connections of one sandbox at {door}.")
        if not is_room(len(own), self._all, pods, self._room):
            raise _too_many(f"All sandboxes have {self._all} connections, and this one its share of them.")

    @contextlib.contextmanager
    def hold(self, sandbox: str, door: str) -> Iterator[None]:
        """Count the running task as a connection of a pod, for as long as this is entered."""
        task = asyncio.current_task()
        if task is None:
            raise ConnectionAbortedError("no task carries this connection")
        held = self._tasks.setdefault(sandbox, {})
        held[task] = door
        self._all += 1
        try:
            yield
        finally:
            self._all -= 1
            held.pop(task, None)
            if not held and self._tasks.get(sandbox) is held:
                del self._tasks[sandbox]

    async def end(self, sandbox: str) -> None:
        """End all of one; returns when they have ended."""
        tasks = tuple(self._tasks.pop(sandbox, ()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _too_many(why: str) -> RefusedError:
    return RefusedError(why, code="pods.too_many", remedy="End some, or try again in a moment.", status=429)
