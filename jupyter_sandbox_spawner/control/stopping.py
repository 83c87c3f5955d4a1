"""How is a running sandbox ended so that its user can read why?

Law: the reason is recorded, then audited, then the hub is asked; the hub's own stop does the rest. Repeating
any step is harmless.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import Connection

from ..errors import AnswerError, ProgramError, UnreachableError
from ..rules.audit import Entry
from . import happenings, records, users
from .parts import Parts
from .records import SandboxRecord

__all__ = ["Stopper"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_NEWS = 2.0  # seconds; a stop waits for no browser


class Stopper:
    """Ends sandboxes and closes their records."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._asking: dict[str, asyncio.Task[bool]] = {}
        self._pending: dict[str, asyncio.Event] = {}  # the hub works on it

    async def stop(self, record: SandboxRecord, code: str, why: str, actor: str) -> bool:
        """Decide and ask; True when the hub says it is over. The first reason stays."""
        now = self._parts.clock.now()

        def decide(connection: Connection) -> bool:
            first = records.decide_stop(connection, record.id, code, why, actor, now)
            if first:
                happenings.add_event(connection, record.id, now, "stopping", {"code": code, "why": why})
            return first

        if await self._parts.store.run(decide):
            log.info("%s/%s is stopped: %s %s", record.user, record.server, code, why)
            await self._audit(record, "sandbox.stop", code, {"why": why}, actor)
            await self._tell_browsers(record.id, why)
        return await self.ask(record)

    async def ask(self, record: SandboxRecord) -> bool:
        """Ask the hub for the decided end; after the hub's patience the launcher is asked instead.

        While one asks, others get the same answer: a stop under way is not asked for twice.
        """
        asking = self._asking.get(record.id)
        if asking is None:
            asking = asyncio.create_task(self._ask(record))
            self._asking[record.id] = asking
            asking.add_done_callback(lambda _: self._asking.pop(record.id, None))
        return await asyncio.shield(asking)

    async def ended(self, sandbox: str) -> bool:
        """Where the hub works on it: wait for the end, as long as the hub's patience; else False at once."""
        pending = self._pending.get(sandbox)
        if pending is None:
            return False
        try:
            await asyncio.wait_for(pending.wait(), self._parts.tuning.hub_patience)
        except asyncio.TimeoutError:
            return False
        finally:
            self._pending.pop(sandbox, None)
        return True

    async def _ask(self, record: SandboxRecord) -> bool:
        current = await self._parts.store.run(lambda db: records.by_id(db, record.id))
        if current is None or not current.is_open:
            # The hub knows servers by name: asked now, it would end the one that its user has started since.
            return True
        try:
            done = await self._parts.hub.stop_server(record.user, record.server)
        except ProgramError as error:
            log.warning("%s/%s: the hub did not stop it: %s", record.user, record.server, error)
        else:
            return done or await self._is_over(record.id)
        current = await self._parts.store.run(lambda db: records.by_id(db, record.id))
        if current is None or current.stop_decided_at is None:
            return False
        waited = (self._parts.clock.now() - current.stop_decided_at).total_seconds()
        if waited < self._parts.tuning.hub_patience:
            return False
        await self.erase(record, "stop.without_hub")
        return True

    async def _is_over(self, sandbox: str) -> bool:
        """The hub works on it: wait for its word, unless that came before this."""
        self._pending.setdefault(sandbox, asyncio.Event())
        current = await self._parts.store.run(lambda db: records.by_id(db, sandbox))
        if current is not None and current.is_open:
            return False
        self._pending.pop(sandbox, None)
        return True

    async def erase(self, record: SandboxRecord, code: str) -> None:
        """Without the hub: stop and remove at the launcher, close the doors, close the record."""
        await self._audit(record, "sandbox.erase", code, {}, "control")
        await self.erase_unrecorded(record.id)
        await self.release(record, code, "It was ended without the hub.", None)

    async def _tell_browsers(self, sandbox: str, why: str) -> None:
        """From now on they read the reason; the hub's stop knows only that it was asked."""
        try:
            await asyncio.wait_for(self._parts.gateway.drain(sandbox, why), _NEWS)
        except (ProgramError, asyncio.TimeoutError) as error:
            log.info("%s: browsers do not read why it ends: %s", sandbox, error or "the gateway is slow")

    async def erase_unrecorded(self, sandbox: str) -> None:
        """Stop, remove, close doors, whatever of it exists; what does not exist is done already."""
        try:
            await self._parts.launcher.stop(sandbox, self._parts.tuning.stop_grace)
        except AnswerError as error:
            if error.code != "sandbox.unknown":
                raise
        await self._parts.launcher.remove(sandbox)
        try:
            await self._parts.gateway.close_sandbox(sandbox)
        except UnreachableError as error:
            log.warning("%s: its doors are closed later: %s", sandbox, error)

    async def release(
        self, record: SandboxRecord, code: str, why: str, exit_code: int | None, lines: str = ""
    ) -> bool:
        """Close the record; a decided reason stays. False when it was closed before.

        `lines`, the last ones of its log, are for its user: they are in no audit.
        """
        now = self._parts.clock.now()

        def close(connection: Connection) -> SandboxRecord | None:
            if not records.release(connection, record.id, code, why, now, exit_code):
                return None
            closed = records.by_id(connection, record.id) or record
            happenings.add_end(connection, closed, now, lines)
            return closed

        closed = await self._parts.store.run(close)
        if (pending := self._pending.pop(record.id, None)) is not None:
            pending.set()
        if closed is None:
            return False
        detail = {"why": closed.stop_why or "", "exit_code": exit_code}
        await self._audit(closed, "sandbox.released", closed.stop_code or code, detail, "control")
        return True

    async def forget_user(self, user: str) -> list[str]:
        """The user was deleted: close what is open, put the name away. Ids of all records of the name."""
        now = self._parts.clock.now()

        found = await self._parts.store.run(lambda db: users.put_away(db, user, now))
        entry = Entry(
            actor="hub", action="user.deleted", outcome="done", user=user, detail={"records": len(found)}
        )
        try:
            await self._parts.audit.write(entry)
        except ProgramError as error:
            log.error("%s: the deletion is not in the audit: %s", user, error)
        return [record.id for record in found]

    async def _audit(
        self, record: SandboxRecord, action: str, code: str, detail: dict[str, str | int | None], actor: str
    ) -> None:
        entry = Entry(
            actor=actor,
            action=action,
            outcome="decided" if action == "sandbox.stop" else "done",
            user=record.user,
            server=record.server,
            sandbox=record.id,
            code=code,
            policy_digest=record.profile_digest,
            detail=detail,
        )
        try:
            await self._parts.audit.write(entry)
        except ProgramError as error:
            # An end that was promised is not put off because a disk is full; the database has the reason.
            log.error("%s: %s is not in the audit: %s", record.id, action, error)
