"""What happens on the local backend when its disk is full, or its wall clock leaps?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from jupyter_sandbox_spawner.errors import BackendError
from tests.backends.tiny import OciBench
from tests.support.disks import full, small
from tests.support.leap import a_leap_ends_nothing

pytestmark = pytest.mark.lane("root", "runc")
Control = Callable[[str, bool], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    with small(tmp_path) as directory:
        yield directory


async def test_disk_of_the_launcher_is_full(oci: OciBench, small_disk: Path, control: Control) -> None:
    """Create and start are refused with the remedy, nothing is half made; what runs goes on and can end."""
    state = small_disk / "l"
    async with OciBackend.opened(replace(oci.site, state=str(state))) as backend:
        own, oci.backend = oci.backend, backend
        runs, other, made = [await oci.running() for _ in range(2)] + [await oci.create(oci.spec())]
        new = oci.spec()
        with full(small_disk):
            bundles = sorted(os.listdir(state / "sandboxes"))
            with pytest.raises(BackendError, match=f"Make room.*{state}") as refused:
                await backend.create(new, oci.doors(new), {})
            assert refused.value.code == "launcher.disk_full"
            assert sorted(os.listdir(state / "sandboxes")) == bundles
            with pytest.raises(BackendError, match="Make room"):
                await backend.start(made.id)
            assert (await backend.stop(other.id, 10)).reason == "stopped on request"
            await oci.end(runs, 5)
            ended = await backend.ended(runs.id, 20)
            assert ended is not None
            assert ended.exit_code == 5
            await backend.remove(runs.id)
        control("with room the same start runs", (await oci.running(new)) == new)
        for item in await backend.inventory():
            await backend.remove(item.id)
        assert os.listdir(state / "sandboxes") == []
        oci.backend = own


@pytest.mark.lane("faketime")
@pytest.mark.parametrize("hours", [1, -1])
def test_the_clock_leaps(tmp_path: Path, hours: int, control: Control) -> None:
    """Nothing ends by it, waits last as long as ever, ends are told, a new start has the new time."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o711)
    a_leap_ends_nothing("", tmp_path, hours, control)
