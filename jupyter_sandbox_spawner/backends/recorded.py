"""What do backends share whose sandboxes have records? The verbs that look into them.

Law: a status is written before it is told, and told before anybody acts on it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Generic, Protocol, TypeVar

from ..errors import BackendError, IsolationError
from ..leftovers import Leftover, LeftoverKind
from ..models import Doors, Event, Handle, InventoryItem, SandboxSpec, Status
from ..names import LABEL_OWNER
from .base import Backend, Overlay, check_level, homes_of, require_possible, require_runtime, unknown_sandbox
from .events import EventLog
from .records import Record, Records

__all__ = ["BundledSandbox", "RecordedBackend", "RecordedSandbox", "Remains", "Tell", "refuse_links"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
Tell = Callable[[SandboxSpec, Status], Awaitable[None]]


class RecordedSandbox:
    """One recorded sandbox; `lock` makes its verbs take turns, `over` is set once it has ended."""

    def __init__(self, record: Record, tell: Tell) -> None:
        self.record = record
        self.over = asyncio.Event()
        self.lock = asyncio.Lock()
        self._tell = tell

    @property
    def id(self) -> str:
        """The sandbox's id."""
        return self.record.spec.id

    @abstractmethod
    async def stop(self, grace: float) -> Status:
        """TERM, wait, KILL, verify that no process is left."""

    @abstractmethod
    async def remove(self) -> None:
        """Erase everything of it but the user's home, and verify it."""

    @abstractmethod
    async def _write(self) -> None:
        """Keep the record where the next launcher finds it. Raises BackendError."""

    async def close(self) -> None:
        """Stop watching; the sandbox goes on."""

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    async def _set(self, **changes: Any) -> None:
        before, now = self.record, replace(self.record, **changes)
        self.record = now
        try:
            await self._write()
        except BackendError as error:
            if now.phase not in ("stopping", "over"):
                self.record = before
                raise
            # Ends come on a full disk too; a launcher that reads the older record looks at what is true.
            log.error("%s: %s is not recorded: %s", self.id, now.phase, error)
        # Where writing takes a while, what is true by then has been told already.
        if self.record is now and now.status != before.status:
            log.info("%s of %s: %s %s", self.id, now.spec.user, now.phase, now.reason)
            await self._tell(now.spec, now.status)


class BundledSandbox(RecordedSandbox):
    """One whose record lies in a directory of its own, its bundle."""

    def __init__(self, records: Records, record: Record, tell: Tell) -> None:
        super().__init__(record, tell)
        self.bundle = records.bundle(record.spec.id)
        self._records = records

    async def _write(self) -> None:
        """See RecordedSandbox._write."""
        self._records.write(self.record)


S = TypeVar("S", bound=RecordedSandbox)


class Remains(Protocol):
    """What a backend's host has of sandboxes that the backend does not know."""

    async def find(self) -> tuple[Leftover, ...]:
        """All of it; nothing is changed."""

    async def clear(self, item: Leftover) -> None:
        """Take away what was just found."""


class RecordedBackend(Backend, Generic[S]):
    """The part of a backend that is the same whoever runs the processes."""

    _remains: Remains

    def __init__(self) -> None:
        self._sandboxes: dict[str, S] = {}
        self._events = EventLog(datetime.now(timezone.utc))

    @abstractmethod
    async def _create(self, record: Record) -> None:
        """Render, check and record a new sandbox; tell its first status."""

    async def create(self, spec: SandboxSpec, doors: Doors, overlay: Overlay) -> Handle:
        """See Backend.create."""
        known = self._sandboxes.get(spec.id)
        if known is None:
            capabilities = await self.capabilities()
            require_possible(capabilities)
            require_runtime(spec, capabilities)
            check_level(spec, capabilities)
            await self._create(Record(spec=spec, doors=doors, overlay=overlay))
        elif (known.record.spec, known.record.doors, known.record.overlay) != (spec, doors, overlay):
            raise BackendError(f"The id {spec.id} names another sandbox.", code="sandbox.id_taken")
        return Handle(id=spec.id, host_uid=spec.host_uid)

    async def status(self, sandbox_id: str) -> Status | None:
        """See Backend.status."""
        sandbox = self._sandboxes.get(sandbox_id)
        return sandbox.record.status if sandbox else None

    async def stop(self, sandbox_id: str, grace: float) -> Status:
        """See Backend.stop."""
        sandbox = self._find(sandbox_id)
        async with sandbox.lock:
            return await sandbox.stop(grace)

    async def remove(self, sandbox_id: str) -> None:
        """See Backend.remove."""
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        async with sandbox.lock:
            if self._sandboxes.get(sandbox_id) is sandbox:
                await sandbox.remove()
                await sandbox.close()
                del self._sandboxes[sandbox_id]

    async def ended(self, sandbox_id: str, timeout: float) -> Status | None:
        """See Backend.ended."""
        sandbox = self._find(sandbox_id)
        try:
            await asyncio.wait_for(sandbox.over.wait(), timeout)
        except asyncio.TimeoutError:
            return None
        return sandbox.record.status

    async def inventory(self) -> tuple[InventoryItem, ...]:
        """See Backend.inventory."""
        return tuple(
            InventoryItem(
                id=sandbox.id,
                user=sandbox.record.spec.user,
                server=sandbox.record.spec.server,
                status=sandbox.record.status,
                zone=sandbox.record.spec.zone,
                labels={
                    "owner": LABEL_OWNER,
                    "profile": sandbox.record.spec.profile,
                    "gpus": " ".join(sandbox.record.spec.gpu_devices),
                    "ttl": str(sandbox.record.spec.ttl or ""),
                },
            )
            for sandbox in self._sandboxes.values()
        )

    async def homes(self) -> frozenset[str]:
        """See Backend.homes."""
        return homes_of(sandbox.record.spec for sandbox in self._sandboxes.values())

    async def leftovers(self) -> tuple[Leftover, ...]:
        """See Backend.leftovers."""
        return await self._remains.find()

    async def clear(self, kind: LeftoverKind, name: str) -> bool:
        """See Backend.clear."""
        found = [item for item in await self._remains.find() if (item.kind, item.name) == (kind, name)]
        for item in found:
            log.warning("Left over: the %s %s of %s goes", kind, name, item.sandbox or "nobody")
            await self._remains.clear(item)
        return bool(found)

    async def events(self, after: int, timeout: float) -> tuple[Event, ...]:
        """See Backend.events."""
        return await self._events.wait(after, timeout)

    def _find(self, sandbox_id: str) -> S:
        if sandbox_id not in self._sandboxes:
            raise unknown_sandbox(sandbox_id)
        return self._sandboxes[sandbox_id]


def refuse_links(record: Record) -> None:
    """The doors and the mounts must still be directories of their own, not links to somebody else's."""
    for source in (record.doors.directory, *(mount.source for mount in record.spec.mounts)):
        if os.path.realpath(source) != os.path.normpath(source) or not os.path.isdir(source):
            raise IsolationError(
                f"{source} is not a directory or leads elsewhere.",
                code="isolation.mount_source",
                remedy="Give run_dir and state_dir as paths without symbolic links.",
            )
