"""What happens when a disk is full: the launcher's, or that of Docker's data-root?"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.docker.backend import DockerBackend
from jupyter_sandbox_spawner.errors import BackendError
from jupyter_sandbox_spawner.models import SandboxSpec
from tests.support.disks import a_full_disk_refuses_starts_alone, full, small, what_runs_can_end

from .bench import DockerBench, open_bench
from .daemon import Daemon, run_daemon
from .test_daemon import launcher

Control = Callable[[str, bool], None]
ROOM = 1400 << 20  # bytes: the image and Docker's own files, with some left


async def test_disk_of_the_launcher_is_full(docker: DockerBench, tmp_path: Path, control: Control) -> None:
    """Create and start are refused with the remedy, nothing is half made; what runs goes on and can end."""

    def is_running(spec: SandboxSpec) -> bool:
        return bool(docker.inspect(spec)["State"]["Running"])

    with small(tmp_path) as disk:
        async with launcher(docker, state=str(disk / "l")):
            await a_full_disk_refuses_starts_alone(docker, disk / "l", is_running, control)
    assert docker.containers() == []


@pytest.fixture(scope="module")
def small_daemon() -> Iterator[Daemon]:
    """A daemon whose data, state and log lie on a small file system."""
    with run_daemon(ROOM) as daemon:
        yield daemon


@pytest_asyncio.fixture
async def on_small(small_daemon: Daemon, tmp_path: Path) -> AsyncIterator[DockerBench]:
    """The backend on that daemon."""
    async with open_bench(tmp_path, small_daemon) as bench:
        yield bench


def layers(daemon: Daemon) -> list[str]:
    """What Docker keeps of containers."""
    return sorted(os.listdir(daemon.directory / "data/containers"))


async def test_disk_of_docker_is_full(on_small: DockerBench, control: Control) -> None:
    """Create and start are refused with the remedy, nothing is left; what runs goes on and can end."""
    backend = on_small.backend
    assert isinstance(backend, DockerBackend)
    runs, other, made = [await on_small.running() for _ in range(2)] + [
        await on_small.create(on_small.spec())
    ]
    new = on_small.spec()
    with full(on_small.daemon.directory):
        before = layers(on_small.daemon)
        with pytest.raises(BackendError, match="Free space on the file system of Docker's data-root"):
            await backend.create(new, on_small.doors(new), {})
        assert layers(on_small.daemon) == before
        with pytest.raises(BackendError, match="Free space on the file system of Docker's data-root"):
            await backend.start(made.id)
        assert not on_small.inspect(made)["State"]["Running"]
        assert (await backend.usage(runs.id)).pids == 1
        await what_runs_can_end(on_small, runs, other)
        await backend.remove(made.id)
    control("with room the same start runs", (await on_small.running(new)) == new)
