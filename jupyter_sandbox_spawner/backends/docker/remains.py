"""What does the kernel still have of a container, whatever its daemon says? Ended and taken away here.

A daemon whose containerd or shim was killed may call a container dead, or forget it, while it still runs.

Law: only what carries the id of a container of ours is touched; ids are never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from ...errors import BackendError
from ..oci.cgroups import Cgroups
from .engine import Engine

__all__ = ["clear", "end_processes", "erase_container", "size_on_disk", "survived"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_DEATH = 5.0  # seconds that killed processes may need to be gone
_ERASE_TIME = 15.0  # seconds; a containerd that was killed is away for ten
_SHIM_TIME = 1.0  # seconds a shim may need after the daemon has erased its container
_SHIM = "containerd-shim"


async def end_processes(cgroups: Cgroups, container: str, known: str) -> tuple[int, ...]:
    """Kill whatever is in a container's cgroup and wait until it is gone; pids that are not.

    `known` is its cgroup where a start was seen to work; else every cgroup is looked at.
    """
    names = {known} if known else cgroups.find(container)
    deadline = asyncio.get_running_loop().time() + _DEATH
    while left := [pid for name in names for pid in cgroups.processes(name)]:
        if asyncio.get_running_loop().time() > deadline:
            break
        for name in names:
            cgroups.kill(name)
        await asyncio.sleep(0.01)  # the kernel tells nobody when a dead process has left its cgroup
    return tuple(left)


def survived(sandbox_id: str, left: tuple[int, ...]) -> BackendError:
    """The error for processes that nobody can end."""
    return BackendError(
        f"The sandbox {sandbox_id} is still alive (processes {left}).",
        code="sandbox.survived",
        remedy="Look for processes in state D: ps -eo pid,stat,wchan,args",
    )


async def erase_container(engine: Engine, container: str) -> None:
    """Let the daemon erase a container, and see that it is gone. Raises what the daemon says of it."""
    deadline = asyncio.get_running_loop().time() + _ERASE_TIME
    while True:
        refused = BackendError(
            f"The container {container[:12]} cannot be removed.", code="docker.not_removed"
        )
        try:
            await engine.remove(container)
        except BackendError as error:
            if error.code != "docker.failed":
                raise
            refused = error
        if await engine.inspect(container) is None:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise refused
        await asyncio.sleep(0.05)  # another removal of it is on its way, or containerd comes back


async def clear(cgroups: Cgroups, container: str, known: str) -> None:
    """Take away shim, processes and cgroups of a container that its daemon does not have any more.

    `known` is as in `end_processes`. Raises BackendError `cgroup.busy`.
    """
    deadline = asyncio.get_running_loop().time() + _SHIM_TIME
    while known and asyncio.get_running_loop().time() < deadline:
        if not cgroups.exists(known):
            return
        await asyncio.sleep(0.01)  # a shim in good health is about to take it away
    for pid in _shims(container):
        log.warning("The shim of container %s outlived it: it is killed", container[:12])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await end_processes(cgroups, container, known)
    for name in cgroups.find(container):
        await cgroups.remove(name)


def size_on_disk(log_path: str) -> int | None:
    """Bytes of a log and of the one before it; None where the daemon keeps it elsewhere."""
    if not log_path:
        return None
    try:
        size = os.stat(log_path).st_size
    except OSError:
        return None
    return size + (os.stat(f"{log_path}.1").st_size if os.path.exists(f"{log_path}.1") else 0)


def _shims(container: str) -> list[int]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            program, *words = file.read_bytes().decode(errors="replace").split("\0")
            if Path(program).name.startswith(_SHIM) and container in words:
                found.append(int(file.parent.name))
    return found
