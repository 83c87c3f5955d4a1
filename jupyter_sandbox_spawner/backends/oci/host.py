"""What does this host give to sandboxes, verified: runtime, seccomp, limits, root, user images?"""

from __future__ import annotations

import json
import logging
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from ...models import Capabilities, SandboxSpec, Usage
from ...names import LABEL_OWNER
from ...ordinary import has_own_namespace
from ...rules.soft_limits import soft_limits
from ...settings import Environment
from ..base import CANNOT_START, unknown_environment
from ..given import Given, GpuSource, NoGpus, Obstacle, refuse_gpu
from ..records import Records
from .cgroups import Cgroups, Limits
from .delegation import delegated, make_room
from .layout import INSIDE, Place, gpu_binds
from .namespace import hold_processes, share_inotify
from .processes import by_namespace, count, namespace_of
from .rootfs import (
    add_points,
    environment_directories,
    own_top,
    prepare_rootfs,
    rootfs_path,
    system_directories,
)
from .runtime import Runtime
from .runtimes import Runtimes

__all__ = ["NO_SWAP_LIMIT", "OciHost", "OciSite", "has_swap", "load_seccomp"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")


@dataclass(frozen=True, kw_only=True)
class OciSite:
    """What the admin decides: directories, user images, runtimes.

    `state` holds bundles and the runtimes' state; `inside` holds pid 1; `root_uid` owns nothing on the
    host and is uid 0 inside. Without the first of the `runtimes` nothing starts; the others are for the
    sandboxes that name them.
    """

    state: str
    inside: str
    environments: Mapping[str, Environment]
    root_uid: int
    runtimes: tuple[str, ...] = ("runc",)
    cgroup_root: str = "/sys/fs/cgroup"
    gpus: GpuSource = field(default_factory=NoGpus)


def load_seccomp() -> dict[str, Any]:
    """The package's seccomp profile without its comments, as the runtime takes it."""
    text = resources.files("jupyter_sandbox_spawner.backends").joinpath("seccomp.json").read_text()
    profile: dict[str, Any] = json.loads(text)
    for rule in profile["syscalls"]:
        rule.pop("comment", None)
    return profile


class OciHost:
    """Verified once, when the launcher starts; `place` then says what one sandbox gets."""

    def __init__(self, site: OciSite) -> None:
        self.site = site
        self.own_namespace = has_own_namespace()
        self.rootfs: Path = rootfs_path(site.state)
        self.records = Records(f"{site.state}/sandboxes")
        self.runtimes = Runtimes(site.runtimes, site.state)
        self.cgroups = Cgroups(site.cgroup_root, _handed_to_us(site) if self.own_namespace else "")
        self._seccomp = load_seccomp()
        self._limits = Limits(kind="none", enforced={}, swap=False)
        self._directories: dict[str, tuple[str, ...]] = {}
        self.capabilities = Capabilities(backend="oci", level="soft", limits={}, runtimes={})

    async def prepare(self) -> None:
        """Verify the host and make the root file system. Raises ConfigurationError for a wrong user image."""
        system, links = system_directories()
        for name, environment in self.site.environments.items():
            own = environment_directories(name, environment)
            self._directories[name] = (*system, *own)
        if self.own_namespace:
            images = (path for paths in self._directories.values() for path in paths)
            self.rootfs = rootfs_path(self.site.state, own_top([self.site.state, self.site.inside, *images]))
        points = sorted({path for paths in self._directories.values() for path in paths})
        prepare_rootfs(self.rootfs, points, links)
        self._limits = self.cgroups.probe()
        self.capabilities = await self._verify()

    def place(self, spec: SandboxSpec) -> Place:
        """What this host gives the sandbox. Raises BackendError `environment.unknown`."""
        if spec.environment_name not in self._directories:
            raise unknown_environment(spec.environment_name, self._directories)
        prefix = self.site.environments[spec.environment_name].prefix
        runtime = self.runtime(spec)
        namespace = "" if runtime.own_kernel else f"{self.records.bundle(spec.id)}/userns"
        # A kernel of its own knows nothing of the limits with which its program was started.
        limits = {"RLIMIT_NOFILE": spec.resources.files, "RLIMIT_CORE": 0}
        given = self.site.gpus.give(spec.gpu_devices)
        if obstacle := self.gpu_obstacle(given, runtime):
            raise refuse_gpu(obstacle)
        return Place(
            rootfs=str(self.rootfs),
            inside=self.site.inside,
            read_only=self._directories[spec.environment_name],
            command=(f"{prefix}/bin/python", "-I", "-S", "-B", INSIDE),
            root_uid=self.site.root_uid,
            user_namespace=namespace,
            cgroup=self.cgroups.path(self.cgroup_name(spec.id)),
            limit_swap=self._limits.swap,
            seccomp=runtime.filter(self._seccomp),
            rlimits=limits if runtime.own_kernel else {},
            gpus=given,
            own_points=runtime.own_kernel,
        )

    def make_points(self, spec: SandboxSpec, place: Place) -> None:
        """Where datasets and what its devices bring along are mounted; the tree of all only grows."""
        binds = {target: source for target, (source, _) in gpu_binds(place).items()}
        if place.own_points:
            binds |= {mount.target: mount.source for mount in spec.mounts if mount.kind == "dataset"}
        add_points(self.rootfs, binds, place.read_only)

    def gpu_obstacle(self, given: Given, runtime: Runtime | None = None) -> Obstacle | None:
        """Why these devices cannot be given here, or under this runtime; None where they can."""
        if not given.ids:
            return None
        if runtime is not None and runtime.own_kernel:
            return _GVISOR
        if self.own_namespace:
            return _ORDINARY
        return given.obstacle or (None if self.cgroups.hold_devices() else _NO_CONTROLLER)

    def runtime(self, spec: SandboxSpec) -> Runtime:
        """The one that this sandbox runs under."""
        return self.runtimes.find(spec.runtime)

    def cgroup_to_enter(self, spec: SandboxSpec) -> tuple[Path, ...]:
        """For a runtime that sets no limits: the directories of a cgroup that has them; else ()."""
        runtime = self.runtime(spec)
        if not runtime.own_kernel:
            return ()
        return self.cgroups.make(self.cgroup_name(spec.id), runtime.held(spec.resources), self._limits.swap)

    async def erase(self, runtime: Runtime, sandbox_id: str) -> None:
        """End what is left of a sandbox and take away what runtime and kernel know of it."""
        name = self.cgroup_name(sandbox_id)
        if not runtime.own_kernel:
            await runtime.delete(sandbox_id)
        await self.cgroups.remove(name)
        if runtime.own_kernel:
            await runtime.delete(sandbox_id)

    @staticmethod
    def cgroup_name(sandbox_id: str) -> str:
        """The one directory name of a sandbox in every cgroup hierarchy; it carries the owner's label."""
        return f"{LABEL_OWNER}-{sandbox_id}"

    async def hold(self, spec: SandboxSpec, pid: int) -> None:
        """Set what no cgroup limits, verify what one does; raises IsolationError where it is not in force."""
        if self._hard_limits():
            most = self.runtime(spec).held(spec.resources)
            self.cgroups.verify(self.cgroup_name(spec.id), most, self._limits.swap)
        if not self._limits.enforced.get("pids"):
            await hold_processes(pid, spec.resources.pids)
        if self.own_namespace:
            await share_inotify(pid)

    def open_files(self, spec: SandboxSpec) -> int:
        """How many files a sandbox may open: what its profile says, or ours where that is less."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        privileged = os.geteuid() == 0 and not has_own_namespace()
        wanted = self.runtime(spec).open_files(spec.resources)
        return wanted if privileged else min(wanted, most)

    def usage(self, spec: SandboxSpec, pid: int | None) -> Usage:
        """What the kernel counted for a sandbox; where it did not, what its processes add up to now."""
        counted = self.cgroups.usage(self.cgroup_name(spec.id))
        namespace = None if pid is None else namespace_of(pid)
        if counted.pids is not None:
            counted = replace(counted, pids=self.runtime(spec).pids(counted.pids))
        if counted.memory is not None or pid is None or namespace is None:
            return counted
        found = count(pid, by_namespace().get(namespace, ()), spec.resources)
        return replace(counted, cpu_seconds=found.cpu_seconds, memory=found.memory, pids=found.pids)

    def _hard_limits(self) -> bool:
        return bool(self._limits.enforced) and all(self._limits.enforced.values())

    async def _verify(self) -> Capabilities:
        await self.runtimes.verify(self.site.cgroup_root, self._hard_limits())
        why = self.runtimes.refused.get(self.site.runtimes[0])
        missing = [f"{CANNOT_START} {why}"] if why else []
        # Without a cgroup for them, processes are held by a limit of the sandbox's own namespace.
        limits = {**self._limits.enforced, "pids": True}
        missing += [_SOFT[name] for name in soft_limits(limits)]
        if "cpu" in soft_limits(limits) or "memory" in soft_limits(limits):
            missing.append(_ASK_OWN if self.own_namespace else _ASK_ROOT)
        if not self._limits.swap and has_swap():
            limits["swap"] = False
            missing.append(NO_SWAP_LIMIT)
        level = "hard" if not missing and self._hard_limits() else "soft"
        return Capabilities(
            backend="oci",
            level=level,  # type: ignore[arg-type]
            limits=limits,
            runtimes=self.runtimes.usable,
            refused=self.runtimes.refused,
            missing=tuple(missing),
        )


NO_SWAP_LIMIT = "Swap cannot be limited. Run: swapoff -a, or boot with swapaccount=1."
_SOFT = {
    "memory": "The limit of memory is soft here: a sandbox that passes it is ended within a second or two.",
    "cpu": "The kernel does not limit CPU time here.",
}
_ASK_ROOT = "Give the launcher a cgroup tree with the controllers memory, pids and cpu."
_ASK_OWN = (
    "For hard limits run as root, or in a cgroup of one's own:"
    " systemd-run --user --scope -p Delegate=yes jupyter-sandbox-admin run -f FILE."
)


_GVISOR = Obstacle(
    code="gpu.gvisor",
    message="gVisor gives no device of the host: its own support for GPUs (nvproxy) is not used here.",
    remedy="Give the profile the runtime runc, or no GPU.",
)
_ORDINARY = Obstacle(
    code="gpu.ordinary",
    message="An ordinary user's launcher cannot keep a sandbox from the other devices by a device cgroup.",
    remedy="Run as root: sudo jupyter-sandbox-admin run",
)
_NO_CONTROLLER = Obstacle(
    code="gpu.unusable",
    message="This kernel has no cgroup that keeps a sandbox from the other devices.",
    remedy="Mount the controller devices (cgroup v1), or boot with cgroup v2.",
)


def _handed_to_us(site: OciSite) -> str:
    below = delegated(site.cgroup_root, Path("/proc/self/cgroup").read_text())
    if below:
        try:
            make_room(site.cgroup_root, below)
        except OSError as error:
            log.warning("The cgroup %s is ours but cannot be used: %s", below, error)
            return ""
    return below


def has_swap() -> bool:
    """Has this host any swap at the moment, into which memory could pass its limit?"""
    return len(Path("/proc/swaps").read_text().splitlines()) > 1
