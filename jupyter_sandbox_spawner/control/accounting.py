"""When is it counted what each sandbox uses? Every minute, from outside, also after its end.

Law: what is counted is in the database before the next sandboxes are; a kill at any moment loses no more
than what the last readings of gone sandboxes, which the launcher keeps for a quarter of an hour, do not say.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import date, timedelta
from functools import partial

from ..errors import ProgramError
from ..rules.usage import Grouping, Line, Portion, summed
from . import usage_records
from .parts import Parts
from .usage_records import Page, Pass

__all__ = ["Accounting", "report"]

log = logging.getLogger("jupyter_sandbox_spawner.control")


class Accounting:
    """Counts again and again; `days` is how many days are kept."""

    def __init__(self, parts: Parts, days: int) -> None:
        self._parts = parts
        self._days = days
        self._kinds: dict[str, str] = {}

    async def step(self) -> None:
        """One pass, then a rest. Raises ProgramError where the launcher is away; the next pass makes up."""
        await self.count()
        await asyncio.sleep(self._parts.tuning.usage_every)

    async def count(self) -> None:
        """Bring every sandbox that runs, or ended since the last pass, up to now."""
        found = await self._parts.launcher.usages()
        now = self._parts.clock.now()
        since = await self._parts.store.run(usage_records.last_pass) or now
        readings = {sandbox: usage.cpu_seconds for sandbox, usage in found.items()}
        look = Pass(now=now, since=since, readings=readings, kinds=self._kinds)
        after = ""
        while True:
            page = await self._bring_up(look, after)
            if page.unknown and await self._learn_kinds():
                page = await self._bring_up(look, after)
            after = page.after
            if not after:
                break
        keep_from = now.date() - timedelta(days=self._days)
        await self._parts.store.run(lambda db: usage_records.finish(db, now, keep_from))

    async def _bring_up(self, look: Pass, after: str) -> Page:
        return await self._parts.store.run(lambda db: usage_records.bring_up(db, look, after))

    async def _learn_kinds(self) -> bool:
        """Ask for the kinds of devices; did we learn anything?"""
        try:
            inventory = await self._parts.launcher.gpus()
        except ProgramError as error:
            log.warning("The kinds of GPUs are not known now: %s", error)
            return False
        found = {device.id: device.kind for device in inventory.devices}
        news = not found.items() <= self._kinds.items()
        self._kinds.update(found)
        return news


async def report(
    parts: Parts, by: Grouping, days: tuple[date, date], user: str | None = None
) -> tuple[list[Line], Line, str]:
    """Lines, total and currency of the days from the first up to the second, which is not among them.

    Day by day, so that no question keeps an admission waiting for long.
    """
    found: list[Portion] = []
    first, end = days
    for number in range((end - first).days):
        day = first + timedelta(days=number)
        found += await parts.store.run(partial(usage_records.day_of, day=day, by=by, user=user))
    prices = (await parts.terms.book()).prices
    lines, total = summed(found, by, prices)
    return lines, total, prices.currency
