"""Which GPUs do tests have on a host without any? Three harmless devices of its kernel, by a CDI spec.

They are nodes made by `mknod` in a directory of the test, for drivers that nothing else needs and that no
runtime lets through by itself; inside they are seen as NVIDIA's would be.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.launcher.gpus import HostGpus
from jupyter_sandbox_spawner.launcher.nvml import DriverGpu

__all__ = ["KIND", "LOOK", "ThreeGpus", "from_cgroup", "gpu_id", "no_driver"]

KIND = "test.example/gpu"
# Harmless to open, and none of them is in any runtime's own list of allowed devices.
_DRIVERS = ("loop-control", "fuse", "btrfs-control", "autofs", "cpu_dma_latency", "vga_arbiter")
# Run inside: which nodes are there, what opening and making them gives, what the variable says.
LOOK = """
import errno, json, os
def trial(function, *arguments):
    try:
        function(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
answer = {"nodes": sorted(name for name in os.listdir("/dev") if name.startswith("nvidia"))}
answer["open"] = [trial(os.open, f"/dev/nvidia{number}", os.O_RDWR) for number in range(3)]
answer["mknod"] = [trial(os.mknod, f"/tmp/n{minor}", 0o20666, os.makedev(10, minor)) for minor in MINORS]
answer["visible"] = os.environ.get("NVIDIA_VISIBLE_DEVICES", "")
answer["library"] = os.path.exists("/opt/test-gpu/libtest.txt")
answer["writable"] = trial(open, "/opt/test-gpu/libtest.txt", "a")
answer["flavour"] = os.environ.get("TEST_GPU", "")
print(json.dumps(answer))
"""


def gpu_id(number: int) -> str:
    """The id of one of the three."""
    return f"{KIND}={number}"


def no_driver() -> tuple[tuple[DriverGpu, ...], str]:
    """A host whose NVML finds nothing."""
    return (), "NVML finds no NVIDIA driver."


class ThreeGpus:
    """Nodes, a library and their CDI spec below a directory."""

    def __init__(self, directory: Path) -> None:
        self.specs = directory / "cdi"
        self.specs.mkdir()
        (directory / "gpu-library").mkdir()
        (directory / "gpu-library/libtest.txt").write_text("a library")
        self.library = directory / "gpu-library"
        self.minors = _minors()
        self.nodes = [directory / f"test-gpu{number}" for number in range(3)]
        for node, minor in zip(self.nodes, self.minors, strict=True):
            os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, minor))
            node.chmod(0o666)
        self.write()

    @property
    def look(self) -> str:
        """The program that looks around inside."""
        return LOOK.replace("MINORS", repr(self.minors))

    def document(self) -> dict[str, Any]:
        """A spec of the three, as a vendor's program would write it."""
        return {
            "cdiVersion": "0.6.0",
            "kind": KIND,
            "containerEdits": {
                "env": ["NVIDIA_VISIBLE_DEVICES=all", "TEST_GPU=yes"],
                "mounts": [
                    {
                        "hostPath": str(self.library),
                        "containerPath": "/opt/test-gpu",
                        "options": ["rw", "bind"],
                    }
                ],
            },
            "devices": [
                {"name": "all", "containerEdits": {"deviceNodes": [self._node(n) for n in range(3)]}},
                *({"name": str(n), "containerEdits": {"deviceNodes": [self._node(n)]}} for n in range(3)),
            ],
        }

    def _node(self, number: int) -> dict[str, Any]:
        return {"path": f"/dev/nvidia{number}", "hostPath": str(self.nodes[number]), "permissions": "rwm"}

    def write(self, document: Mapping[str, Any] | None = None, name: str = "test.json") -> Path:
        """A file of the directory of specs."""
        path = self.specs / name
        path.write_text(json.dumps(document or self.document()))
        return path

    def host(self) -> HostGpus:
        """What a launcher with this directory knows."""
        return HostGpus((str(self.specs),), no_driver)


def from_cgroup(pid: int, nodes: Sequence[Path]) -> tuple[list[str], list[str]]:
    """What opening each node gives to a process of root, before and after it joins the cgroups of `pid`."""
    program = """
import errno, json, os, sys
def opened(path):
    try:
        os.close(os.open(path, os.O_RDWR))
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
*groups, nodes = sys.argv[1:]
nodes = json.loads(nodes)
before = [opened(node) for node in nodes]
for group in groups:
    open(f"{group}/cgroup.procs", "w").write("0")
print(json.dumps([before, [opened(node) for node in nodes]]))
"""
    words = [*_groups(pid), json.dumps([str(node) for node in nodes])]
    command = [sys.executable, "-c", program, *words]
    before, after = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return before, after


def _groups(pid: int) -> list[str]:
    """The directory of the device cgroup: that of v1's controller, or the one of v2."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    found = [f"/sys/fs/cgroup/devices{path}" for _, names, path in lines if "devices" in names.split(",")]
    return found or [f"/sys/fs/cgroup{path}" for _, names, path in lines if names == ""]


def _minors() -> list[int]:
    """Three of the misc devices (major 10) that this kernel has and that can be opened."""
    lines = (line.split() for line in Path("/proc/misc").read_text().splitlines())
    known = {name: int(minor) for minor, name in lines}
    return [known[name] for name in _DRIVERS if name in known][:3]
