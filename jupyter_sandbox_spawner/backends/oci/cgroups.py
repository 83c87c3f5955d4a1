"""Which limits does this kernel enforce on a sandbox, and what does it count? By cgroup v1, v2 or not at all.

Law: a limit is in force when the kernel's own file says so, not when it was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import BackendError, IsolationError
from ...models import Resources, Usage
from ...units import format_size

__all__ = ["Cgroups", "Limits"]

_CPU_PERIOD = 100_000

# What is asked, by version: (controller directory of v1, file).
_V1 = {
    "memory": ("memory", "memory.limit_in_bytes"),
    "swap": ("memory", "memory.memsw.limit_in_bytes"),
    "pids": ("pids", "pids.max"),
    "cpu": ("cpu", "cpu.cfs_quota_us"),
    "cpu_period": ("cpu", "cpu.cfs_period_us"),
    "cpu_used": ("cpuacct", "cpuacct.usage"),
    "memory_used": ("memory", "memory.usage_in_bytes"),
    "memory_peak": ("memory", "memory.max_usage_in_bytes"),
    "memory_events": ("memory", "memory.oom_control"),
    "pids_used": ("pids", "pids.current"),
    "pids_events": ("pids", "pids.events"),
    "processes": ("pids", "cgroup.procs"),
}
_V2 = {
    "memory": ("", "memory.max"),
    "swap": ("", "memory.swap.max"),
    "pids": ("", "pids.max"),
    "cpu": ("", "cpu.max"),
    "cpu_used": ("", "cpu.stat"),
    "memory_used": ("", "memory.current"),
    "memory_peak": ("", "memory.peak"),
    "memory_events": ("", "memory.events"),
    "pids_used": ("", "pids.current"),
    "pids_events": ("", "pids.events"),
    "processes": ("", "cgroup.procs"),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What was tried and read back on this host. `swap`: memory and swap together can be limited."""

    kind: Literal["v1", "v2", "none"]
    enforced: Mapping[str, bool]
    swap: bool


