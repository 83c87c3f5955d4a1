"""Where is what inside a sandbox, and what of /proc is hidden?

Law: `render` writes by this page and `check` compares with it; neither has a list of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...models import Resources, SandboxSpec
from ...rules.catalogue import DATA
from ..given import VISIBLE, Given

__all__ = [
    "DENIED",
    "DOORS",
    "ENVIRONMENT",
    "HOME",
    "HOSTNAME",
    "INSIDE",
    "MASKED_PATHS",
    "NAMESPACES",
    "PATH_VARIABLE",
    "READONLY_PATHS",
    "RUNTIME_DIR",
    "TMPFS",
    "USER_ID",
    "USER_NAME",
    "Place",
    "device_rules",
    "gpu_binds",
    "tmpfs_ceiling",
    "tmpfs_of",
    "variables",
]

USER_ID = 1000
USER_NAME = "jovyan"
HOSTNAME = "sandbox"
HOME = "/home/jovyan"
DOORS = "/run/sandbox/doors"
INSIDE = "/run/sandbox/inside"
RUNTIME_DIR = "/run/jupyter"
PATH_VARIABLE = "PATH=/usr/bin:/bin"
# A GPU runtime that is the host's default gives every GPU to whoever asks by this variable.
ENVIRONMENT = (PATH_VARIABLE, f"{VISIBLE}=void")
DENIED: Mapping[str, Any] = {"allow": False, "access": "rwm"}
NAMESPACES = ("user", "pid", "ipc", "uts", "mount", "network", "cgroup")
TMPFS = ("/dev", "/dev/shm", "/tmp", RUNTIME_DIR)  # noqa: S108 - places inside the sandbox

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the host gives one sandbox. Paths are absolute.

    `read_only` are host directories bound at their own path; `inside` holds pid 1; `user_namespace` is
    where the namespace lies that the sandbox's own host uid has made, "" where the runtime makes it;
    `root_uid` owns nothing on the host and stands for uid 0 inside; `cgroup` is "" where this host enforces
    no limits; `rlimits` are those that the runtime has to set, since they are not its own; `gpus` are the
    devices that the sandbox was given. `own_points`: the runtime makes no mount points, so that those of
    datasets lie in the root.
    """

    rootfs: str
    inside: str
    read_only: tuple[str, ...]
    command: tuple[str, ...]
    root_uid: int
    user_namespace: str
    cgroup: str
    limit_swap: bool
    seccomp: Mapping[str, Any]
    rlimits: Mapping[str, int] = field(default_factory=dict)
    gpus: Given = field(default_factory=Given)
    own_points: bool = False


def tmpfs_of(spec: SandboxSpec, place: Place) -> tuple[str, ...]:
    """Where a tmpfs is. Over the datasets' place too, where the runtime makes their mount points.

    Without datasets it hides the points of others', which say what they are called.
    """
    has_data = any(mount.kind == "dataset" for mount in spec.mounts)
    return TMPFS if has_data and place.own_points else (*TMPFS, DATA)


def tmpfs_ceiling(resources: Resources, target: str) -> tuple[int, int]:
    """Bytes and inodes of the tmpfs at `target`."""
    return {
        "/dev": (65536, 64),
        "/dev/shm": (resources.shm, resources.tmpfs_inodes),  # noqa: S108 - a place inside the sandbox
        RUNTIME_DIR: (16 << 20, 4096),
        DATA: (65536, 256),
    }.get(target, (resources.tmpfs, resources.tmpfs_inodes))


def variables(given: Given) -> list[str]:
    """The environment of the first process: nothing of the host's, and what its devices' specs say."""
    return [*ENVIRONMENT, *(f"{name}={text}" for name, text in given.environment.items())]


def device_rules(given: Given) -> list[dict[str, Any]]:
    """What the device cgroup lets through: nothing but the given nodes, and no making of nodes."""
    allowed = {
        (node.major, node.minor): {
            "allow": True,
            "type": "c",
            "major": node.major,
            "minor": node.minor,
            "access": node.access,
        }
        for node in given.nodes
    }
    return [dict(DENIED), *allowed.values()]


def gpu_binds(place: Place) -> dict[str, tuple[str, frozenset[str]]]:
    """By target, the source and the options of what a sandbox's devices bring along.

    A device is bound, not made: where it has a user namespace the runtime would bind the host's node of the
    same path, which need not be this one. What the sandbox sees anyway is left out.
    """
    plain = frozenset({"bind", "rprivate", "nosuid"})
    binds = {node.target: (node.source, plain | {"noexec", "rw"}) for node in place.gpus.nodes}
    for source, target in place.gpus.mounts:
        seen = source == target and any(f"{source}/".startswith(f"{path}/") for path in place.read_only)
        if not seen:
            binds[target] = (source, plain | {"nodev", "ro"})
    return binds
