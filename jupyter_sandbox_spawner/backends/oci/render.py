"""What is an OCI runtime told to make this sandbox? Pure: spec, doors and place in, config.json out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...models import Doors, Resources, SandboxSpec
from ...names import LABEL_OWNER
from ...rules.catalogue import DATA
from .layout import (
    DOORS,
    HOSTNAME,
    INSIDE,
    MASKED_PATHS,
    NAMESPACES,
    READONLY_PATHS,
    RUNTIME_DIR,
    USER_ID,
    Place,
    device_rules,
    gpu_binds,
    tmpfs_ceiling,
    tmpfs_of,
    variables,
)

__all__ = ["CPU_PERIOD", "merge", "render", "rlimits"]

CPU_PERIOD = 100_000  # microseconds, the kernel's default
_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def render(spec: SandboxSpec, doors: Doors, place: Place) -> dict[str, Any]:
    """The config.json of one sandbox, after the OCI runtime specification 1.0.2.

    Limits of processes (open files, core size) are in it for a runtime with a kernel of its own alone: any
    other cannot set them across a user namespace without CAP_SYS_RESOURCE, so it is started with them.
    ref: field note "doors-measured", trap 6
    """
    return {
        "ociVersion": "1.0.2",
        "hostname": HOSTNAME,
        "root": {"path": place.rootfs, "readonly": True},
        "process": _process(place),
        "mounts": _mounts(spec, doors, place),
        "linux": _linux(spec, place),
        "annotations": {
            f"{LABEL_OWNER}.user": spec.user,
            f"{LABEL_OWNER}.server": spec.server,
            f"{LABEL_OWNER}.sandbox": spec.id,
        },
    }


def merge(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the overlay's values over it: objects are merged, everything else is replaced."""
    merged = dict(config)
    for key, value in overlay.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(known, value) if both else value  # type: ignore[arg-type]
    return merged


def _process(place: Place) -> dict[str, Any]:
    process: dict[str, Any] = {
        "terminal": False,
        "user": {"uid": USER_ID, "gid": USER_ID},
        "args": list(place.command),
        "env": variables(place.gpus),
        "cwd": "/",
        "capabilities": {name: [] for name in _CAPABILITY_SETS},
        "noNewPrivileges": True,
    }
    if place.rlimits:
        process["rlimits"] = rlimits(place)
    return process


def rlimits(place: Place) -> list[dict[str, Any]]:
    """Limits of processes as config.json has them: soft and hard are the same."""
    return [{"type": name, "hard": most, "soft": most} for name, most in place.rlimits.items()]


def _mounts(spec: SandboxSpec, doors: Doors, place: Place) -> list[dict[str, Any]]:
    # Order matters: a later mount may lie below an earlier one, never the other way round.
    sizes = spec.resources
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        # Without nodev: the runtime binds null, zero, full, random, urandom and tty there.
        _tmpfs(sizes, "/dev", "noexec", "mode=755"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        _tmpfs(sizes, "/dev/shm", "nodev", "noexec", "mode=1777"),  # noqa: S108 - inside the sandbox
        _tmpfs(sizes, "/tmp", "nodev", "mode=1777"),  # noqa: S108 - inside the sandbox
        _tmpfs(sizes, RUNTIME_DIR, "nodev", "noexec", "mode=0700", f"uid={USER_ID}", f"gid={USER_ID}"),
    ]
    if DATA in tmpfs_of(spec, place):
        mounts.append(_tmpfs(sizes, DATA, "nodev", "noexec", "mode=755"))
    mounts += [_bind(path, path, "ro") for path in place.read_only]
    mounts += [_bind(doors.directory, DOORS, "ro", "noexec"), _bind(place.inside, INSIDE, "ro")]
    for mount in spec.mounts:
        mounts.append(_bind(mount.source, mount.target, "ro" if mount.read_only else "rw"))
    for target, (source, options) in gpu_binds(place).items():
        mounts.append({"destination": target, "type": "bind", "source": source, "options": sorted(options)})
    return mounts


def _tmpfs(sizes: Resources, destination: str, *options: str) -> dict[str, Any]:
    size, inodes = tmpfs_ceiling(sizes, destination)
    limits = [f"size={size}", f"nr_inodes={inodes}"]
    return {
        "destination": destination,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", *options, *limits],
    }


def _bind(source: str, destination: str, *options: str) -> dict[str, Any]:
    # "bind", never "rbind": a read-only flag would not reach file systems mounted below the source.
    guards = ["bind", "rprivate", "nosuid", "nodev"]
    return {"destination": destination, "type": "bind", "source": source, "options": [*guards, *options]}


def _linux(spec: SandboxSpec, place: Place) -> dict[str, Any]:
    mappings = [
        {"containerID": 0, "hostID": place.root_uid, "size": 1},
        {"containerID": USER_ID, "hostID": spec.host_uid, "size": 1},
    ]
    linux: dict[str, Any] = {
        "namespaces": [
            {"type": name, "path": place.user_namespace}
            if name == "user" and place.user_namespace
            else {"type": name}
            for name in NAMESPACES
        ],
        "uidMappings": mappings,
        "gidMappings": [dict(mapping) for mapping in mappings],
        "rootfsPropagation": "rprivate",
        "seccomp": place.seccomp,
        "maskedPaths": list(MASKED_PATHS),
        "readonlyPaths": list(READONLY_PATHS),
        "resources": {"devices": device_rules(place.gpus)},
    }
    if place.cgroup:
        linux["cgroupsPath"] = place.cgroup
        linux["resources"].update(_limits(spec.resources, place.limit_swap))
    return linux


def _limits(resources: Resources, limit_swap: bool) -> dict[str, Any]:
    memory = {"limit": resources.memory}
    if limit_swap:
        memory["swap"] = resources.memory  # memory and swap together: no swap beyond the limit
    return {
        "memory": memory,
        "pids": {"limit": resources.pids},
        "cpu": {"quota": round(resources.cpu * CPU_PERIOD), "period": CPU_PERIOD},
    }