class Cgroups:
    """The cgroup tree of this host; one flat cgroup a sandbox, so no parent of ours is left behind.

    `below` is the cgroup that was handed to us, as /proc/self/cgroup writes it; "" for the whole tree.
    """

    def __init__(self, root: str = "/sys/fs/cgroup", below: str = "") -> None:
        self._root = Path(root)
        self._below = below
        self.kind: Literal["v1", "v2", "none"] = "none"
        if (self._root / "cgroup.controllers").exists():
            self.kind = "v2"
        elif (self._root / "memory").is_dir() and (self._root / "pids").is_dir():
            self.kind = "v1"
        self._files = _V2 if self.kind == "v2" else _V1

    def path(self, name: str) -> str:
        """The cgroupsPath of config.json; "" where there are no cgroups."""
        return "" if self.kind == "none" else f"{self._below}/{name}"

    def hold_devices(self) -> bool:
        """Does this kernel refuse devices by cgroup? By a controller of v1, or by the filter of every v2."""
        return self.kind == "v2" or (self.kind == "v1" and (self._root / "devices/devices.allow").exists())

    def probe(self) -> Limits:
        """Make a cgroup, set each limit, read it back, take it away again."""
        name = f"jupyter-sandbox-probe-{os.getpid()}"
        trials = {"memory": str(64 << 20), "pids": "64", "cpu": "50000"}
        if self.kind == "v2":
            trials["cpu"] = f"50000 {_CPU_PERIOD}"
            # As the runtime will do: a cgroup has only the controllers that its parent hands down.
            with contextlib.suppress(OSError):
                (self._top / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        try:
            for directory in self._trial_directories(name):
                directory.mkdir(exist_ok=True)
            enforced = {key: self._try(name, key, value) for key, value in trials.items()}
            swap = self._file(name, "swap").exists()
        except OSError:
            enforced, swap = dict.fromkeys(trials, False), False
        finally:
            self._remove_directories(name)
        if not any(enforced.values()):
            self.kind = "none"  # a runtime that were given a cgroup would fail where we failed
        return Limits(kind=self.kind, enforced=enforced, swap=swap)

    def make(self, name: str, resources: Resources, swap: bool) -> tuple[Path, ...]:
        """A cgroup with these limits for a runtime that makes none: where its first process has to enter."""
        quota = round(resources.cpu * _CPU_PERIOD)
        values = {"memory": str(resources.memory), "pids": str(resources.pids), "cpu": str(quota)}
        if self.kind == "v2":
            values["cpu"] = f"{quota} {_CPU_PERIOD}"
        if swap:  # after the limit of memory, below which the kernel refuses it
            values["swap"] = "0" if self.kind == "v2" else str(resources.memory)
        places = {self._file(name, key).parent for key in (*values, "cpu_used", "processes")}
        for directory in places:
            directory.mkdir(exist_ok=True)
        for key, value in values.items():
            self._file(name, key).write_text(value)
        return tuple(sorted({directory.resolve() for directory in places}))

    def verify(self, name: str, resources: Resources, swap: bool) -> None:
        """Raise IsolationError unless the kernel holds this sandbox to its limits or to lower ones."""
        most = {"memory": resources.memory, "pids": resources.pids}
        if swap:
            most["swap"] = 0 if self.kind == "v2" else resources.memory
        for key, ceiling in most.items():
            text = self._read(name, key)
            if not text.isdigit() or int(text) > ceiling:
                raise _not_applied(key, text, str(ceiling))
        cores = self._cores(name)
        if not 0 < cores <= resources.cpu * 1.001:  # quotas are whole microseconds
            raise _not_applied("cpu", f"{cores:g}", f"{resources.cpu:g}")

    def _cores(self, name: str) -> float:
        """CPU quota in cores; 0 where none is set."""
        words = self._read(name, "cpu").split()
        if self.kind == "v1":
            words.append(self._read(name, "cpu_period"))
        return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else 0.0

    def usage(self, name: str) -> Usage:
        """CPU, memory, processes and kills for want of memory, as the kernel counted them."""
        if self.kind == "v2":
            used = self._field(name, "cpu_used", "usage_usec")
            seconds = None if used is None else used / 1e6
        else:
            used = self._number(name, "cpu_used")
            seconds = None if used is None else used / 1e9
        return Usage(
            cpu_seconds=seconds,
            memory=self._number(name, "memory_used"),
            memory_peak=self._number(name, "memory_peak"),
            pids=self._number(name, "pids_used"),
            oom_kills=self._field(name, "memory_events", "oom_kill"),
        )

    def refused_processes(self, name: str) -> int:
        """How often the kernel refused it a process for want of room under its limit."""
        return self._field(name, "pids_events", "max") or 0

    def processes(self, name: str) -> tuple[int, ...]:
        """Pids in the sandbox's cgroup; () if it is gone."""
        return tuple(int(line) for line in self._read(name, "processes").split())

    def find(self, word: str) -> set[str]:
        """Names of all cgroups of this host whose last part contains a word."""
        places = [] if self.kind == "none" else [self._root] if self.kind == "v2" else self._root.iterdir()
        found = set()
        for place in places:
            for parent, names, _ in os.walk(place):
                found |= {os.path.relpath(f"{parent}/{name}", place) for name in names if word in name}
        return found

    def made(self, name: str) -> float | None:
        """When it was made, at the latest, in seconds since the epoch; None if it is gone."""
        with contextlib.suppress(OSError):  # it goes while we look
            return min((place.stat().st_ctime for place in self._directories(name)), default=None)
        return None

    def exists(self, name: str) -> bool:
        """Is there still a directory of this cgroup in any hierarchy?"""
        return bool(self._directories(name))

    def kill(self, name: str) -> None:
        """Kill every process in the sandbox's cgroup; for what no record of an init process leads to."""
        for pid in self.processes(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def remove(self, name: str) -> None:
        """End what is left in the sandbox's cgroups and take them away, verified; no-op if gone.

        Raises BackendError `cgroup.busy`.
        """
        deadline = asyncio.get_running_loop().time() + 5.0
        while self._remove_directories(name):
            self.kill(name)  # each time: a process may have started another meanwhile
            if asyncio.get_running_loop().time() > deadline:
                raise BackendError(
                    f"The cgroup {name} still has processes {self.processes(name)}.", code="cgroup.busy"
                )
            await asyncio.sleep(0.01)  # the kernel tells nobody when a dead process has left its cgroup

    def _remove_directories(self, name: str) -> list[Path]:
        left = self._directories(name)
        for directory in left:
            with contextlib.suppress(OSError):  # busy: the caller sees that it is still there
                directory.rmdir()
        return self._directories(name)

    def _directories(self, name: str) -> list[Path]:
        if self.kind == "none":
            return []
        places = [self._root] if self.kind == "v2" else sorted(self._root.iterdir())
        # On v1 some names are links to another controller's directory: the same cgroup twice.
        found = (self._in(place) / name for place in places if not place.is_symlink())
        return [directory for directory in found if directory.is_dir()]

    @property
    def _top(self) -> Path:
        return self._in(self._root)

    def _in(self, hierarchy: Path) -> Path:
        return hierarchy / self._below.lstrip("/")

    def _trial_directories(self, name: str) -> list[Path]:
        if self.kind == "none":
            return []
        return sorted({self._file(name, key).parent for key in ("memory", "pids", "cpu")})

    def _file(self, name: str, key: str) -> Path:
        controller, file = self._files[key]
        return self._in(self._root / controller) / name / file

    def _read(self, name: str, key: str) -> str:
        try:
            return self._file(name, key).read_text().strip()
        except OSError:  # no such file, or the cgroup goes away while we read
            return ""

    def _try(self, name: str, key: str, value: str) -> bool:
        try:
            self._file(name, key).write_text(value)
        except OSError:
            return False
        return self._read(name, key) == value

    def _number(self, name: str, key: str) -> int | None:
        text = self._read(name, key)
        return int(text) if text.isdigit() else None

    def _field(self, name: str, key: str, field: str) -> int | None:
        for line in self._read(name, key).splitlines():
            label, _, value = line.partition(" ")
            if label == field and value.isdigit():
                return int(value)
        return None


def _not_applied(key: str, found: str, wanted: str) -> IsolationError:
    size = format_size(int(wanted)) if key in ("memory", "swap") and wanted != "0" else wanted
    return IsolationError(
        f"The kernel's limit of {key} is {found or 'absent'!s}, not {size}.",
        code="isolation.limit_not_applied",
        field=key,
        remedy="Run: jupyter-sandbox-admin doctor",
    )
