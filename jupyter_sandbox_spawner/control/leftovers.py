"""How does control find and clear what is left over of sandboxes at the launcher, the gateway and itself?

Law: what is decided is pure (rules/leftovers.py); who does not answer is named, and nothing of theirs
is touched; each deed is audited before it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from ..errors import ProgramError
from ..leftovers import Leftover
from ..rules.audit import Entry
from ..rules.leftovers import Judged, Known, Source, Step, judge
from . import ledger, records, waiting
from .parts import Parts
from .tables import sandboxes
from .tables_ledger import allocations, holdings, tickets

__all__ = ["LeftoverKeeper"]

log = logging.getLogger("jupyter_sandbox_spawner.control")


class LeftoverKeeper:
    """One look at a time; it remembers since when each leftover has been seen."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sightings: Mapping[tuple[str, str, str], datetime] = {}

    async def look(self, urgent: bool = False, users: bool = False) -> tuple[Judged, frozenset[str]]:
        """What is left over and what becomes of it; which sources did not answer.

        `users`: the hub's users are asked for, too, which costs the hub a page for each 200 of them.
        """
        silent: set[str] = set()
        names = await self._users(silent) if users else None
        found: list[tuple[Source, Leftover]] = []
        alive: set[str] = set()
        try:
            found += [("launcher", item) for item in await self._parts.launcher.leftovers(users)]
            alive |= {item.id for item in await self._parts.launcher.inventory()}
        except ProgramError as error:
            _missing("launcher", error, silent)
        try:
            found += [("gateway", item) for item in await self._parts.gateway.leftovers()]
        except ProgramError as error:
            _missing("gateway", error, silent)
        if "launcher" in silent:
            found = []  # what lives is not known; a device of what may live is given to nobody
        # The database is read last: what it admitted meanwhile is no leftover.
        known, own = await self._parts.store.run(lambda db: _look(db, {item.sandbox for _, item in found}))
        if "launcher" in silent:
            own = [item for item in own if item.kind != "allocation"]
        everything = Known(alive=known.alive | alive, recorded=known.recorded, users=names)
        now, share = self._parts.clock.now(), self._parts.tuning.patience
        every: list[tuple[Source, Leftover]] = [*found, *(("control", item) for item in own)]
        judged = judge(now, every, everything, self._sightings, urgent, share)
        self._sightings = judged.sightings
        return judged, frozenset(silent)

    async def clear(self, steps: Iterable[Step]) -> None:
        """Do what is due; what does not work is tried again at the next pass."""
        for step in steps:
            entry = Entry(
                actor="control",
                action=f"leftover.{step.deed}",
                outcome="decided",
                sandbox=step.item.sandbox,
                code=f"leftover.{step.item.kind}",
                detail={"why": step.why, "name": step.item.name, "of": step.source},
            )
            log.warning("Left over at %s: %s %s: %s", step.source, step.item.kind, step.item.name, step.why)
            try:
                await self._parts.audit.write(entry)
                await self._clear(step)
            except ProgramError as error:
                log.error("%s %s stays for now: %s", step.item.kind, step.item.name, error)

    async def _clear(self, step: Step) -> None:
        item, now = step.item, self._parts.clock.now()
        if step.source == "launcher":
            await self._parts.launcher.clear(item)
        elif step.source == "gateway":
            await self._parts.gateway.close_sandbox(item.sandbox)
        elif item.kind == "ticket":
            await self._parts.store.run(lambda db: waiting.drop(db, int(item.name)))
        else:
            await self._parts.store.run(lambda db: _give_back(db, item.sandbox, now))

    async def _users(self, silent: set[str]) -> frozenset[str] | None:
        try:
            return await self._parts.hub.users()
        except ProgramError as error:
            _missing("hub", error, silent)
            return None


def _missing(source: str, error: ProgramError, silent: set[str]) -> None:
    log.warning("The leftovers of the %s are missing from this pass: %s", source, error)
    silent.add(source)


def _give_back(connection: Connection, sandbox: str, now: datetime) -> None:
    """Unless it is open after all."""
    record = records.by_id(connection, sandbox)
    if record is None or not record.is_open:
        ledger.end(connection, sandbox, now)


def _look(connection: Connection, asked: Iterable[str]) -> tuple[Known, list[Leftover]]:
    opened = frozenset(record.id for record in records.all_open(connection))
    recorded = {record.id for record in records.by_ids(connection, sorted({*asked} - {""}))}
    own = [*_held(connection, opened), *_tickets(connection)]
    return Known(alive=opened, recorded=opened | recorded), own


def _held(connection: Connection, opened: frozenset[str]) -> list[Leftover]:
    rows: list[Any] = []
    for table in (allocations, holdings):
        query = select(table.c.sandbox, table.c.since).where(table.c.until.is_(None))
        rows += connection.execute(query).all()
    owners = {
        row.id: row.user
        for row in connection.execute(
            select(sandboxes.c.id, sandboxes.c.user).where(
                sandboxes.c.id.in_(sorted({row.sandbox for row in rows} - opened)[:500])
            )
        )
    }
    since = {row.sandbox: row.since for row in rows if row.sandbox not in opened}
    return [
        Leftover(kind="allocation", name=name, sandbox=name, user=owners.get(name, ""), since=at)
        for name, at in sorted(since.items())
    ]


def _tickets(connection: Connection) -> list[Leftover]:
    found = connection.execute(select(tickets.c.id, tickets.c.user, tickets.c.at)).all()
    return [Leftover(kind="ticket", name=str(row.id), user=row.user, since=row.at) for row in found]
