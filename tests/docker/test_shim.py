"""What becomes of a sandbox whose shim is killed, or containerd, or both: starting, running, stopping?"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.docker.backend import DockerBackend
from jupyter_sandbox_spawner.backends.docker.engine import Document, Engine
from jupyter_sandbox_spawner.backends.docker.layout import container_name
from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.errors import BackendError
from jupyter_sandbox_spawner.models import SandboxSpec, Status

from .bench import DockerBench
from .strikes import begun, containerd_of, left_of, meanwhile, runs_again, shim_of, strike, strike_at

Control = Callable[[str, bool], None]
# A child that outlives a polite request, as a user's own program may.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print("hello from inside", flush=True)
time.sleep(600)
"""


@pytest_asyncio.fixture
async def neighbour(docker: DockerBench, control: Control) -> AsyncIterator[SandboxSpec]:
    """A sandbox that nobody strikes: it goes on, and a later one starts."""
    spec = await docker.running(docker.spec("bob"))
    yield spec
    await runs_again(docker)
    control("the neighbour goes on", await meanwhile(docker, spec))


def container_of(docker: DockerBench, spec: SandboxSpec) -> str:
    """The id of its container."""
    return str(docker.inspect(spec)["Id"])


def processes(docker: DockerBench, container: str) -> tuple[int, ...]:
    """What the kernel has in its cgroup."""
    return Cgroups().processes(f"{docker.daemon.directory.name}/{container}")


async def status_of(docker: DockerBench, spec: SandboxSpec) -> Status:
    """What the backend says."""
    status = await docker.backend.status(spec.id)
    assert status is not None
    return status


async def removed(docker: DockerBench, spec: SandboxSpec, container: str) -> None:
    """It is erased, and nothing names it any more; a dead shim may be reaped a moment later."""
    await docker.backend.remove(spec.id)
    assert docker.daemon.cgroups(container) == []
    deadline = time.monotonic() + 10
    while left := left_of(docker, container):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("step", ["create", "start"])
