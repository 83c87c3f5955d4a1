"""Does the kernel hold a real container to its limits, and does its neighbour notice nothing?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.docker.layout import LOG_FILES, LOG_SIZE
from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.models import SandboxSpec
from tests.backends.test_oci_limits import (
    test_fifty_start_and_stop_at_once,
    test_fork_bomb,
    test_inotify_is_counted_per_user,
    test_open_files,
    test_pipes_and_queues_are_counted_per_user,
    test_starts_at_once,
    test_tmpfs_is_full,
)

from .bench import DockerBench

__all__ = [
    "test_fork_bomb",
    "test_inotify_is_counted_per_user",
    "test_open_files",
    "test_pipes_and_queues_are_counted_per_user",
    "test_fifty_start_and_stop_at_once",
    "test_starts_at_once",
    "test_tmpfs_is_full",
]

Control = Callable[[str, bool], None]


def cgroup_of(docker: DockerBench, spec: SandboxSpec) -> str:
    """The container's cgroup below every hierarchy."""
    return f"{docker.daemon.directory.name}/{docker.inspect(spec)['Id']}"


def mounts_of(spec: SandboxSpec) -> list[str]:
    """The host's mounts that name it."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if spec.id in line]


@pytest.mark.proves("Q02")
async def test_out_of_memory(docker: DockerBench, control: Control) -> None:
    """A sandbox that takes more than its memory is ended, and its status says what it had."""
    body = "data = []\nfor _ in range(1000):\n    data.append(b'x' * (1 << 20))\n"
    status, _ = await docker.play(body)
    assert (status.value, status.exit_code) == ("stopped", 137)
    assert status.reason == "out of memory: used 256.0 MB of 256.0 MB"
    small, _ = await docker.play("data = b'x' * (64 << 20)")
    control("64 MB of 256 MB can be taken", small.exit_code == 0)


@pytest.mark.proves("Q03", "Q04")
async def test_shared_memory_is_full(docker: DockerBench, control: Control) -> None:
    """/dev/shm and the runtime directory end at their bytes; the root takes nothing at all."""
    body = """
import json, os
answer = {}
for place in ("/dev/shm", "/run/jupyter"):
    size = 0
    try:
        with open(place + "/large", "wb", buffering=0) as stream:
            while size < 1 << 30:
                size += stream.write(b"x" * 65536)
    except OSError as error:
        answer[place] = [size, error.errno]
    os.unlink(place + "/large")
print(json.dumps(answer))
"""
    found = await docker.ask(body)
    assert found["/dev/shm"] == [64 << 20, 28]
    control("16 MB of runtime files can be written", found["/run/jupyter"] == [16 << 20, 28])


@pytest.mark.proves("Q05")
async def test_output_is_bounded(docker: DockerBench, control: Control) -> None:
    """A flood of output ends at the cap of the log on the host's disk, and its end can be read."""
    body = (
        'import os\nfor number in range(20000):\n    os.write(1, b"%06d " % number + b"x" * 1000 + b"\\n")\n'
    )
    spec = await docker.create(docker.spec(main=body))
    await docker.backend.start(spec.id)
    await docker.backend.ended(spec.id, 60)
    usage, tail = await docker.backend.usage(spec.id), await docker.backend.log_tail(spec.id)
    control("its last line is there", tail.rstrip("x\n").endswith("019999 "))
    assert usage.log_bytes is not None
    assert 0 < usage.log_bytes <= LOG_SIZE * LOG_FILES * 1.1
    assert len(tail) <= 65536


async def test_limits_are_read_back(docker: DockerBench) -> None:
    """The kernel's own files hold the spec's limits; other limits are noticed."""
    spec = await docker.running()
    cgroups, name = Cgroups(), cgroup_of(docker, spec)
    cgroups.verify(name, spec.resources, cgroups.probe().swap)
    for lower in ({"memory": 128 << 20}, {"pids": 63}, {"cpu": 0.5}):
        with pytest.raises(IsolationError) as refused:
            cgroups.verify(name, replace(spec.resources, **lower), cgroups.probe().swap)
        assert refused.value.code == "isolation.limit_not_applied"


async def test_usage_is_measured(docker: DockerBench) -> None:
    """CPU seconds, memory, processes and log bytes of a running sandbox are numbers that make sense."""
    spec = await docker.running()
    usage = await docker.backend.usage(spec.id)
    assert usage.cpu_seconds is not None
    assert 0 < usage.cpu_seconds < 30
    assert usage.memory is not None
    assert 1 << 20 < usage.memory < 256 << 20
    assert (usage.pids, usage.oom_kills) == (1, 0)
    assert usage.log_bytes is not None
    assert usage.log_bytes >= len("hello from inside\n")


async def test_hard_where_everything_is_enforced(docker: DockerBench) -> None:
    """The level is hard on this daemon, and a spec that demands it is taken."""
    found = await docker.backend.capabilities()
    assert (found.backend, found.level, found.missing) == ("docker", "hard", ())
    await docker.create(docker.spec(isolation="hard"))


async def test_stop_kills_what_ignores_term(docker: DockerBench) -> None:
    """A sandbox whose processes ignore SIGTERM is dead after the grace, its children too."""
    body = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork(); os.setsid() if os.getpid() != 1 else None
print("hello from inside", flush=True)
time.sleep(600)
"""
    spec = await docker.running(docker.spec(main=body))
    name = cgroup_of(docker, spec)
    assert len(Cgroups().processes(name)) == 2
    status = await docker.backend.stop(spec.id, 0.2)
    assert (status.value, status.exit_code) == ("stopped", 137)
    assert Cgroups().processes(name) == ()


async def test_remove_leaves_nothing(docker: DockerBench) -> None:
    """After remove there is no container, cgroup, mount or record; the home stays."""
    spec = await docker.running()
    name = cgroup_of(docker, spec)
    await docker.backend.remove(spec.id)
    assert docker.containers() == []
    assert os.listdir(f"{docker.docker_site.state}/sandboxes") == []
    assert mounts_of(spec) == []
    assert docker.daemon.cgroups(name.partition("/")[2]) == []
    assert "main.py" in os.listdir(spec.mounts[0].source)
