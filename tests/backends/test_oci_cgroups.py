"""Are both versions of cgroups read and verified alike? Trees of plain files stand for the kernel's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.models import Resources, Usage

RESOURCES = Resources(cpu=1.5, memory=1 << 30, pids=256)
USAGE = Usage(cpu_seconds=2.5, memory=1000, memory_peak=2000, pids=3, oom_kills=1)
V2 = {
    "cgroup.procs": "11\n12\n",
    "memory.max": "1073741824\n",
    "memory.swap.max": "0\n",
    "pids.max": "256\n",
    "cpu.max": "150000 100000\n",
    "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
    "memory.current": "1000\n",
    "memory.peak": "2000\n",
    "memory.events": "low 0\noom 1\noom_kill 1\n",
    "pids.current": "3\n",
}
V1 = {
    "memory/memory.limit_in_bytes": "1073741824\n",
    "memory/memory.memsw.limit_in_bytes": "1073741824\n",
    "memory/memory.usage_in_bytes": "1000\n",
    "memory/memory.max_usage_in_bytes": "2000\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "pids/pids.max": "256\n",
    "pids/pids.current": "3\n",
    "pids/cgroup.procs": "11\n12\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpuacct/cpuacct.usage": "2500000000\n",
}


def _tree(root: Path, version: str) -> Cgroups:
    if version == "v2":
        (root / "cgroup.controllers").write_text("cpu memory pids\n")
    for name, text in (V2 if version == "v2" else V1).items():
        *controller, file = name.split("/")
        path = root.joinpath(*controller, "one", file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Cgroups(str(root))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_counts_are_read(tmp_path: Path, version: str) -> None:
    """CPU, memory, peak, processes and kills are the kernel's numbers, in seconds and bytes."""
    cgroups = _tree(tmp_path, version)
    assert cgroups.kind == version
    assert cgroups.usage("one") == USAGE
    assert cgroups.processes("one") == (11, 12)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("lower", [{"cpu": 1.0}, {"memory": 1 << 29}, {"pids": 255}])
def test_looser_limit_is_noticed(tmp_path: Path, version: str, lower: dict[str, float]) -> None:
    """Limits at or below the spec's pass; one above it is refused by name."""
    cgroups = _tree(tmp_path, version)
    cgroups.verify("one", RESOURCES, swap=True)
    cgroups.verify("one", replace(RESOURCES, cpu=2.0, pids=300, memory=2 << 30), swap=True)
    with pytest.raises(IsolationError) as refused:
        cgroups.verify("one", replace(RESOURCES, **lower), swap=True)  # type: ignore[arg-type]
    assert refused.value.code == "isolation.limit_not_applied"
    assert refused.value.field in lower


@pytest.mark.parametrize(
    ("version", "file", "text"),
    [
        ("v2", "memory.max", "max"),
        ("v2", "memory.swap.max", "max"),
        ("v2", "pids.max", "max"),
        ("v2", "cpu.max", "max 100000"),
        ("v1", "memory/memory.limit_in_bytes", "9223372036854771712"),
        ("v1", "memory/memory.memsw.limit_in_bytes", "9223372036854771712"),
        ("v1", "pids/pids.max", "max"),
        ("v1", "cpu/cpu.cfs_quota_us", "-1"),
    ],
)
def test_absent_limit_is_noticed(tmp_path: Path, version: str, file: str, text: str) -> None:
    """The kernel's way of saying "no limit" is refused for each limit, in both versions."""
    cgroups = _tree(tmp_path, version)
    *controller, name = file.split("/")
    tmp_path.joinpath(*controller, "one", name).write_text(text)
    with pytest.raises(IsolationError):
        cgroups.verify("one", RESOURCES, swap=True)


def test_nothing_there(tmp_path: Path) -> None:
    """Without cgroups nothing is enforced, nothing is counted and nothing can be asked for."""
    cgroups = Cgroups(str(tmp_path))
    assert (cgroups.kind, cgroups.path("one")) == ("none", "")
    assert set(cgroups.probe().enforced.values()) == {False}
    assert cgroups.usage("one") == Usage(cpu_seconds=None, memory=None, memory_peak=None, pids=None)