@pytest.mark.parametrize("name", ["shim", "containerd"])
@pytest.mark.usefixtures("neighbour")
async def test_killed_while_starting(docker: DockerBench, name: str, step: str) -> None:
    """A start that loses its shim or containerd fails; what Docker forgets of it is ended."""
    spec = await docker.create(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    refused = await strike_at(docker, spec, step, name)
    assert "Try again" in refused.remedy
    assert (await status_of(docker, spec)).value == "failed"
    assert processes(docker, container) == ()
    await removed(docker, spec, container)


@pytest.mark.usefixtures("neighbour")
async def test_shim_killed_while_running(docker: DockerBench) -> None:
    """containerd ends what lost its shim; the status says so within seconds, when no process is left."""
    spec = await docker.running(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    assert len(processes(docker, container)) == 2
    strike(shim_of(container))
    ended = await docker.backend.ended(spec.id, 20)
    assert processes(docker, container) == ()
    assert ended is not None
    assert (ended.value, ended.exit_code) == ("stopped", 137)
    await removed(docker, spec, container)


@pytest.mark.usefixtures("neighbour")
async def test_shim_killed_while_stopping(docker: DockerBench) -> None:
    """A stop whose shim dies in its grace ends the processes as if it had not."""
    spec = await docker.running(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    stop = asyncio.create_task(docker.backend.stop(spec.id, 60))
    await begun(docker, spec, "stopping")
    strike(shim_of(container))
    status = await asyncio.wait_for(stop, 20)
    assert (status.value, status.reason) == ("stopped", "stopped on request")
    assert processes(docker, container) == ()
    await removed(docker, spec, container)


@pytest.mark.usefixtures("neighbour")
async def test_containerd_killed_while_running(docker: DockerBench, control: Control) -> None:
    """No session is lost: it runs while containerd is away and after, and its exit status is known."""
    spec = await docker.running()
    container = container_of(docker, spec)
    before = processes(docker, container)
    strike(containerd_of(docker.daemon))
    with pytest.raises(BackendError, match="containerd"):
        await docker.running()
    control("nothing starts while containerd is away", True)
    await runs_again(docker)
    assert (await status_of(docker, spec)).value == "running"
    assert processes(docker, container) == before
    await docker.end(spec, 7)
    ended = await docker.backend.ended(spec.id, 20)
    assert ended is not None
    assert ended.exit_code == 7
    await removed(docker, spec, container)


@pytest.mark.usefixtures("neighbour")
async def test_containerd_killed_while_stopping(docker: DockerBench) -> None:
    """Docker cannot signal then: the kernel is asked, and no process is left when stop returns."""
    spec = await docker.running(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    stop = asyncio.create_task(docker.backend.stop(spec.id, 1))
    await begun(docker, spec, "stopping")
    strike(containerd_of(docker.daemon))
    status = await asyncio.wait_for(stop, 25)
    assert (status.value, status.reason) == ("stopped", "stopped on request")
    assert processes(docker, container) == ()
    await removed(docker, spec, container)


@pytest.mark.usefixtures("neighbour")
async def test_shim_and_containerd_killed(docker: DockerBench, control: Control) -> None:
    """Docker says for ever that it runs; the backend knows the end from the kernel."""
    spec = await docker.running(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    shim = shim_of(container)
    strike(containerd_of(docker.daemon))
    strike(shim)
    assert len(processes(docker, container)) == 2
    assert (await status_of(docker, spec)).value == "running"
    ended = await docker.backend.ended(spec.id, 40)  # a new containerd kills what lost its shim
    assert processes(docker, container) == ()
    control("Docker does not know it", docker.inspect(spec)["State"]["Running"])
    assert ended is not None
    assert (ended.value, ended.exit_code) == ("stopped", None)
    await removed(docker, spec, container)


@pytest.mark.usefixtures("neighbour")
async def test_orphans_are_ended_by_stop(docker: DockerBench) -> None:
    """Without a shim and with a containerd that hangs the processes go on; stop ends them all the same."""
    spec = await docker.running(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    containerd = containerd_of(docker.daemon)
    strike(containerd, signal.SIGSTOP)
    try:
        strike(shim_of(container))
        assert (await status_of(docker, spec)).value == "running"
        assert len(processes(docker, container)) == 2
        status = await docker.backend.stop(spec.id, 0.2)
        assert status.value == "stopped"
        assert processes(docker, container) == ()
    finally:
        strike(containerd, signal.SIGCONT)
    await removed(docker, spec, container)


async def begin_again(docker: DockerBench) -> None:
    """Start the daemon and wait until the backend knows it again."""
    docker.daemon.begin()
    deadline = time.monotonic() + 30
    while missing := (await docker.backend.capabilities()).missing:
        assert time.monotonic() < deadline, missing
        await asyncio.sleep(0.05)  # nobody tells when it is known


@pytest.mark.parametrize("step", ["create", "start"])
async def test_dockerd_killed_while_starting(docker: DockerBench, step: str, control: Control) -> None:
    """A start that loses its daemon fails; with a new daemon nothing of it is left, and others start."""
    spec = await docker.create(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    refused = await strike_at(docker, spec, step, "dockerd")
    assert refused.code in {"docker.unreachable", "docker.failed"}
    await begin_again(docker)
    ended = await docker.backend.ended(spec.id, 40)
    assert ended is not None
    assert ended.value == "failed"
    await removed(docker, spec, container)
    control("others start", (await runs_again(docker)).id != spec.id)


async def test_dockerd_killed_while_stopping(docker: DockerBench, control: Control) -> None:
    """A stop that loses its daemon is asked for again and ends everything."""
    spec = await docker.running(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    stop = asyncio.create_task(docker.backend.stop(spec.id, 2))
    await begun(docker, spec, "stopping")
    docker.daemon.end(kill=True)
    await asyncio.wait([stop])
    await begin_again(docker)
    assert (await docker.backend.stop(spec.id, 1)).value == "stopped"
    assert processes(docker, container) == ()
    await removed(docker, spec, container)
    control("others start", (await runs_again(docker)).id != spec.id)


@pytest.mark.parametrize("restarted", [False, True])
async def test_forgotten_by_docker(
    docker: DockerBench, restarted: bool, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """What Docker has forgotten while it runs is ended by its cgroup, also by a launcher started anew."""
    spec = await docker.running(docker.spec(main=STUBBORN))
    container = container_of(docker, spec)
    control("it has processes", len(processes(docker, container)) == 2)
    inspect = Engine.inspect

    async def forgot(engine: Engine, name: str, patience: float = 60.0) -> Document | None:
        return None if name in (container, container_name(spec.id)) else await inspect(engine, name, patience)

    monkeypatch.setattr(Engine, "inspect", forgot)
    assert isinstance(docker.backend, DockerBackend)
    sandbox = docker.backend._sandboxes[spec.id]
    if restarted:  # it knows what the record says
        sandbox.container, sandbox._cgroup = "", ""
    await sandbox.refresh()
    assert (await status_of(docker, spec)).value == "stopped"
    assert processes(docker, container) == ()
    monkeypatch.undo()
    await removed(docker, spec, container)
