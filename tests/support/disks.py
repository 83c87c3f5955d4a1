"""How is a disk small, how is it full, and what must then go on?"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import BackendError
from jupyter_sandbox_spawner.models import SandboxSpec
from tests.backends.tiny import OciBench

__all__ = ["a_full_disk_refuses_starts_alone", "full", "small", "what_runs_can_end"]

Control = Callable[[str, bool], None]


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """Not one block is free below a directory, until the end."""
    ballast = directory / "ballast"
    try:
        with ballast.open("wb", buffering=0) as stream:
            for size in (64 << 20, 1 << 20, 4096):
                with contextlib.suppress(_FullError):
                    while True:
                        _write(stream.fileno(), size)
        assert shutil.disk_usage(directory).free == 0
        yield
    finally:
        ballast.unlink()


class _FullError(Exception):
    pass


def _write(descriptor: int, size: int) -> None:
    place = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        os.posix_fallocate(descriptor, place, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _FullError from error


@contextmanager
def small(directory: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0711", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


async def what_runs_can_end(bench: OciBench, runs: SandboxSpec, other: SandboxSpec) -> None:
    """One is stopped on request, one ends by itself with its exit status and is removed."""
    assert (await bench.backend.stop(other.id, 10)).reason == "stopped on request"
    await bench.end(runs, 5)
    ended = await bench.backend.ended(runs.id, 20)
    assert ended is not None
    assert ended.exit_code == 5
    await bench.backend.remove(runs.id)


async def a_full_disk_refuses_starts_alone(
    bench: OciBench, state: Path, is_running: Callable[[SandboxSpec], bool], control: Control
) -> None:
    """Create and start are refused with the remedy, nothing is half made; what runs goes on and can end.

    `state` is the launcher's, on the disk that becomes full; `is_running`: as the host sees a sandbox.
    """
    backend = bench.backend
    runs, other, made = [await bench.running() for _ in range(2)] + [await bench.create(bench.spec())]
    control("what runs is seen to run", is_running(runs))
    new = bench.spec()
    with full(state.parent):
        bundles = sorted(os.listdir(state / "sandboxes"))
        with pytest.raises(BackendError, match=f"Make room.*{state}") as refused:
            await backend.create(new, bench.doors(new), {})
        assert refused.value.code == "launcher.disk_full"
        assert sorted(os.listdir(state / "sandboxes")) == bundles
        with pytest.raises(BackendError, match="Make room"):
            await backend.start(made.id)
        assert not is_running(made)
        await what_runs_can_end(bench, runs, other)
    control("with room the same starts run", (await bench.running(new)) == new)
    await backend.start(made.id)
    for item in await backend.inventory():
        await backend.remove(item.id)
    assert os.listdir(state / "sandboxes") == []
