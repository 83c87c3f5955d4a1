"""What do other catalogues say about the file's datasets? Asked by plug-ins, now and then, in the background.

Law: a catalogue can raise a tag and never lower one; while it fails, what it said last holds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from sqlalchemy import Connection

from ..rules.audit import Entry
from . import data_records
from .parts import Parts

__all__ = ["GROUP", "Catalogue", "Catalogues", "names"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
GROUP = "jupyter_sandbox_spawner.catalogues"
# What an entry point names: called without arguments, it gives tags by `id` or `id@version`.
Catalogue = Callable[[], Mapping[str, Sequence[str]]]
_EVERY = 60.0
_PATIENCE = 30.0
_MOST = 100_000


@lru_cache(maxsize=1)
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def names() -> tuple[str, ...]:
    """The catalogues that are installed."""
    return tuple(point.name for point in _installed())


class Catalogues:
    """Asks each installed catalogue; `step` is one round, and waits for the next."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._running: dict[str, asyncio.Future[dict[str, list[str]]]] = {}
        self.trouble: dict[str, str] = {}

    async def step(self) -> None:
        """Ask all of them, remember good answers, and record what the file says by itself, too."""
        for point in _installed():
            await self._ask(point)
        book, now = await self._parts.terms.book(), self._parts.clock.now()

        def record(connection: Connection) -> list[str]:
            return data_records.record_file(connection, book.datasets, now)

        for name in await self._parts.store.run(record):
            log.info("%s: its tag is recorded; lowering it takes two people from now on.", name)
        await asyncio.sleep(_EVERY)

    async def _ask(self, point: EntryPoint) -> None:
        try:
            said = await self._answer(point)
        except Exception as error:  # noqa: BLE001 - as it says
            # Somebody else's code; whatever it raises, what it said last holds.
            await self._alarm(point.name, f"{type(error).__name__}: {error}"[:300])
            return
        now = self._parts.clock.now()
        await self._parts.store.run(lambda db: data_records.remember_import(db, point.name, said, now))
        if self.trouble.pop(point.name, ""):
            log.info("The catalogue %s answers again.", point.name)

    async def _answer(self, point: EntryPoint) -> dict[str, list[str]]:
        """Raises whatever the plug-in raises, TimeoutError while it hangs."""
        running = self._running.get(point.name)
        if running is None:
            running = self._running[point.name] = _begun(point)
        try:
            # A hung call stays the only one: shielded, and awaited again in the next round.
            return await asyncio.wait_for(asyncio.shield(running), _PATIENCE)
        finally:
            if running.done():
                del self._running[point.name]

    async def _alarm(self, name: str, why: str) -> None:
        if name in self.trouble:
            return
        self.trouble[name] = why
        log.error("The catalogue %s does not answer (%s); what it said last holds.", name, why)
        await self._parts.audit.write(
            Entry(
                actor="control",
                action="catalogue.failed",
                outcome="failed",
                code="catalogue.failed",
                detail={"catalogue": name, "why": why},
            )
        )


def _begun(point: EntryPoint) -> asyncio.Future[dict[str, list[str]]]:
    """The call in a thread of its own, which does not keep control from ending while it hangs."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[dict[str, list[str]]] = loop.create_future()

    def settle(said: dict[str, list[str]] | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        elif said is not None:
            future.set_result(said)

    def call() -> None:
        try:
            loop.call_soon_threadsafe(settle, _called(point), None)
        except Exception as error:  # noqa: BLE001 - somebody else's code; told to who waits
            loop.call_soon_threadsafe(settle, None, error)

    threading.Thread(target=call, name=f"catalogue {point.name}", daemon=True).start()
    return future


def _called(point: EntryPoint) -> dict[str, list[str]]:
    """The plug-in's answer in our shape. Raises ValueError for another."""
    catalogue: Catalogue = point.load()
    said = catalogue()
    if not isinstance(said, Mapping) or len(said) > _MOST:
        raise ValueError("the answer is no mapping of tags by dataset, or too large")
    found: dict[str, list[str]] = {}
    for name, words in said.items():
        if not isinstance(name, str) or isinstance(words, str) or not isinstance(words, Sequence):
            raise ValueError(f"{str(name)[:80]!r} has no list of tags")
        found[name] = [str(word)[:80] for word in words]
    return found
