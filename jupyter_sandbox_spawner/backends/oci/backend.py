"""How does the local backend act? Render, check, record, call the runtime; sandboxes outlive the launcher."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from ...errors import SandboxError
from ...models import Capabilities, Usage
from ..given import Given, Obstacle
from ..recorded import RecordedBackend, refuse_links
from ..records import Record
from .check import check
from .host import OciHost, OciSite
from .kernel import become_subreaper, mounts_below, unmount
from .leftovers import OciLeftovers
from .logs import cut_log, log_size, log_tail
from .render import merge, render
from .rootfs import remove_rootfs
from .sandbox import OciSandbox
from .watchdog import watch_soft_limits

__all__ = ["OciBackend"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_LOG_INTERVAL = 2.0  # seconds between looks at the logs: no event tells how full a file is


class OciBackend(RecordedBackend[OciSandbox]):
    """Sandboxes under an OCI runtime. Use `OciBackend.opened(site)`, which also adopts what already runs."""

    def __init__(self, site: OciSite) -> None:
        super().__init__()
        self._host = OciHost(site)
        self._remains = OciLeftovers(self._host, self._sandboxes.keys)

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

    async def _create(self, record: Record) -> None:
        spec, place = record.spec, self._host.place(record.spec)
        config = merge(render(spec, record.doors, place), record.overlay)
        check(config, spec, record.doors, place)
        self._host.make_points(spec, place)
        self._host.records.add(record, json.dumps(config))
        self._sandboxes[spec.id] = OciSandbox(self._host, record, self._events.add)
        await self._events.add(spec, record.status)

    async def start(self, sandbox_id: str) -> None:
        """See Backend.start."""
        sandbox = self._find(sandbox_id)
        async with sandbox.lock:
            refuse_links(sandbox.record)
            await sandbox.start()

    async def usage(self, sandbox_id: str) -> Usage:
        """See Backend.usage."""
        sandbox = self._find(sandbox_id)
        usage = self._host.usage(sandbox.record.spec, sandbox.init)
        return replace(usage, log_bytes=log_size(sandbox.bundle))

    async def log_tail(self, sandbox_id: str) -> str:
        """See Backend.log_tail."""
        return log_tail(self._find(sandbox_id).bundle)

    async def capabilities(self) -> Capabilities:
        """See Backend.capabilities."""
        return self._host.capabilities

    def gpu_obstacle(self, given: Given) -> Obstacle | None:
        """See Backend.gpu_obstacle."""
        return self._host.gpu_obstacle(given)

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
        for runtime in self._host.runtimes:
            for name in runtime.ids():
                if name not in self._sandboxes:
                    log.warning("%s has no record: it is removed", name)
                    try:
                        await self._host.erase(runtime, name)
                    except SandboxError as error:  # the next start of the launcher tries again
                        log.error("%s could not be removed: %s", name, error)

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


def _sweep_bundle(bundle: Path) -> None:
    for point in mounts_below(str(bundle)):
        unmount(point)
    shutil.rmtree(bundle)
