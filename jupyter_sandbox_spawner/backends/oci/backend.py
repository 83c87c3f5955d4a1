"""How does the local backend act? Render, check, record, call the runtime; sandboxes outlive the launcher."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ...errors import BackendError, IsolationError, SandboxError
from ...models import Capabilities, Doors, Event, Handle, InventoryItem, SandboxSpec, Status, Usage
from ...names import LABEL_OWNER, is_sandbox_id
from ..base import Backend, Overlay, check_level, unknown_sandbox
from ..events import EventLog
from .check import check
from .host import OciHost, OciSite
from .kernel import become_subreaper, mounts_below, unmount
from .logs import cut_log, log_size, log_tail
from .records import Record
from .render import merge, render
from .rootfs import remove_rootfs
from .sandbox import OciSandbox
from .watchdog import watch_soft_limits

__all__ = ["OciBackend"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_LOG_INTERVAL = 2.0  # seconds between looks at the logs: no event tells how full a file is


class OciBackend(Backend):
    """Sandboxes under an OCI runtime. Use `OciBackend.opened(site)`, which also adopts what already runs."""

    def __init__(self, site: OciSite) -> None:
        self._host = OciHost(site)
        self._sandboxes: dict[str, OciSandbox] = {}
        self._events = EventLog(datetime.now(timezone.utc))

    @classmethod
    @asynccontextmanager
    async def opened(cls, site: OciSite) -> AsyncIterator[OciBackend]:
        """A backend that has verified the host and knows every sandbox; closing it ends none of them."""
        backend = cls(site)
        become_subreaper()
        await backend._host.prepare()
        await backend._adopt()
        tasks = [
            asyncio.create_task(backend._cut_logs(), name="cut logs"),
            asyncio.create_task(watch_soft_limits(backend._host, backend._sandboxes), name="watch limits"),
        ]
        try:
            yield backend
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await backend._close()

    async def create(self, spec: SandboxSpec, doors: Doors, overlay: Overlay) -> Handle:
        """See Backend.create."""
        known = self._sandboxes.get(spec.id)
        if known is None:
            self._host.require()
            check_level(spec, self._host.capabilities)
            place = self._host.place(spec)
            config = merge(render(spec, doors, place), overlay)
            check(config, spec, doors, place)
            record = Record(spec=spec, doors=doors, overlay=overlay)
            self._host.records.add(record, json.dumps(config))
            self._sandboxes[spec.id] = OciSandbox(self._host, record, self._events.add)
            await self._events.add(spec, record.status)
        elif (known.record.spec, known.record.doors, known.record.overlay) != (spec, doors, overlay):
            raise BackendError(f"The id {spec.id} names another sandbox.", code="sandbox.id_taken")
        return Handle(id=spec.id, host_uid=spec.host_uid)

    async def start(self, sandbox_id: str) -> None:
        """See Backend.start."""
        sandbox = self._find(sandbox_id)
        async with sandbox.lock:
            _refuse_links(sandbox.record)
            await sandbox.start()

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

    async def usage(self, sandbox_id: str) -> Usage:
        """See Backend.usage."""
        sandbox = self._find(sandbox_id)
        usage = self._host.usage(sandbox.record.spec, sandbox.init)
        return replace(usage, log_bytes=log_size(sandbox.bundle))

    async def log_tail(self, sandbox_id: str) -> str:
        """See Backend.log_tail."""
        return log_tail(self._find(sandbox_id).bundle)

    async def inventory(self) -> tuple[InventoryItem, ...]:
        """See Backend.inventory."""
        return tuple(
            InventoryItem(
                id=sandbox.id,
                user=sandbox.record.spec.user,
                server=sandbox.record.spec.server,
                status=sandbox.record.status,
                labels={"owner": LABEL_OWNER, "profile": sandbox.record.spec.profile},
            )
            for sandbox in self._sandboxes.values()
        )

    async def events(self, after: int, timeout: float) -> tuple[Event, ...]:
        """See Backend.events."""
        return await self._events.wait(after, timeout)

    async def capabilities(self) -> Capabilities:
        """See Backend.capabilities."""
        return self._host.capabilities

    def _find(self, sandbox_id: str) -> OciSandbox:
        if sandbox_id not in self._sandboxes:
            raise unknown_sandbox(sandbox_id)
        return self._sandboxes[sandbox_id]

    async def _adopt(self) -> None:
        """Know again every recorded sandbox; sweep up what has no record."""
        records = self._host.records.read_all()
        for sandbox_id, record in records.items():
            if record is None:
                _sweep_bundle(self._host.records.bundle(sandbox_id))
                continue
            sandbox = OciSandbox(self._host, record, self._events.add)
            self._sandboxes[sandbox_id] = sandbox
            try:
                await sandbox.recover()
            except SandboxError as error:  # the others are not held up; `remove` tries again
                log.error("%s could not be recovered: %s", sandbox_id, error)
        for name in _runtime_ids(Path(self._host.runtime.state)):
            if name not in self._sandboxes:
                log.warning("%s has no record: it is removed", name)
                await self._host.runtime.delete(name)

    async def _cut_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_INTERVAL)
            for sandbox in list(self._sandboxes.values()):
                with contextlib.suppress(FileNotFoundError):  # removed while we looked
                    cut_log(sandbox.bundle)

    async def _close(self) -> None:
        for sandbox in self._sandboxes.values():
            await sandbox.close()
        if not self._sandboxes:
            remove_rootfs(self._host.rootfs)


def _refuse_links(record: Record) -> None:
    """The doors and the mounts must still be directories of their own, not links to somebody else's."""
    for source in (record.doors.directory, *(mount.source for mount in record.spec.mounts)):
        if os.path.realpath(source) != os.path.normpath(source) or not os.path.isdir(source):
            raise IsolationError(
                f"{source} is not a directory or leads elsewhere.",
                code="isolation.mount_source",
                remedy="Give run_dir and state_dir as paths without symbolic links.",
            )


def _runtime_ids(state: Path) -> list[str]:
    return [path.name for path in state.iterdir() if is_sandbox_id(path.name)] if state.is_dir() else []


def _sweep_bundle(bundle: Path) -> None:
    for point in mounts_below(str(bundle)):
        unmount(point)
    shutil.rmtree(bundle)
