"""How does the Docker backend act? Render, check, record, ask the daemon; containers outlive the launcher.

State comes by one stream of the daemon's events, never by an inspect a poll; each time the stream is opened
anew, everything is compared once. The end of a first process is heard from the kernel too (a pidfd).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ...errors import BackendError, SandboxError
from ...models import Capabilities, Usage
from ...names import LABEL_OWNER
from ..base import require_possible
from ..given import Given, Obstacle
from ..oci.render import merge
from ..recorded import RecordedBackend, refuse_links
from ..records import Record
from .check import check
from .engine import Document
from .host import DockerHost, DockerSite
from .layout import OWNER_LABEL, SANDBOX_LABEL, SITE_LABEL
from .leftovers import DockerLeftovers
from .render import render
from .sandbox import DockerSandbox

__all__ = ["DockerBackend"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_FIRST = 15.0  # seconds the daemon may take to answer before we serve without it
_PAUSES = (0.1, 5.0)  # seconds between tries to reach a daemon that is away: at first, at most
_ENDS = ("die", "destroy")


class DockerBackend(RecordedBackend[DockerSandbox]):
    """Sandboxes as containers. Use `DockerBackend.opened(site)`, which also adopts what already runs."""

    def __init__(self, site: DockerSite) -> None:
        super().__init__()
        self._host = DockerHost(site)
        self._remains = DockerLeftovers(self._host, self._sandboxes.keys)
        self._asked = asyncio.Event()
        self._labels = (f"{OWNER_LABEL}={LABEL_OWNER}", f"{SITE_LABEL}={self._host.label}")

    @classmethod
    @asynccontextmanager
    async def opened(cls, site: DockerSite) -> AsyncIterator[DockerBackend]:
        """A backend that follows its daemon and knows every sandbox; closing it ends none of them."""
        backend = cls(site)
        backend._read_records()
        following = asyncio.create_task(backend._follow(), name="follow docker")
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(backend._asked.wait(), _FIRST)
            yield backend
        finally:
            following.cancel()
            await asyncio.wait([following])
            for sandbox in backend._sandboxes.values():
                await sandbox.close()
            await backend._host.engine.close()

    async def _create(self, record: Record) -> None:
        spec = record.spec
        sandbox = self._sandboxes[spec.id] = DockerSandbox(self._host, record, self._events.add)
        try:
            async with sandbox.lock:
                with self._host.records.writing():
                    place = await self._host.place(spec)
                request = merge(render(spec, record.doors, place), record.overlay)
                check(request, spec, record.doors, place)
                self._host.records.add(record, json.dumps(request))
                await sandbox.make()
        except BaseException:
            del self._sandboxes[spec.id]
            # What cannot be erased now is swept up at the next look: it has no record any more.
            with contextlib.suppress(SandboxError):
                await sandbox.erase()
            shutil.rmtree(sandbox.bundle, ignore_errors=True)
            raise
        await self._events.add(spec, record.status)

    async def start(self, sandbox_id: str) -> None:
        """See Backend.start."""
        sandbox = self._find(sandbox_id)
        async with sandbox.lock:
            if sandbox.record.phase != "running":
                require_possible(self._host.capabilities)
            refuse_links(sandbox.record)
            await sandbox.start()

    async def usage(self, sandbox_id: str) -> Usage:
        """See Backend.usage."""
        return await self._find(sandbox_id).usage()

    async def log_tail(self, sandbox_id: str) -> str:
        """See Backend.log_tail."""
        return await self._find(sandbox_id).log_tail()

    async def capabilities(self) -> Capabilities:
        """See Backend.capabilities."""
        return self._host.capabilities

    def gpu_obstacle(self, given: Given) -> Obstacle | None:
        """See Backend.gpu_obstacle."""
        return self._host.gpu_obstacle(given)

    @property
    def identity(self) -> str:
        """A text that changes when the daemon is another one, or set up in another way."""
        return self._host.identity

    def _read_records(self) -> None:
        """Know again every recorded sandbox; what has no record was never told to anybody."""
        for sandbox_id, record in self._host.records.read_all().items():
            if record is None:
                shutil.rmtree(self._host.records.bundle(sandbox_id))
                continue
            sandbox = self._sandboxes[sandbox_id] = DockerSandbox(self._host, record, self._events.add)
            if record.phase == "over":
                sandbox.over.set()

    async def _follow(self) -> None:
        """Hear of every change for as long as the launcher runs; a daemon that went away is asked again."""
        pause = _PAUSES[0]
        while True:
            try:
                await self._host.engine.choose_version()
                async for event in self._host.engine.events(*self._labels):
                    await (self._hear(event) if event else self._compare())
                    self._asked.set()
                    pause = _PAUSES[0]
            except SandboxError as error:
                if pause == _PAUSES[0]:
                    log.error("%s", error)
                self._host.lost(error)
            except Exception as surprise:
                # Whoever stops listening here would never hear of an end again: look at everything anew.
                log.exception("What Docker told could not be read.")
                self._host.lost(BackendError(f"Docker told something odd: {surprise}.", code="docker.failed"))
            self._asked.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])

    async def _compare(self) -> None:
        """The daemon answers anew: every sandbox looks at its container; what nobody knows is removed."""
        await self._host.verify()
        for sandbox in list(self._sandboxes.values()):
            await self._look(sandbox.id, sandbox.recover)
        for container in await self._host.engine.containers(*self._labels):
            name = container["Labels"].get(SANDBOX_LABEL, "")
            if name not in self._sandboxes:
                log.warning("%s has no record: its container is removed", name)
                await self._host.engine.remove(container["Id"])

    async def _hear(self, event: Document) -> None:
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        sandbox = self._sandboxes.get(attributes.get(SANDBOX_LABEL, ""))
        if sandbox is not None and event.get("Action") in _ENDS:
            await self._look(sandbox.id, sandbox.refresh)

    async def _look(self, sandbox_id: str, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except (SandboxError, OSError, KeyError) as error:  # the others go on; `stop` and `remove` look again
            log.error("%s could not be looked at: %s", sandbox_id, error)
