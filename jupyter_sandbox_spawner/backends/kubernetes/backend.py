"""How does the Kubernetes backend act? Render, check, record in the cluster; pods outlive the launcher.

State comes by one watch of the cluster's pods, never by a question a poll; each time the watch has to begin
anew, everything is compared once. There is nothing on the launcher's disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from ...errors import BackendError, ConfigurationError, SandboxError
from ...models import Capabilities, Doors, Handle, SandboxSpec, Usage
from ...names import LABEL_OWNER, is_sandbox_id
from ...rules.repeats import Repeats
from ...wire import decode_json
from ..base import Overlay
from ..given import Given, Obstacle
from ..recorded import RecordedBackend
from ..records import Record
from .host import ClusterHost, ClusterSite
from .layout import OWNER_LABEL, RECORD, SITE_LABEL, TRUSTS
from .leftovers import ClusterLeftovers
from .meter import Meter
from .policies import PolicyKeeper
from .questions import Document
from .sandbox import PodSandbox

__all__ = ["KubernetesBackend"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_FIRST = 30.0  # seconds the cluster may take to answer before we give up, to be started again
_PAUSES = (0.1, 5.0)  # seconds between tries to reach a cluster that is away: at first, at most
_RENEWAL = 15.0  # seconds between looks at the authority's file; a kubelet takes up to 90 more


class KubernetesBackend(RecordedBackend[PodSandbox]):
    """Sandboxes as pods. Use `KubernetesBackend.opened(site)`, which also adopts what already runs."""

    def __init__(self, site: ClusterSite) -> None:
        super().__init__()
        self._host = ClusterHost(site)
        self._selector = f"{OWNER_LABEL}={LABEL_OWNER},{SITE_LABEL}={self._host.label}"
        self._remains = ClusterLeftovers(self._host, self._selector, self._sandboxes.keys)
        self._meter = Meter(self._host.api, self._selector)
        self._policies = PolicyKeeper(self._host, self._selector, lambda: self._sandboxes)
        self._asked = asyncio.Event()
        self._repeats = Repeats()

    @classmethod
    @asynccontextmanager
    async def opened(cls, site: ClusterSite) -> AsyncIterator[KubernetesBackend]:
        """A backend that follows its cluster and knows every sandbox; closing it ends none of them.

        Raises BackendError where the cluster does not answer at first: without it nobody knows what runs.
        """
        backend = cls(site)
        try:
            await backend._host.api.open()
            await backend._read_records()
            tasks = [
                asyncio.create_task(backend._follow(), name="follow the cluster"),
                asyncio.create_task(backend._renew(), name="renew what links trust"),
                asyncio.create_task(backend._policies.keep(), name="keep the policies"),
            ]
            try:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(backend._asked.wait(), _FIRST)
                yield backend
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        finally:
            await backend._host.api.close()

    async def create(self, spec: SandboxSpec, doors: Doors, overlay: Overlay) -> Handle:
        """See Backend.create."""
        known = self._sandboxes.get(spec.id)
        if known is not None and not known.record.doors.ticket:
            await known.remember_ticket()
        return await super().create(spec, doors, overlay)

    async def _create(self, record: Record) -> None:
        spec = record.spec
        sandbox = self._sandboxes[spec.id] = PodSandbox(self._host, record, self._events.add)
        try:
            async with sandbox.lock:
                await sandbox.make()
        except BaseException:
            del self._sandboxes[spec.id]
            # What cannot be erased now is found as left over.
            with contextlib.suppress(SandboxError):
                await sandbox.erase()
            raise
        await self._events.add(spec, record.status)

    async def start(self, sandbox_id: str) -> None:
        """See Backend.start; takes as long as the cluster has no room for it."""
        await self._find(sandbox_id).start()

    async def usage(self, sandbox_id: str) -> Usage:
        """See Backend.usage."""
        return await self._meter.usage(self._find(sandbox_id))

    async def log_tail(self, sandbox_id: str) -> str:
        """See Backend.log_tail."""
        return await self._find(sandbox_id).log_tail()

    async def capabilities(self) -> Capabilities:
        """See Backend.capabilities."""
        return self._host.capabilities

    def gpu_obstacle(self, given: Given) -> Obstacle | None:
        """See Backend.gpu_obstacle; devices are the cluster's to find."""
        try:
            self._host.gpus.request(given.ids)
        except SandboxError as error:
            return Obstacle(code=error.code, message=error.message, remedy=error.remedy)
        return None

    def proved(self, *, pids: bool) -> None:
        """A probe in a pod has met the limit of processes, or none; see `capabilities`."""
        self._host.proved(pids=pids)

    @property
    def identity(self) -> str:
        """A text that changes when the cluster is another version."""
        return self._host.identity

    async def _read_records(self) -> None:
        """Know again every sandbox whose Secret is there. Tickets stay where they are."""
        listing = await self._host.api.list("secrets", self._selector, metadata_only=True)
        for item in listing.items:
            metadata = item["metadata"]
            try:
                record = decode_json(Record, metadata["annotations"][RECORD])
            except (ConfigurationError, KeyError) as error:
                log.error("The Secret %s is no record: %s", metadata["name"], error)
                continue
            if record.spec.id == metadata["name"] and is_sandbox_id(record.spec.id):
                sandbox = PodSandbox(self._host, record, self._events.add)
                sandbox.trusts = metadata["annotations"].get(TRUSTS, "")
                self._sandboxes[record.spec.id] = sandbox
                if record.phase == "over":
                    sandbox.over.set()

    async def _renew(self) -> None:
        """Links learn of a new authority while the old one is still good, so that no session is cut."""
        while True:
            try:
                authority = self._host.authority()
                for sandbox in list(self._sandboxes.values()):
                    await self._look(sandbox.id, sandbox.trust(authority))
            except SandboxError as error:
                self._say(error)
            await asyncio.sleep(_RENEWAL)

    async def _follow(self) -> None:
        """Hear of every change for as long as the launcher runs; a cluster that went away is asked again."""
        pause, now = _PAUSES[0], asyncio.get_running_loop().time
        while True:
            began = now()
            try:
                async for what, pod in self._host.api.watch("pods", self._selector, await self._compare()):
                    if what:
                        await self._hear(what, pod)
                    self._asked.set()
            except SandboxError as error:
                if error.code != "kubernetes.expired":  # which listing everything mends
                    self._say(error)
                    self._host.lost(error)
            except Exception as surprise:
                # Whoever stops listening here would never hear of an end again: look at everything anew.
                log.exception("What the cluster told could not be read.")
                odd = BackendError(f"The cluster told something odd: {surprise}.", code="kubernetes.failed")
                self._host.lost(odd)
            if now() - began > _PAUSES[1]:
                pause = _PAUSES[0]
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])

    def _say(self, error: SandboxError) -> None:
        if self._repeats.due(str(error), asyncio.get_running_loop().time()):
            log.error("%s", error)

    async def _compare(self) -> str:
        """The cluster answers anew: every sandbox looks at its pod; the moment up to which it did."""
        await self._host.verify()
        listing = await self._host.api.list("pods", self._selector)
        pods = {pod["metadata"]["name"]: pod for pod in listing.items}
        for sandbox in list(self._sandboxes.values()):
            await self._look(sandbox.id, sandbox.recover(pods.get(sandbox.id)))
        return listing.version

    async def _hear(self, what: str, pod: Document) -> None:
        sandbox = self._sandboxes.get(pod["metadata"]["name"])
        if sandbox is None:
            return
        await self._look(sandbox.id, sandbox.saw(pod))
        if what == "DELETED" and sandbox.uid == pod["metadata"]["uid"]:
            await self._look(sandbox.id, sandbox.saw_no_pod())

    async def _look(self, sandbox_id: str, look: Awaitable[None]) -> None:
        try:
            await look
        except (SandboxError, KeyError) as error:  # the others go on; `stop` and `remove` look again
            log.error("%s could not be looked at: %s", sandbox_id, error)
