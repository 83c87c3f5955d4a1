"""What happens on the local backend when its disk is full, or its wall clock leaps?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.models import SandboxSpec
from jupyter_sandbox_spawner.names import LABEL_OWNER
from tests.backends.tiny import OciBench
from tests.support.disks import a_full_disk_refuses_starts_alone, small
from tests.support.leap import a_leap_ends_nothing

pytestmark = pytest.mark.lane("root", "runc")
Control = Callable[[str, bool], None]


@pytest.mark.lane("cgroup")
async def test_disk_of_the_launcher_is_full(oci: OciBench, tmp_path: Path, control: Control) -> None:
    """Create and start are refused with the remedy, nothing is half made; what runs goes on and can end."""
    own = oci.backend
    with small(tmp_path) as disk:
        async with OciBackend.opened(replace(oci.site, state=str(disk / "l"))) as oci.backend:
            await a_full_disk_refuses_starts_alone(oci, disk / "l", has_processes, control)
    oci.backend = own


def has_processes(spec: SandboxSpec) -> bool:
    """Are there any in its cgroup?"""
    return Cgroups().processes(f"{LABEL_OWNER}-{spec.id}") != ()


@pytest.mark.lane("faketime")
@pytest.mark.parametrize("hours", [1, -1])
def test_the_clock_leaps(tmp_path: Path, hours: int, control: Control) -> None:
    """Nothing ends by it, waits last as long as ever, ends are told, a new start has the new time."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o711)
    a_leap_ends_nothing("", tmp_path, hours, control)
