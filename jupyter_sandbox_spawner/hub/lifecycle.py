"""In which order are control, launcher and gateway asked to start and end one sandbox?

Law: nothing is made before control admitted it; whatever started is ended on every way out; an end counts
only when the launcher has verified it, and needs no control.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from ..clients.control import AdmissionRequest, ControlClient, Refused, Released, control_socket
from ..clients.launcher import LauncherClient
from ..clients.pod_gateway import gateway_of
from ..errors import AnswerError, BackendError, BootError, SandboxError, UnreachableError
from ..models import Doors, SandboxSpec, Status, UserPlace
from ..rules.log_lines import last_lines
from ..settings import Site
from .insisting import ON_A_CLUSTER, insist
from .permission import control_away, denial
from .planning import Furniture, StartPlan
from .pod_start import start_sandbox, ticket_for
from .refusals import BrokenStart
from .stages import Stages

__all__ = ["Lifecycle", "to_its_end"]

log = logging.getLogger("jupyter_sandbox_spawner.hub")
T = TypeVar("T")
_LONG_POLL = 20.0  # seconds
_FIELD = 80  # characters of a field's name in the audit; who asks chooses it
_LEAVE = 2.0  # seconds that running requests of browsers may go on once a stop has begun
_NEWS = 2.0  # seconds for telling control something it also finds out by itself


class Lifecycle:
    """Control, launcher and gateway for one operation: `async with Lifecycle(site) as lifecycle`."""

    def __init__(self, site: Site) -> None:
        self._control = ControlClient(control_socket(site, "hub"))
        self._launcher = LauncherClient(site.launcher_socket)
        self._gateway = gateway_of(site)
        self._patience = ON_A_CLUSTER if site.backend == "kubernetes" else None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Lifecycle:
        await self._stack.enter_async_context(self._control)
        await self._stack.enter_async_context(self._launcher)
        await self._stack.enter_async_context(self._gateway)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def place(self, user: str) -> UserPlace:
        """The user's uid and home."""
        return await self._insist(lambda: self._launcher.place(user))

    async def status(self, sandbox_id: str) -> Status | None:
        """What the launcher knows of it now; None: nothing."""
        return await self._insist(lambda: self._launcher.status(sandbox_id))

    async def start(self, plan: StartPlan, stages: Stages) -> None:
        """From nothing to a server that answers. On an error the caller ends what is there."""
        sandbox_id = plan.request.spec.id
        with stages.stage("admission"):
            spec = await self._admit(plan.request, stages)
            room = await plan.furnish(await self._at_home(spec))
        with stages.stage("doors"):
            opened = await self._insist(lambda: self._gateway.open(sandbox_id, room.entry))
            doors = Doors(directory=opened.directory, ticket=await ticket_for(self._gateway, sandbox_id))
        with stages.stage("create"):
            await self._insist(lambda: self._launcher.create(room.spec, doors, room.overlay))
        with stages.stage("start"):
            await self._insist(lambda: self._gateway.boot(sandbox_id, room.document))
            await start_sandbox(self._launcher, self._gateway, sandbox_id, stages, self._control)
        with stages.stage("server"):
            await self._wait_for_server(plan, room)
        await self._tell(lambda: self._control.ready(sandbox_id, stages.seconds()), sandbox_id)

    async def end(self, sandbox_id: str, grace: float, why: str = "") -> None:
        """Take leave of browsers, stop, verify, remove, close the doors; no-op for what is gone.

        Without grace nobody takes leave. The doors are closed even if the launcher cannot stop it, so what
        survives is at least cut off. Raises BackendError `stop.failed`.
        """
        try:
            if grace > 0:
                await self._drain(sandbox_id, min(_LEAVE, grace), why)
            await self._stop_and_remove(sandbox_id, grace)
        finally:
            await self._close(sandbox_id)

    async def released(self, sandbox_id: str, news: Released) -> None:
        """Tell control why it ended, now that nothing of it is left.

        Where control is away this is put off, not lost: its reconciler closes the record.
        """
        told = (news.code, news.why, news.exit_code, news.lines)
        await self._tell(lambda: self._control.released(sandbox_id, *told), sandbox_id)

    async def last_lines(self, sandbox_id: str, secrets: tuple[str, ...]) -> str:
        """The end of its log without secrets; "" where it cannot be read: an end waits for no log."""
        try:
            return last_lines(await asyncio.wait_for(self._launcher.log_tail(sandbox_id), _NEWS), secrets)
        except (SandboxError, asyncio.TimeoutError) as error:
            log.warning("%s: its log is not read: %s", sandbox_id, error)
            return ""

    async def refused(self, user: str, server: str, error: SandboxError) -> None:
        """Tell control, for the audit, what was refused before it was asked."""
        refusal = Refused(server=server, code=error.code, field=error.field[:_FIELD])
        await self._tell(lambda: self._control.refused(user, refusal), f"{user}/{server}")

    async def clear(self, user: str, server: str | None) -> None:
        """End whatever an earlier start of this server, or (None) of any server of the user, left behind."""
        for item in await self._insist(self._launcher.inventory):
            if item.user == user and server in (None, item.server):
                log.warning("%s/%s: ending a leftover sandbox %s", user, item.server, item.id)
                await self.end(item.id, 0)
        for entry in await self._insist(self._gateway.inventory):
            if entry.user == user and server in (None, entry.server):
                await self._close(entry.id)

    async def forget(self, user: str) -> None:
        """The user was deleted: end all of theirs, home into quarantine, records closed; repeatable."""
        await self.clear(user, None)
        await self._insist(lambda: self._launcher.retire(user))
        await self._insist(lambda: self._control.forget_user(user))

    async def _at_home(self, spec: SandboxSpec) -> SandboxSpec:
        """The spec with the home of its zone, where control has put it into one."""
        if not spec.zone:
            return spec
        place = await self._insist(lambda: self._launcher.place(spec.user, spec.zone))
        mounts = (
            replace(mount, source=place.home) if mount.kind == "home" else mount for mount in spec.mounts
        )
        return replace(spec, mounts=tuple(mounts))

    async def _admit(self, request: AdmissionRequest, stages: Stages) -> SandboxSpec:
        try:
            answer = await self._insist(lambda: self._control.admit(request))
        except UnreachableError as error:
            raise control_away(error) from error
        if not answer.admitted:
            raise denial(answer)
        for notice in answer.notices:
            stages.note(notice)
        return answer.spec or request.spec

    async def _tell(self, news: Callable[[], Awaitable[None]], sandbox_id: str) -> None:
        try:
            await asyncio.wait_for(news(), _NEWS)
        except (SandboxError, asyncio.TimeoutError) as error:
            log.warning("%s: control was not told: %s", sandbox_id, error or "it does not answer")

    async def _drain(self, sandbox_id: str, seconds: float, why: str) -> None:
        try:
            await asyncio.wait_for(self._gateway.drain(sandbox_id, why, seconds), seconds + _NEWS)
        except (SandboxError, asyncio.TimeoutError) as error:
            # A gateway that is away has no connections to end; one that forgot it has none of its.
            log.info("%s: browsers are not told of its end: %s", sandbox_id, error or "the gateway is slow")

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        return await insist(call, self._patience)

    async def _close(self, sandbox_id: str) -> None:
        await self._insist(lambda: self._gateway.close_sandbox(sandbox_id))

    async def _stop_and_remove(self, sandbox_id: str, grace: float) -> None:
        try:
            status = await self._insist(lambda: self._launcher.stop(sandbox_id, grace))
            alive = status.value not in ("stopped", "failed")
        except AnswerError as error:
            if error.code != "sandbox.unknown":
                raise _not_stopped(sandbox_id, str(error)) from error
            alive = False
        except SandboxError as error:
            raise _not_stopped(sandbox_id, str(error)) from error
        if alive:
            raise _not_stopped(sandbox_id, f"It is still {status.value}.")
        await self._insist(lambda: self._launcher.remove(sandbox_id))

    async def _wait_for_server(self, plan: StartPlan, room: Furniture) -> None:
        ready = asyncio.create_task(self._ready(room))
        ended = asyncio.create_task(self._ended(room.spec.id))
        try:
            left = plan.began + plan.limit - time.monotonic()
            done, _ = await asyncio.wait(
                {ready, ended}, timeout=max(left, 0.5), return_when=asyncio.FIRST_COMPLETED
            )
            if ended in done:
                raise await self._boot_error(plan, ended.result())
            if ready not in done:
                raise await self._boot_error(plan, None)
            ready.result()
        finally:
            ready.cancel()
            ended.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    async def _ready(self, room: Furniture) -> None:
        sandbox_id = room.spec.id
        await self._offer_again(room)
        while True:
            try:
                if await self._gateway.ready(sandbox_id, _LONG_POLL):
                    return
                log.debug("%s: not ready yet", sandbox_id)
            except UnreachableError:
                await self._offer_again(room)

    async def _offer_again(self, room: Furniture) -> None:
        """A gateway that was restarted has forgotten the boot document, unless the sandbox had it before."""
        try:
            await self._insist(lambda: self._gateway.boot(room.spec.id, room.document))
        except AnswerError as error:
            if error.code != "boot.taken":
                raise

    async def _ended(self, sandbox_id: str) -> Status:
        while True:
            status = await self._insist(lambda: self._launcher.ended(sandbox_id, _LONG_POLL))
            if status is not None:
                return status

    async def _boot_error(self, plan: StartPlan, status: Status | None) -> BootError:
        lines = await self.last_lines(plan.request.spec.id, plan.secrets)
        if status is None:
            return BrokenStart(
                f"The server in the sandbox did not answer within {plan.limit:.0f} s.",
                lines,
                code="boot.timeout",
                remedy="Try again; if it stays like this, tell your admin.",
            )
        if status.value == "failed" and status.exit_code is None and status.reason:
            # Nothing of the user's ran: its backend's sentence is the whole story.
            return BrokenStart(
                f"{status.reason.rstrip('.')}.",
                lines,
                code="boot.ended",
                remedy="Try again; if it stays like this, tell your admin.",
            )
        how = "" if status.exit_code is None else f" with exit status {status.exit_code}"
        why = f" ({status.reason.rstrip('.')})" if status.reason else ""
        return BrokenStart(
            f"The server in the sandbox ended{how}{why} before it answered.",
            lines,
            code="boot.ended",
            remedy="Your files are kept. Try again; if it stays like this, tell your admin.",
        )


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await a clean-up that a cancellation must not cut short; the cancellation follows afterwards."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
        except SandboxError:
            break
    if not cancelled:
        task.result()
        return
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.critical("A clean-up failed: %s", error)
    raise asyncio.CancelledError


def _not_stopped(sandbox_id: str, why: str) -> BackendError:
    return BackendError(
        f"The sandbox {sandbox_id} could not be stopped. {why}",
        code="stop.failed",
        remedy="Its doors are closed; the next start of this server ends it. Tell your admin.",
    )
