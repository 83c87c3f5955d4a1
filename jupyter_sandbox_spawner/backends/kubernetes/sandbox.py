"""How does one pod start, end and leave nothing behind? What the cluster says of it is what is true.

The sandbox's Secret is its record: it owns policy and pod, so that whatever is half made goes with it. That
a pod runs is the pod's own to say; what it cannot say, a start, an end and the wish for it, is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from dataclasses import replace
from datetime import datetime, timezone

from ...errors import BackendError, SandboxError
from ...models import Status
from ...rules.pod_ends import PodView, view_pod, why_gone
from ...rules.pod_trouble import Trouble, link_trouble, pending_trouble
from ..base import is_over, require_possible
from ..oci.logs import TAIL_BYTES
from ..recorded import RecordedSandbox, Tell
from ..records import Record
from .answers import in_trouble
from .ends import require_started, survived, words_of_end
from .host import ClusterHost
from .layout import USER, digest_of
from .making import PodMaking
from .objects import PodObjects
from .questions import Document
from .render import trusting

__all__ = ["PodSandbox"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_KILL_TIME = 30.0  # seconds beyond its grace until a pod's end ought to have been told
_LOOK = 1.0  # seconds between looks at a pod whose change ought to have been told by now
_LONGEST_LOOK = 8.0  # the same for a pod that waits for room
_ABANDON_TIME = 10.0  # seconds a failed start may take to be gone before it is told
_GONE_TIME = 60.0  # seconds for an ended pod to be forgotten by its kubelet


class PodSandbox(RecordedSandbox):
    """One recorded sandbox; `lock` makes its verbs take turns, but nobody holds it while a pod waits.

    `uid` is that of a pod whose labels were found to be ours; another pod of the name is never touched.
    """

    def __init__(self, host: ClusterHost, record: Record, tell: Tell) -> None:
        super().__init__(record, tell)
        self.uid = record.container
        self.view: PodView | None = None
        self.gone = asyncio.Event()
        self.trusts = ""
        self._host = host
        self._api = host.api
        self._own = PodObjects(host, record.spec.id)
        self._making = PodMaking(host, self._own, lambda: self.record)
        self._making_pod = False  # by a start, which judges it itself
        self._unjudged: Document | None = None
        self._changed = asyncio.Event()
        self._trouble: Trouble | None = None
        self._tail = b""

    async def make(self) -> None:
        """Judge the pod, keep the record, close the network around it; nothing runs yet."""
        self.trusts = await self._making.prepare()

    async def start(self) -> None:
        """Make the pod and wait until the user's container runs; a pod that waits can be stopped."""
        while True:
            async with self.lock:
                if is_over(self.record.status):
                    raise BackendError(f"The sandbox {self.id} is over.", code="sandbox.over")
                if self.record.phase == "created":
                    require_possible(self._host.capabilities)
                    await self._begin()
            if await self._runs():
                return

    async def _begin(self) -> None:
        self._making_pod, self._unjudged = True, None
        try:
            await self._set(phase="starting")
            await self._make_pod()
        except SandboxError as error:
            await self._abandon(str(error))
            raise
        finally:
            self._making_pod = False

    async def _make_pod(self) -> None:
        made = await self._making.pod()
        self._making.judge(made)
        self.uid = str(made["metadata"]["uid"])
        self.record = replace(self.record, container=self.uid)
        # What was told of it before it was judged has not counted.
        await self.saw(made if self._unjudged is None else self._unjudged)
        await self._note_judged()

    async def _put_away(self, uid: str, reason: str) -> None:
        """The start has failed, and its pod must not stay."""
        await self._end(None, reason, failed=True)
        self._changed.set()
        with contextlib.suppress(BackendError):  # else the next look at everything takes it away
            await self._api.delete("pods", self.id, uid, grace=1)

    async def _note_judged(self) -> None:
        try:
            await self._making.write()
        except BackendError as error:  # the next launcher then judges it anew
            log.warning("%s: that its pod was judged is not recorded: %s", self.id, error)

    async def _runs(self) -> bool:
        """False where a launcher that died had announced a pod and there is none."""
        pause = _LOOK
        while self.record.phase == "starting":
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except asyncio.TimeoutError:
                await self._look_closer()
                pause = min(2 * pause, _LONGEST_LOOK)
        if self.record.phase != "created":
            require_started(self.record, self._trouble)
        return self.record.phase != "created"

    async def _look_closer(self) -> None:
        """A pod that waits: why? What stays as it is fails; else its user is told and it goes on waiting."""
        try:
            pod = await self.refresh()
            trouble = pending_trouble(pod, await self._api.events_about(self.id)) if pod else None
        except BackendError as error:
            log.warning("%s: %s", self.id, error)
            return
        if self.record.phase != "starting" or trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            await self._set(reason="")
        elif trouble.fatal:
            async with self.lock:
                if self.record.phase == "starting":
                    await self._abandon(str(in_trouble(trouble)))
        else:
            log.warning("%s waits: %s: %s", self.id, trouble.code, trouble.admin)
            await self._set(reason=trouble.user)

    async def saw(self, pod: Document) -> None:
        """The cluster tells of the pod: note what changed."""
        uid = str(pod["metadata"]["uid"])
        if self.uid not in ("", uid) or not await self._judged(uid, pod):
            return
        self.uid = uid
        if self.record.phase == "created":  # see `saw_no_pod`; it came true after all
            self.record = replace(self.record, phase="starting")
        view = self.view = view_pod(pod, USER, self._host.site.cluster.gateway_address)
        unwanted = is_over(self.record.status) and "deletionTimestamp" not in pod["metadata"]
        if unwanted and view.state != "over":
            await self._api.delete("pods", self.id, uid, grace=1)  # of a start that came true after all
        phase = self.record.phase
        if view.address != self.record.address and phase in ("starting", "running"):
            self.record = replace(self.record, address=view.address)
            if view.state == "pending":  # that it runs is told in a moment, and its link waits for this
                await self._tell(self.record.spec, self.record.status)
        gave_up = link_trouble(pod, view.exit_code) if phase in ("starting", "running") else None
        if gave_up is not None:
            self._trouble = gave_up  # what is in it waits, or waited, at doors that nobody serves
            await self._put_away(uid, in_trouble(gave_up).message)
        elif view.state == "over" and phase in ("starting", "running", "stopping"):
            await self._note_end(view)
        elif view.state == "running" and phase == "starting":
            began = view.started_at or datetime.now(timezone.utc)
            await self._set(phase="running", started_at=began, reason="", container=uid)
        self._changed.set()

    async def _judged(self, uid: str, pod: Document) -> bool:
        """Was this pod found to be closed? One that a launcher made, and died before it judged it, is now."""
        if self.record.container == uid or self.record.phase not in ("created", "starting", "running"):
            return True
        if self._making_pod:
            self._unjudged = pod
            return False
        try:
            self._making.judge(pod)
        except SandboxError as error:
            log.error("%s: a pod of an interrupted start does not stay: %s", self.id, error)
            await self._put_away(uid, str(error))
            return False
        self.record = replace(self.record, container=uid)
        await self._note_judged()
        return True

    async def saw_no_pod(self) -> None:
        """There is no pod of ours any more."""
        self.gone.set()
        if self.record.phase == "starting" and not self.record.container:
            await self._set(phase="created")  # announced by a launcher that died; who asks again gets its pod
        elif self.record.phase in ("starting", "running", "stopping"):
            await self._end(None, why_gone(self.view, self.record.phase))
        self._changed.set()

    async def _note_end(self, view: PodView) -> None:
        reason = words_of_end(view, self.record.phase, self.record.spec.resources.memory)
        if view.admin:
            log.warning("%s: %s", self.id, view.admin)
        self.record = replace(self.record, started_at=self.record.started_at or view.started_at)
        await self._end(view.exit_code, reason, view.failed and self.record.phase == "starting")

    async def refresh(self) -> Document | None:
        """Ask for the pod itself, where what was told may have been missed."""
        pod = await self._own.find("pods")
        await (self.saw_no_pod() if pod is None else self.saw(pod))
        return pod

    async def recover(self, pod: Document | None) -> None:
        """The cluster answers anew: `pod` is what it has, as of a moment ago."""
        if is_over(self.record.status):
            self.over.set()
            if pod is not None and view_pod(pod, USER).state != "over":  # of a start that came true after all
                await self._api.delete("pods", self.id, grace=1)
        elif pod is not None:
            await self.saw(pod)
        elif self.record.phase in ("starting", "running", "stopping") and not self._making_pod:
            await self.refresh()

    async def stop(self, grace: float) -> Status:
        """TERM, wait, KILL by the kubelet; returns when the container has ended or the pod is gone."""
        if self.record.phase in ("created", "starting") and await self._own.find("pods") is None:
            await self._end(None, "stopped before it started")
        if not is_over(self.record.status):
            await self._set(phase="stopping")
            self._changed.set()
            self._tail = await self._api.log_tail(self.id, USER, TAIL_BYTES)
            await self._api.delete("pods", self.id, self.uid, math.ceil(grace))
            await self._dies(grace)
        return self.record.status

    async def _dies(self, grace: float) -> None:
        deadline = asyncio.get_running_loop().time() + max(grace, 1.0) + _KILL_TIME
        while not await self._ends_within(_LOOK):
            with contextlib.suppress(BackendError):
                await self.refresh()
            if asyncio.get_running_loop().time() > deadline and not self.over.is_set():
                raise survived(self.id, self.view)

    async def remove(self) -> None:
        """Erase pod, policy and record, and verify it."""
        await self.stop(0)
        await self.erase()

    async def erase(self) -> None:
        """Take away all that the cluster has of it, the record last. Raises BackendError."""
        self.gone.clear()
        if not await self._own.erase("pods", _GONE_TIME, self.gone):
            raise survived(self.id, self.view)
        await self._own.erase("networkpolicies", _GONE_TIME)
        await self._own.erase("secrets", _GONE_TIME)

    async def log_tail(self) -> str:
        """The last 64 KiB of output, whatever the bytes are; of an ended pod what was read before it went."""
        raw = await self._api.log_tail(self.id, USER, TAIL_BYTES) or self._tail
        return raw.decode(errors="replace")

    async def trust(self, authority: str) -> None:
        """The link is to know the gateway by these certificates; no-op where it does."""
        digest = digest_of(authority)
        if self.trusts != digest and not is_over(self.record.status):
            await self._api.patch("secrets", self.id, trusting(authority))
            self.trusts = digest

    async def remember_ticket(self) -> None:
        """A launcher that was started anew reads it only where somebody asks for the sandbox again."""
        ticket = await self._own.ticket()
        self.record = replace(self.record, doors=replace(self.record.doors, ticket=ticket))

    async def _write(self) -> None:
        """See RecordedSandbox._write; `PodMaking` announces a start, and that it runs is the pod's to say."""
        if self.record.phase not in ("starting", "running"):
            await self._making.write()

    async def _abandon(self, reason: str) -> None:
        """End what a failed start left; where the cluster is away, its next word finds the pod again."""
        with contextlib.suppress(SandboxError):
            self._tail = await self._api.log_tail(self.id, USER, TAIL_BYTES)
        await self._end(None, reason, failed=True)
        try:
            self.gone.clear()
            if not await self._own.erase("pods", _ABANDON_TIME, self.gone):
                log.error("%s: what a failed start left does not end", self.id)
        except SandboxError as error:
            log.error("%s: what a failed start left could not be ended: %s", self.id, error)

    async def _end(self, code: int | None, reason: str, failed: bool = False) -> None:
        if self.record.phase == "over":
            return
        try:
            await self._set(phase="over", exit_code=code, reason=reason, failed=failed)
        finally:
            self.over.set()  # also where the record could not be written: who waits must not wait for ever
