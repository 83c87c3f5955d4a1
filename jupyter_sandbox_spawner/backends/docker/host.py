"""What does the daemon give to sandboxes, verified: is it here, which limits, which images?"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import BackendError, IsolationError, SandboxError
from ...models import Capabilities, SandboxSpec, Usage
from ...names import GVISOR, stable_hash
from ...settings import Environment
from ..base import CANNOT_START, unknown_environment
from ..given import Given, GpuSource, NoGpus, Obstacle, refuse_gpu
from ..oci.cgroups import Cgroups
from ..oci.host import NO_SWAP_LIMIT, has_swap, load_seccomp
from ..oci.kernel import start_time
from ..oci.layout import INSIDE
from ..oci.process import InitProcess
from ..records import Records
from .engine import Document, Engine
from .etc import write_etc
from .gpus import choose_way
from .layout import Place

__all__ = ["DockerHost", "DockerSite"]

# What the daemon says of its own host, by limit.
_LIMITS = {"memory": "MemoryLimit", "pids": "PidsLimit", "cpu": "CpuCfsQuota"}
_REMAPS = "The daemon maps users to others, so that a home's owner would not be its user."
_OPTIONS = {
    "rootless": f"{_REMAPS} Use a daemon that runs as root, or the local backend.",
    "userns": f"{_REMAPS} Remove userns-remap from /etc/docker/daemon.json.",
}


@dataclass(frozen=True, kw_only=True)
class DockerSite:
    """What the admin decides: the daemon's socket, user images, what is shown to everybody read-only.

    `state` holds one directory a sandbox; `inside` holds pid 1; `shared` maps a target to a host directory.
    """

    state: str
    inside: str
    environments: Mapping[str, Environment]
    socket: str
    runtimes: tuple[str, ...] = ("runc",)
    shared: Mapping[str, str] = field(default_factory=dict)
    cgroup_root: str = "/sys/fs/cgroup"
    gpus: GpuSource = field(default_factory=NoGpus)


class DockerHost:
    """Verified each time the daemon answers anew; `place` then says what one sandbox gets."""

    def __init__(self, site: DockerSite) -> None:
        self.site = site
        self.engine = Engine(site.socket)
        self.records = Records(f"{site.state}/sandboxes")
        self.label = stable_hash("site", site.state, length=12)
        self.cgroups = Cgroups(site.cgroup_root)
        self._seccomp = json.dumps(load_seccomp(), sort_keys=True)
        self._swap = False
        self.identity = ""
        self._info: Document = {}
        self.capabilities = _capabilities(
            {}, {}, [f"{CANNOT_START} the Docker daemon has not been asked yet."]
        )

    async def verify(self) -> None:
        """Ask the daemon what it is. Raises BackendError while it does not answer."""
        version = await self.engine.choose_version()
        info = self._info = await self.engine.info()
        limits = {name: bool(info.get(key)) for name, key in _LIMITS.items()}
        if info.get("CgroupVersion") == "2":
            limits["cpu"] = limits["memory"]  # the daemon does not say it apart
        self._swap = bool(info.get("SwapLimit"))
        told = ("ID", "SecurityOptions", "Runtimes", "CgroupDriver", "KernelVersion")
        self.identity = f"{version} {json.dumps([info.get(name) for name in told], sort_keys=True)}"
        refused = _refused(info, self.site.runtimes)
        usable = {name: f"docker {version}" for name in self.site.runtimes if name not in refused}
        missing = [*_fatal(info, limits, refused.get(self.site.runtimes[0], "")), *_soft(limits)]
        if not self._swap and has_swap():
            limits["swap"] = False
            missing.append(NO_SWAP_LIMIT)
        self.capabilities = _capabilities(limits, usable, missing, refused)

    def lost(self, error: SandboxError) -> None:
        """The daemon does not answer: nothing can be started until it does."""
        self.identity = ""
        self.capabilities = _capabilities({}, {}, [f"{CANNOT_START} {error}"])

    async def place(self, spec: SandboxSpec) -> Place:
        """What this host gives the sandbox. Raises BackendError `environment.unknown`, `docker.image_missing`
        or IsolationError `docker.image_volumes`."""
        environment = self.site.environments.get(spec.environment_name)
        if environment is None:
            raise unknown_environment(spec.environment_name, self.site.environments)
        _refuse_links(self.site.shared)
        gpus = choose_way(self._info, self.site.gpus.give(spec.gpu_devices))
        if isinstance(gpus, Obstacle):
            raise refuse_gpu(gpus)
        return Place(
            image=await self._image(environment.image),
            inside=self.site.inside,
            command=(f"{environment.prefix}/bin/python", "-I", "-S", "-B", INSIDE),
            etc=self._etc(spec),
            shared=self.site.shared,
            runtime=spec.runtime,
            site=self.label,
            seccomp=self._seccomp,
            gpus=gpus,
        )

    def gpu_obstacle(self, given: Given) -> Obstacle | None:
        """Why these devices cannot be given to a container of this daemon; None where they can."""
        found = choose_way(self._info, given)
        return found if isinstance(found, Obstacle) else None

    def _etc(self, spec: SandboxSpec) -> Mapping[str, str]:
        bundle = self.records.bundle(spec.id)
        bundle.mkdir(mode=0o700, exist_ok=True)
        return write_etc(bundle / "etc", spec.host_uid)

    async def _image(self, name: str) -> str:
        found = await self.engine.image(name)
        if found is None:
            raise BackendError(
                f"The image {name} is not on this host.",
                code="docker.image_missing",
                field="environments",
                remedy=f"Get it: docker pull {name} (nothing is pulled when a server starts).",
            )
        volumes = sorted((found.get("Config") or {}).get("Volumes") or {})
        if volumes:
            raise IsolationError(
                f"The image {name} has the volume {volumes[0]}, which would be writable and of any size.",
                code="docker.image_volumes",
                field="environments",
                remedy="Build the image without VOLUME; the home is kept on the host anyway.",
            )
        return str(found["Id"])

    def adopt(self, pid: int, container: str) -> tuple[InitProcess, str] | None:
        """A container's first process, watched, and its cgroup; None if it has ended.

        Raises IsolationError `docker.not_here`; a process that is not the container's is not kept, so that
        nobody signals a stranger who has its number by now.
        """
        if pid == 0:
            raise self._elsewhere()
        process = InitProcess.adopt(pid)
        if process is None:
            return None
        try:
            return process, self.cgroup(pid, container)
        except IsolationError:
            process.close()
            raise

    def cgroup(self, pid: int, container: str) -> str:
        """Where the kernel accounts a container's first process; "" if it has ended.

        Raises IsolationError `docker.not_here`: the daemon starts processes on another machine, where
        nothing of what we check would hold.
        """
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            lines = []
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if controllers == "" and self.cgroups.kind != "v2":
                continue  # the unified tree of a hybrid host has no controllers
            if controllers in ("", "memory") and container in path:
                return path.strip("/")
        if lines and start_time(pid) is not None:  # a dead one is in no cgroup
            raise self._elsewhere()
        return ""

    def _elsewhere(self) -> IsolationError:
        return IsolationError(
            f"The Docker daemon at {self.site.socket} starts processes somewhere else than on this host.",
            code="docker.not_here",
            field="docker_socket",
            remedy="Use the daemon of this host; for others use Kubernetes.",
        )

    def verify_limits(self, spec: SandboxSpec, cgroup: str) -> None:
        """Raise IsolationError unless every limit that this host can enforce is in force."""
        held = {**self.capabilities.limits, "swap": True}  # which is looked at where it can be limited
        if cgroup and all(held.values()):
            self.cgroups.verify(cgroup, spec.resources, self._swap)

    def usage(self, cgroup: str) -> Usage:
        """What the kernel counted; all None once it has ended, for the daemon takes the cgroup away."""
        if not cgroup:
            return Usage(cpu_seconds=None, memory=None, memory_peak=None, pids=None)
        return self.cgroups.usage(cgroup)

    def processes(self, cgroup: str) -> tuple[int, ...]:
        """Pids that are left of it."""
        return self.cgroups.processes(cgroup) if cgroup else ()


def _refuse_links(shared: Mapping[str, str]) -> None:
    for source in shared.values():
        if os.path.realpath(source) != source or not os.path.isdir(source):
            raise IsolationError(
                f"{source} is not a directory or leads elsewhere.",
                code="isolation.mount_source",
                field="read_only_volumes",
                remedy="Name the directory itself in c.DockerSpawner.read_only_volumes.",
            )


def _capabilities(
    limits: Mapping[str, bool],
    runtimes: Mapping[str, str],
    missing: list[str],
    refused: Mapping[str, str] | None = None,
) -> Capabilities:
    return Capabilities(
        backend="docker",
        level="soft" if missing else "hard",
        limits=limits,
        runtimes=runtimes,
        missing=tuple(missing),
        refused=refused or {},
    )


def _refused(info: Document, names: Sequence[str]) -> dict[str, str]:
    """Which of the site's runtimes this daemon cannot run sandboxes under, and why."""
    known = info.get("Runtimes") or {}
    listed = ", ".join(sorted(known))
    refused = {name: f"Docker has no runtime {name}, only {listed}. Set runtime." for name in names}
    refused = {name: why for name, why in refused.items() if name not in known}
    for name in names:
        program = os.path.basename(str((known.get(name) or {}).get("path", "")))
        if GVISOR in (name, program):
            # Its file server would run as root of the host, and come to the doors as no sandbox's uid.
            refused[name] = f"{name} is gVisor, which runs on the local backend only. Set backend or runtime."
    return refused


def _fatal(info: Document, limits: Mapping[str, bool], why: str) -> list[str]:
    if os.geteuid() != 0:
        return [f"{CANNOT_START} the launcher is not root. Run: sudo jupyter-sandbox-admin run"]
    options = {text.partition(",")[0].removeprefix("name=") for text in info.get("SecurityOptions") or ()}
    found = [f"{CANNOT_START} {why}" for name, why in _OPTIONS.items() if name in options]
    if "seccomp" not in options:
        found.append(
            f"{CANNOT_START} this Docker cannot filter system calls. Install one built with seccomp."
        )
    if why:
        found.append(f"{CANNOT_START} {why}")
    # Nobody watches containers as the local backend's watchdog does.
    for name in ("memory", "pids"):
        if not limits.get(name):
            found.append(f"{CANNOT_START} this Docker cannot limit {name}. See the warnings of: docker info")
    if info.get("OSType", "linux") != "linux":
        found.append(f"{CANNOT_START} the containers of this Docker are not Linux.")
    return found


def _soft(limits: Mapping[str, bool]) -> list[str]:
    return [
        f"The kernel does not limit {name} here. See the warnings of: docker info"
        for name, enforced in limits.items()
        if not enforced
    ]
