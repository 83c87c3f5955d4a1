"""What is the smallest real sandbox? A Python script as pid 1, on a host directory of its own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.backends.base import Backend
from jupyter_sandbox_spawner.backends.memory import MemoryBackend
from jupyter_sandbox_spawner.backends.oci.host import OciSite
from jupyter_sandbox_spawner.backends.records import Records
from jupyter_sandbox_spawner.models import Doors, Mount, Resources, SandboxSpec, Status
from jupyter_sandbox_spawner.names import GVISOR, sandbox_id
from jupyter_sandbox_spawner.ordinary import has_own_namespace, mapped_subids
from jupyter_sandbox_spawner.settings import Environment

__all__ = ["PID_ONE", "WAITS_FOR_ITS_END", "Bench", "MemoryBench", "OciBench", "open_door"]

# In a user namespace of our own, the uids that it has.
UID_BASE = mapped_subids().first if has_own_namespace() else 3_100_000
# Ends with the status that a test writes into a pipe in the home, or politely on SIGTERM. gVisor opens no
# pipe of the host: there it comes by a door.
WAITS_FOR_ITS_END = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
door = "/run/sandbox/doors/end.sock"
by_door = os.path.exists(door)
print("hello from inside", flush=True)
if by_door:
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(door)
        sys.exit(int(there.makefile().read()))
sys.exit(int(open("/home/jovyan/end").read()))
"""
PID_ONE = 'source = open("/home/jovyan/main.py").read()\nexec(compile(source, "main.py", "exec"))\n'


class Bench:
    """A backend and how a test makes and ends its sandboxes."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._count = 0

    def spec(self, user: str = "alice", **changes: Any) -> SandboxSpec:
        """A spec with a new id."""
        self._count += 1
        spec = SandboxSpec(
            id=sandbox_id(user, "", f"{os.getpid()}-{id(self)}-{self._count}"),
            user=user,
            server="",
            profile="small",
            profile_digest="0",
            environment_name="tiny",
            host_uid=UID_BASE + 1,
            resources=Resources(cpu=1.0, memory=256 << 20, pids=64, tmpfs=8 << 20, tmpfs_inodes=500),
            mounts=(),
        )
        return replace(spec, **changes)

    def doors(self, spec: SandboxSpec) -> Doors:
        """The doors of a spec."""
        return Doors(directory=f"/run/doors/{spec.id}")

    async def create(self, spec: SandboxSpec) -> SandboxSpec:
        """Create it with its doors and no overlay."""
        await self.backend.create(spec, self.doors(spec), {})
        return spec

    async def running(self, spec: SandboxSpec | None = None) -> SandboxSpec:
        """A sandbox that runs until `end` or a signal."""
        spec = await self.create(spec or self.spec())
        await self.backend.start(spec.id)
        return spec

    async def end(self, spec: SandboxSpec, code: int) -> None:
        """Make the sandbox's first process exit with a status."""
        raise NotImplementedError


class MemoryBench(Bench):
    """The fake."""

    async def end(self, spec: SandboxSpec, code: int) -> None:
        """See Bench.end."""
        if not isinstance(self.backend, MemoryBackend):
            raise TypeError(self.backend)
        await self.backend.finish(spec.id, code)


class OciBench(Bench):
    """Real sandboxes below a directory of the test."""

    def __init__(self, directory: Path, runtime: str = "runc") -> None:
        super().__init__(MemoryBackend())  # replaced once the real one is open
        self.directory = directory
        (directory / "inside").mkdir()
        (directory / "inside/__main__.py").write_text(PID_ONE)
        (directory / "tiny/bin").mkdir(parents=True)
        (directory / "tiny/bin/python").symlink_to(os.path.realpath(sys.executable))
        self.site = OciSite(
            state=str(directory / "l"),
            inside=str(directory / "inside"),
            environments={"tiny": Environment(prefix=str(directory / "tiny"))},
            root_uid=UID_BASE,
            runtimes=(runtime,),
        )
        self.runtime = runtime
        self._ends: dict[str, socket.socket] = {}

    def spec(self, user: str = "alice", main: str = WAITS_FOR_ITS_END, **changes: Any) -> SandboxSpec:
        """A spec with a home of its own in which `main` lies as the program of pid 1."""
        spec = super().spec(user, **{"runtime": self.runtime, **changes})
        home, doors = self.directory / f"home-{spec.id}", Path(self.doors(spec).directory)
        home.mkdir(mode=0o700)
        doors.mkdir(parents=True)
        (home / "main.py").write_text(main)
        os.mkfifo(home / "end", 0o600)
        if self.runtime == GVISOR:
            self._ends[spec.id] = open_door(doors / "end.sock")
        for path in (home, *home.iterdir()):
            os.chown(path, spec.host_uid, spec.host_uid)
        mount = Mount(kind="home", source=str(home), target="/home/jovyan", read_only=False)
        return replace(spec, mounts=(mount,))

    def doors(self, spec: SandboxSpec) -> Doors:
        """See Bench.doors."""
        return Doors(directory=str(self.directory / "doors" / spec.id))

    async def running(self, spec: SandboxSpec | None = None) -> SandboxSpec:
        """See Bench.running; the program has said hello, so its signal handler is in place."""
        spec = await super().running(spec)
        await self.said(spec, "hello from inside")
        return spec

    async def said(self, spec: SandboxSpec, text: str) -> None:
        """Wait until the sandbox has printed a text."""
        deadline = asyncio.get_running_loop().time() + 90  # fifty at once take a while
        while text not in (seen := await self.backend.log_tail(spec.id)):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"no {text!r} in: {seen}")
            await asyncio.sleep(0.02)  # a file tells nobody that it grew

    async def end(self, spec: SandboxSpec, code: int) -> None:
        """See Bench.end; opening the pipe waits until the program inside reads it."""
        if spec.id in self._ends:
            connection, _ = await asyncio.to_thread(self._ends[spec.id].accept)
            with connection:
                connection.sendall(str(code).encode())
            return
        await asyncio.to_thread(Path(spec.mounts[0].source, "end").write_text, str(code))

    def first_process(self, spec: SandboxSpec) -> int:
        """The host's pid of what a running sandbox runs."""
        record = Records(f"{self.site.state}/sandboxes").read_all()[spec.id]
        if record is None or record.pid is None:
            raise LookupError(spec.id)
        return record.pid

    def close(self) -> None:
        """Close the doors that it holds."""
        for door in self._ends.values():
            door.close()

    async def play(self, main: str, **changes: Any) -> tuple[Status, str]:
        """Run a program to its end; its status and what it printed."""
        spec = await self.create(self.spec(main=main, **changes))
        await self.backend.start(spec.id)
        status = await self.backend.ended(spec.id, 60)
        if status is None:
            raise TimeoutError(await self.backend.log_tail(spec.id))
        return status, await self.backend.log_tail(spec.id)

    async def ask(self, main: str, **changes: Any) -> dict[str, Any]:
        """Run a program that prints one JSON object."""
        status, text = await self.play(main, **changes)
        if status.exit_code != 0:
            raise AssertionError(f"{status}\n{text}")
        answer: dict[str, Any] = json.loads(text)
        return answer


def open_door(path: Path) -> socket.socket:
    """A listening socket that every uid may connect to."""
    door = socket.socket(socket.AF_UNIX)
    door.settimeout(20)
    door.bind(os.fspath(path))
    path.chmod(0o666)
    door.listen()
    return door
