"""What do others notice meanwhile? The hub's longest silence, and how long a cheap page of it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .cull_hub import FullHub
from .town import percentile

__all__ = ["Noticed", "noticing"]

_EVERY = 0.04  # seconds between two requests of the other clients


@dataclass
class Noticed:
    """Milliseconds: of each answer of the hub, and of each of `beside`; `stall` is what the hub itself saw,
    `stops` how many it did at once."""

    answers: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    stall: float = 0.0
    stops: int = 0

    @property
    def p50(self) -> float:
        """Of the hub's answers."""
        return percentile(self.answers, 0.5)

    @property
    def p99(self) -> float:
        """Of the hub's answers."""
        return percentile(self.answers, 0.99)


@asynccontextmanager
async def noticing(
    hub: FullHub, beside: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[Noticed]:
    """Ask the hub, and `beside`, many times while the block lasts."""
    noticed = Noticed()

    async def page() -> None:
        async with hub.session.get(f"{hub.url}/api/") as answer:
            await answer.read()

    async with hub.session.post(f"{hub.url}/bench/stall"):
        pass
    askers = [asyncio.create_task(_ask(page, noticed.answers))]
    if beside is not None:
        askers.append(asyncio.create_task(_ask(beside, noticed.beside)))
    try:
        yield noticed
    finally:
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        async with hub.session.delete(f"{hub.url}/bench/stall") as answer:
            told = await answer.json()
        noticed.stall, noticed.stops = told["gap"] * 1e3, told["stops"]


async def _ask(question: Callable[[], Awaitable[object]], took: list[float]) -> None:
    """Each is asked when it is due, however late the one before it is; at the end late ones are awaited."""

    async def timed() -> None:
        began = time.perf_counter()
        await question()
        took.append((time.perf_counter() - began) * 1e3)

    asked: set[asyncio.Task[None]] = set()
    try:
        while True:
            task = asyncio.create_task(timed())
            asked.add(task)
            task.add_done_callback(asked.discard)
            await asyncio.sleep(_EVERY)
    finally:
        await asyncio.gather(*asked)
