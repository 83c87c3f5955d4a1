"""When is it counted what each sandbox uses? Every minute, from outside, also after its end.

Law: what is counted is in the database before the next sandboxes are; a kill at any moment loses no more
than what the last readings of gone sandboxes, which the launcher keeps for a quarter of an hour, do not say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date, timedelta
from functools import partial

from ..models import Usage
from ..rules.usage import Grouping, Line, Portion, summed
from . import usage_records
from .parts import Parts
from .usage_records import Pass

__all__ = ["Accounting", "portions", "report"]


class Accounting:
    """Counts again and again; `days` is how many days are kept. `note` is told of all readings."""

    def __init__(
        self, parts: Parts, days: int, note: Callable[[Mapping[str, Usage]], None] = lambda found: None
    ) -> None:
        self._parts = parts
        self._days = days
        self._note = note

    async def step(self) -> None:
        """One pass, then a rest. Raises ProgramError where the launcher is away; the next pass makes up."""
        await self.count()
        await asyncio.sleep(self._parts.tuning.usage_every)

    async def count(self) -> None:
        """Bring every sandbox that runs, or ended since the last pass, up to now."""
        found = await self._parts.launcher.usages()
        self._note(found)
        now = self._parts.clock.now()
        since = await self._parts.store.run(usage_records.last_pass) or now
        readings = {sandbox: usage.cpu_seconds for sandbox, usage in found.items()}
        look = Pass(now=now, since=since, readings=readings)
        after = await self._bring_up(look, "")
        while after:
            after = await self._bring_up(look, after)
        keep_from = now.date() - timedelta(days=self._days)
        await self._parts.store.run(lambda db: usage_records.finish(db, now, keep_from))

    async def _bring_up(self, look: Pass, after: str) -> str:
        return await self._parts.store.run(lambda db: usage_records.bring_up(db, look, after))


async def report(
    parts: Parts, by: Grouping, days: tuple[date, date], user: str | None = None
) -> tuple[list[Line], Line, str]:
    """Lines, total and currency of the days from the first up to the second, which is not among them."""
    found = [portion async for _, some in portions(parts, by, days, user) for portion in some]
    prices = (await parts.terms.book()).prices
    lines, total = summed(found, by, prices)
    return lines, total, prices.currency


async def portions(
    parts: Parts, by: Grouping, days: tuple[date, date], user: str | None = None
) -> AsyncIterator[tuple[date, list[Portion]]]:
    """What was used, day by day, so that no question keeps an admission waiting for long."""
    first, end = days
    for number in range((end - first).days):
        day = first + timedelta(days=number)
        yield day, await parts.store.run(partial(usage_records.day_of, day=day, by=by, user=user))
