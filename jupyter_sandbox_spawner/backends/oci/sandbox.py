"""How does one sandbox start, end and leave nothing behind? Each step recorded before it is taken."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone

from ...errors import BackendError, SandboxError
from ...models import Status
from ..base import end_of_init, is_over, out_of_memory
from ..recorded import BundledSandbox, Tell
from ..records import Record
from .host import OciHost
from .kernel import mounts_below, unmount
from .logs import open_log
from .namespace import user_namespace
from .process import InitProcess
from .processes import reap, sessions_of

__all__ = ["OciSandbox"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_KILL_TIME = 10.0  # seconds the kernel may need to end a killed process
_KILLED = 128 + signal.SIGKILL


class OciSandbox(BundledSandbox):
    """One recorded sandbox; `lock` makes its verbs take turns, `over` is set once it has ended."""

    def __init__(self, host: OciHost, record: Record, tell: Tell) -> None:
        super().__init__(host.records, record, tell)
        self._host = host
        self._process: InitProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self._verdict = ""
        self._runtime = host.runtime(record.spec)
        self.cgroup = host.cgroup_name(record.spec.id)
        self._sessions: frozenset[int] = frozenset()

    async def start(self) -> None:
        """Create, verify, run. On any error nothing of it runs and the record says why."""
        if is_over(self.record.status):
            raise BackendError(f"The sandbox {self.id} is over.", code="sandbox.over")
        if self.record.phase == "running":
            return
        await self._set(phase="starting")
        process = None
        try:
            process = await self._create()
            await self._host.hold(self.record.spec, process.pid)
            await self._runtime.start(self.id)
            await self._run(process, datetime.now(timezone.utc))
        except (SandboxError, OSError) as error:
            if process is not None:
                process.close()
                self._process = None
            await self._abandon(str(error))
            if isinstance(error, SandboxError):
                raise
            raise BackendError(
                f"The sandbox could not start: {error}.", code="sandbox.start_failed"
            ) from error

    async def _create(self) -> InitProcess:
        spec = self.record.spec
        descriptor = open_log(self.bundle, spec.host_uid)
        try:
            async with self._user_namespace():
                cgroup = self._host.cgroup_to_enter(spec)
                files = self._host.open_files(spec)
                pid = await self._runtime.create(self.id, self.bundle, descriptor, files, cgroup)
        finally:
            os.close(descriptor)
        process = InitProcess.adopt(pid)
        if process is None:
            raise BackendError("The sandbox's init process died at once.", code="sandbox.start_failed")
        if self._runtime.own_kernel:
            self._sessions = sessions_of(self._host.cgroups.processes(self.cgroup))
        return process

    @asynccontextmanager
    async def _user_namespace(self) -> AsyncIterator[None]:
        """For a runtime that joins one: a namespace that the sandbox's own uid has made."""
        if self._runtime.own_kernel:
            yield
            return
        link = self.bundle / "userns"
        async with user_namespace(self.record.spec.host_uid, self._host.site.root_uid) as path:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
            yield

    async def recover(self) -> None:
        """After a restart of the launcher: adopt what runs, sweep up what was half made, note what ended."""
        if self.record.phase == "over":
            self.over.set()
        elif self.record.phase == "starting":
            await self._recover_start()
        elif self.record.phase != "created" and self.record.pid is not None:
            process = InitProcess.adopt(self.record.pid, self.record.start_time)
            if process is None:
                await self._end(None, "It ended while the launcher was away; its exit status is not known.")
            else:
                await self._run(process, self.record.started_at)

    async def _recover_start(self) -> None:
        found = await self._runtime.find(self.id)
        process = InitProcess.adopt(found[1]) if found is not None and found[0] == "running" else None
        if process is None:
            await self._abandon("The launcher was stopped while this sandbox started.")
        else:
            await self._run(process, datetime.now(timezone.utc))

    async def _run(self, process: InitProcess, since: datetime | None) -> None:
        self._process = process
        await self._set(phase="running", pid=process.pid, start_time=process.start_time, started_at=since)
        self._watch = asyncio.create_task(self._watch_end(process), name=f"watch {self.id}")

    async def _watch_end(self, process: InitProcess) -> None:
        await process.ended.wait()
        code = process.exit_code()
        await self._end(code, self._why(code))
        process.close()

    def _why(self, code: int | None) -> str:
        resources, usage = self.record.spec.resources, self._host.cgroups.usage(self.cgroup)
        if self._verdict:
            return self._verdict
        if self.record.phase == "stopping":
            return "stopped on request"
        if usage.oom_kills and code == _KILLED:
            return out_of_memory(usage.memory_peak, resources.memory)
        if self._runtime.own_kernel and self._host.cgroups.refused_processes(self.cgroup):
            # Its kernel knows no limit of its own, and cannot go on where ours has none left for it.
            return f"too many processes for gVisor and a profile with pids: {resources.pids}"
        if code is None:
            return "It ended; its exit status was lost when the launcher restarted."
        return end_of_init(code)

    async def stop(self, grace: float) -> Status:
        """TERM, wait, KILL, verify that no process is left."""
        if self.record.phase in ("created", "starting"):
            await self._end(None, "stopped before it started")
        if self.record.phase in ("running", "stopping") and self._process is not None:
            await self._set(phase="stopping")
            self._signal(self._process, signal.SIGTERM)
            if not await self._ends_within(grace):
                # The death of its init is the death of the whole pid namespace.
                self._signal(self._process, signal.SIGKILL)
        # Also where it ended by itself a moment ago and that is still being told.
        await self._ends_within(_KILL_TIME)
        left = self._host.cgroups.processes(self.cgroup)
        if not self.over.is_set() or (left and not await self._left_cgroup()):
            raise BackendError(
                f"The sandbox {self.id} is still alive (processes {left}).",
                code="sandbox.survived",
                remedy="Look for processes in state D: ps -eo pid,stat,wchan,args",
            )
        return self.record.status

    @property
    def init(self) -> int | None:
        """The host's pid of its first process; None where nothing of it runs."""
        return self._process.pid if self._process is not None and not self.over.is_set() else None

    def end_for(self, reason: str) -> None:
        """Kill it for a reason that its status will give; no-op if nothing runs or it is ended already."""
        if self._process is not None and not self.over.is_set() and not self._verdict:
            self._verdict = reason
            log.warning("%s of %s: %s", self.id, self.record.spec.user, reason)
            self._signal(self._process, signal.SIGKILL)

    def _signal(self, process: InitProcess, number: signal.Signals) -> None:
        if not self.over.is_set():  # else it is no longer watched
            process.send(number)

    async def _left_cgroup(self) -> bool:
        deadline = asyncio.get_running_loop().time() + _KILL_TIME
        while self._host.cgroups.processes(self.cgroup):
            if asyncio.get_running_loop().time() > deadline:
                return False
            self._host.cgroups.kill(self.cgroup)  # what is no child of its init, as gVisor's file server
            await asyncio.sleep(0.01)  # the kernel tells nobody when a dead process has left its cgroup
        return True

    async def remove(self) -> None:
        """Erase runtime state, cgroup, mounts and bundle, and verify it; the record goes last."""
        await self.stop(0)
        await self._sweep()
        try:
            self._erase()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # A start that was cut short mounted its log once more; nothing can any longer.
            await self._sweep()
            self._erase()

    def _erase(self) -> None:
        if not self.bundle.exists():
            return  # deleted by hand
        for path in self.bundle.iterdir():
            if path.name != "record.json":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.rmtree(self.bundle)

    async def _sweep(self) -> None:
        await self._end_rest()
        for point in mounts_below(str(self.bundle)):
            unmount(point)
        left = mounts_below(str(self.bundle))
        if left:
            raise BackendError(f"{left[0]} is still mounted.", code="sandbox.mounted")

    async def _end_rest(self) -> None:
        """What is left of it at the kernel and the runtime, and the exit statuses that are ours to take."""
        await self._host.erase(self._runtime, self.id)
        await reap(self._sessions)

    async def _abandon(self, reason: str) -> None:
        """End what a failed start left; the log stays to be read."""
        try:
            await self._end_rest()
        except SandboxError as error:
            log.warning("%s: what a failed start left could not be swept up: %s", self.id, error)
        await self._end(None, reason, failed=True)

    async def _end(self, code: int | None, reason: str, failed: bool = False) -> None:
        await self._set(phase="over", exit_code=code, reason=reason, failed=failed)
        self.over.set()

    async def close(self) -> None:
        """Stop watching; the sandbox goes on."""
        if self._watch is not None and not self._watch.done():
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._process is not None:
            self._process.close()
