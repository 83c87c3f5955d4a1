"""How does one container start, end and leave nothing behind? Each step recorded before it is taken."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
from dataclasses import replace
from datetime import datetime, timezone

from ...errors import BackendError, SandboxError
from ...models import Status, Usage
from ...names import LABEL_OWNER
from ..base import end_of_init, is_over, out_of_memory
from ..oci.logs import TAIL_BYTES
from ..oci.process import InitProcess
from ..recorded import BundledSandbox, Tell
from ..records import Record
from .engine import PATIENCE, Document
from .host import DockerHost
from .layout import OWNER_LABEL, SANDBOX_LABEL, SITE_LABEL, container_name
from .remains import clear, end_processes, erase_container, size_on_disk, survived

__all__ = ["DockerSandbox"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_KILL_TIME = 10.0  # seconds the daemon may need to tell that a killed container is dead
_LOOK = 0.5  # seconds between looks at a container whose end ought to have been told by now
_AWAY = 15.0  # seconds until Docker ought to know of an end; a containerd that was killed is away for ten
_LOOK_TIME = 5.0  # seconds for such a look
_KILLED = 137
_UNTOLD = "its first process ended; Docker could not tell how"


class DockerSandbox(BundledSandbox):
    """One recorded sandbox; `lock` makes its verbs take turns, `over` is set once it has ended.

    `container` is the id of a container whose labels were found to be ours; ids are never used again.
    """

    def __init__(self, host: DockerHost, record: Record, tell: Tell) -> None:
        super().__init__(host.records, record, tell)
        self.container = ""
        self._host = host
        self._cgroup = ""
        self._process: InitProcess | None = None
        self._watch: asyncio.Task[None] | None = None
        self._log_path = ""
        self._missed = False

    async def make(self) -> None:
        """Let the daemon make the recorded container; no-op where it is there."""
        if self.container or await self._attach() is not None:
            return
        request = json.loads((self.bundle / "config.json").read_text())
        self.container = await self._host.engine.create(container_name(self.id), request)
        await self._set(container=self.container)

    async def start(self) -> None:
        """Run, verify. On any error nothing of it runs and the record says why."""
        if is_over(self.record.status):
            raise BackendError(f"The sandbox {self.id} is over.", code="sandbox.over")
        if self.record.phase == "running":
            return
        await self._set(phase="starting")
        self._missed = False
        try:
            await self.make()
            await self._host.engine.start(self.container)
            await self._verify()
            await self._set(phase="running", started_at=datetime.now(timezone.utc))
        except (SandboxError, OSError) as error:
            await self._abandon(str(error))
            if isinstance(error, SandboxError):
                raise
            raise BackendError(
                f"The sandbox could not start: {error}.", code="sandbox.start_failed"
            ) from error
        if self._missed:
            await self.refresh()

    async def _verify(self) -> None:
        found = await self._host.engine.inspect(self.container)
        if found is None:
            raise BackendError("The container was removed while it started.", code="sandbox.start_failed")
        self._log_path = str(found.get("LogPath") or "")
        if found["State"]["Running"]:
            await self._adopt(int(found["State"]["Pid"]))
            self._host.verify_limits(self.record.spec, self._cgroup)
        else:
            self._missed = True

    async def _adopt(self, pid: int) -> None:
        """Watch the first process itself: a daemon that lost containerd and shim never tells its end."""
        await self.close()
        found = self._host.adopt(pid, self.container)
        if found is None:
            self._missed = True
            return
        self._process, self._cgroup = found
        self._watch = asyncio.create_task(self._watch_end(self._process), name=f"watch {self.id}")

    async def _watch_end(self, process: InitProcess) -> None:
        await process.ended.wait()
        if not await self._ends_within(_AWAY):
            await self._ask_again()

    async def close(self) -> None:
        """Stop watching; the sandbox goes on."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None
        if self._process is not None:
            self._process.close()
            self._process = None

    async def recover(self) -> None:
        """The daemon answers anew: adopt what runs, sweep up what was half made, note what ended."""
        if self.record.phase == "over":
            await self._recover_end()
            return
        if self.lock.locked():
            self._missed = True  # the verb that runs looks for itself
            return
        async with self.lock:
            found = await self._attach()
            if self.record.phase == "starting":
                await self._recover_start(found)
            elif self.record.phase in ("running", "stopping"):
                if found is not None and found["State"]["Running"]:
                    await self._verify()
                await self.refresh()

    async def _recover_end(self) -> None:
        """Over is over: a start that nobody waits for any more may have come true after all."""
        self.over.set()
        found = await self._attach()
        if found is not None and found["State"]["Running"]:
            log.warning("%s runs although it is over: it is killed", self.id)
            await self._host.engine.kill(self.container, "SIGKILL")

    async def _recover_start(self, found: Document | None) -> None:
        if found is None or not found["State"]["Running"]:
            await self._abandon("The launcher was stopped while this sandbox started.")
            return
        try:
            await self._verify()
        except SandboxError as error:
            await self._abandon(str(error))
            return
        await self._set(phase="running", started_at=datetime.now(timezone.utc))
        if self._missed:
            await self.refresh()

    async def refresh(self, patience: float = PATIENCE) -> None:
        """Something happened to the container: look, and note its end. Called for each event of it."""
        if self.record.phase == "starting":
            self._missed = True
        if self.record.phase not in ("running", "stopping"):
            return
        found = await self._host.engine.inspect(self.container, patience) if self.container else None
        if found is None or not found["State"]["Running"]:
            # A daemon whose shim died says so too while the processes go on without one.
            await self._end_processes()
        if found is None:
            await self._end(None, "Its container was removed by somebody else.")
        elif not found["State"]["Running"]:
            code = int(found["State"]["ExitCode"])
            await self._end(code, self._why(code, bool(found["State"].get("OOMKilled"))))

    def _why(self, code: int, killed_for_memory: bool) -> str:
        if self.record.phase == "stopping":
            return "stopped on request"
        if killed_for_memory and code == _KILLED:
            # Its cgroup, with the peak, is gone by now; whoever is killed for memory had all of it.
            return out_of_memory(None, self.record.spec.resources.memory)
        return end_of_init(code)

    async def stop(self, grace: float) -> Status:
        """TERM, wait, KILL, verify that no process is left."""
        if self.record.phase in ("created", "starting"):
            found = await self._attach()
            if found is None or not found["State"]["Running"]:
                await self._end(None, "stopped before it started")
            else:
                await self._set(phase="stopping")
        if self.record.phase in ("running", "stopping"):
            if not self.container:
                await self._attach()
            await self._set(phase="stopping")
            await self._signal("SIGTERM")
            if not await self._ends_within(grace):
                # The death of its init is the death of the whole pid namespace.
                await self._signal("SIGKILL")
        if not await self._dies():
            raise survived(self.id, self._host.processes(self._cgroup))
        return self.record.status

    async def _signal(self, name: str) -> None:
        if not self.container or self.over.is_set():
            return
        try:
            await self._host.engine.kill(self.container, name)
        except BackendError as error:
            if self._process is None:
                raise
            log.warning("%s: %s The kernel is asked instead.", self.id, error)
            self._process.send(signal.Signals[name])

    async def _dies(self) -> bool:
        deadline = asyncio.get_running_loop().time() + _KILL_TIME
        while not await self._ends_within(_LOOK) or self._host.processes(self._cgroup):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await (self._end_processes() if self.over.is_set() else self._ask_again())
            await asyncio.sleep(0.01)  # the kernel tells nobody when a dead process has left its cgroup
        return True

    async def _ask_again(self) -> None:
        """The event may have been lost with a connection, or the daemon cannot tell it for a while."""
        try:
            await self.refresh(_LOOK_TIME)
        except BackendError as error:
            log.warning("%s: %s", self.id, error)
        dead = self._process is not None and self._process.ended.is_set()
        if dead and self.record.phase in ("running", "stopping"):
            stopping = self.record.phase == "stopping"
            await self._end(None, "stopped on request" if stopping else _UNTOLD)

    async def _end_processes(self) -> None:
        container = self.container or self.record.container
        left = await end_processes(self._host.cgroups, container, self._cgroup) if container else ()
        if left:
            raise survived(self.id, left)

    async def remove(self) -> None:
        """Erase container and bundle, and verify it; the record goes last."""
        await self.stop(0)
        await self.erase()

    async def erase(self) -> None:
        """Erase a container that does not run, or never was told to anybody, with its bundle."""
        if await self._attach() is not None:
            await erase_container(self._host.engine, self.container)
        if container := self.container or self.record.container:
            await clear(self._host.cgroups, container, self._cgroup)
        shutil.rmtree(self.bundle / "etc", ignore_errors=True)
        shutil.rmtree(self.bundle, ignore_errors=not self.bundle.exists())

    async def usage(self) -> Usage:
        """Measured by the kernel; bytes of log as they lie on the disk."""
        return replace(self._host.usage(self._cgroup), log_bytes=size_on_disk(self._log_path))

    async def log_tail(self) -> str:
        """The last 64 KiB of output, whatever the bytes are."""
        if not self.container:
            return ""
        raw = await self._host.engine.logs(self.container)
        return raw[-TAIL_BYTES:].decode(errors="replace")

    async def _attach(self) -> Document | None:
        """The container of our name, if its labels are ours. Raises BackendError `docker.foreign`."""
        found = await self._host.engine.inspect(container_name(self.id))
        if found is None:
            return None
        labels = (found.get("Config") or {}).get("Labels") or {}
        ours = {OWNER_LABEL: LABEL_OWNER, SITE_LABEL: self._host.label, SANDBOX_LABEL: self.id}
        if not ours.items() <= labels.items():
            raise BackendError(
                f"The container {container_name(self.id)} has somebody else's labels.",
                code="docker.foreign",
                remedy=f"See who made it: docker inspect {container_name(self.id)}",
            )
        self.container = str(found["Id"])
        self._log_path = str(found.get("LogPath") or "")
        return found

    async def _abandon(self, reason: str) -> None:
        """End what a failed start left; the container stays, so that its log can be read."""
        try:
            await self._signal("SIGKILL")
        except SandboxError as error:
            log.warning("%s: what a failed start left could not be ended: %s", self.id, error)
        try:
            await self._end_processes()
        except SandboxError as error:
            log.error("%s: %s", self.id, error)
        await self._end(None, reason, failed=True)

    async def _end(self, code: int | None, reason: str, failed: bool = False) -> None:
        if self.record.phase == "over":
            return
        try:
            await self._set(phase="over", exit_code=code, reason=reason, failed=failed)
        finally:
            self.over.set()  # also where the record could not be written: who waits must not wait for ever
