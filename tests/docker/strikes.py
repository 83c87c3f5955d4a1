"""How are Docker's own helpers killed in a test, and what must be gone of a container afterwards?"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import BackendError
from jupyter_sandbox_spawner.models import SandboxSpec, StatusValue

from .bench import DockerBench
from .daemon import Daemon

__all__ = ["begun", "containerd_of", "left_of", "meanwhile", "runs_again", "shim_of", "strike", "strike_at"]


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Every process of the machine with its words."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended meanwhile
            yield int(name), Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace").split("\0")


def shim_of(container: str) -> int:
    """The pid of a container's shim, 0 if it has none."""
    return next((pid for pid, words in command_lines() if "shim" in words[0] and container in words), 0)


def containerd_of(daemon: Daemon) -> int:
    """The pid of the daemon's own containerd, 0 while it has none."""
    config = f"{daemon.directory}/exec/containerd/containerd.toml"
    return next((pid for pid, words in command_lines() if "containerd" in words[0] and config in words), 0)


def strike(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a program that must be there."""
    assert pid
    os.kill(pid, number)


@contextmanager
def held_at(daemon: Daemon, step: str) -> Iterator[Path]:
    """A daemon whose runc takes a step and then keeps its shim waiting; the file is there from then on."""
    held, program = daemon.programs / "held", daemon.programs / "runc"
    real = shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    daemon.programs.mkdir(exist_ok=True)
    program.write_text(
        f'#!/bin/sh\n{real} "$@" || exit\n'
        f'case " $* " in *" {step} "*) touch {held}; while [ -e {program} ]; do sleep 0.05; done ;; esac\n'
    )
    program.chmod(0o755)
    try:
        yield held
    finally:
        program.unlink()
        held.unlink(missing_ok=True)


async def strike_at(docker: DockerBench, spec: SandboxSpec, step: str, name: str) -> BackendError:
    """Kill shim, containerd or dockerd of a start when runc has taken a step; what the start says."""
    container = str(docker.inspect(spec)["Id"])
    with held_at(docker.daemon, step) as held:
        start = asyncio.create_task(docker.backend.start(spec.id))
        deadline = time.monotonic() + 30
        while not await asyncio.to_thread(held.exists):
            assert time.monotonic() < deadline, f"runc never did {step}"
            await asyncio.sleep(0.01)  # nobody tells that it did
        if name == "dockerd":
            docker.daemon.end(kill=True)
        else:
            strike(shim_of(container) if name == "shim" else containerd_of(docker.daemon))
        with pytest.raises(BackendError) as refused:
            await start
    return refused.value


async def begun(docker: DockerBench, spec: SandboxSpec, value: StatusValue) -> None:
    """Wait for the event that tells a sandbox's status."""
    after = 0
    while True:
        for event in await docker.backend.events(after, 20):
            after = event.seq
            if (event.sandbox, event.kind) == (spec.id, f"sandbox.{value}"):
                return


async def meanwhile(docker: DockerBench, spec: SandboxSpec) -> bool:
    """Does a neighbour still run and do what it is asked? It is at its end afterwards."""
    status = await docker.backend.status(spec.id)
    if status is None or status.value != "running":
        return False
    await docker.end(spec, 3)
    ended = await docker.backend.ended(spec.id, 40)
    return ended is not None and ended.exit_code == 3


def left_of(docker: DockerBench, container: str) -> list[str]:
    """Mounts, processes and records of Docker that still name a container."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if container in line]
    programs = [" ".join(words) for _, words in command_lines() if container in words]
    known = docker.daemon.ask("ps", "--all", "--quiet", "--no-trunc").split()
    return mounts + programs + [name for name in known if name == container]


async def runs_again(docker: DockerBench) -> SandboxSpec:
    """A sandbox that runs; a containerd that was killed is back after ten seconds."""
    deadline = time.monotonic() + 40
    while True:
        spec = docker.spec()
        try:
            return await docker.running(spec)
        except BackendError as error:
            if "Try again" not in error.remedy or time.monotonic() > deadline:
                raise
            await docker.backend.remove(spec.id)
        await asyncio.sleep(0.2)  # nobody tells when it is back
