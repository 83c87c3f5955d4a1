"""What is Docker told to make this sandbox? Pure: spec, doors and place in, a create request out."""

from __future__ import annotations

from typing import Any

from ...models import Doors, Resources, SandboxSpec
from ...names import LABEL_OWNER
from ..oci.layout import (
    DOORS,
    HOSTNAME,
    INSIDE,
    READONLY_PATHS,
    RUNTIME_DIR,
    tmpfs_ceiling,
)
from .layout import (
    CPU_PERIOD,
    LOG_FILES,
    LOG_SIZE,
    MASKED_PATHS,
    OWNER_LABEL,
    SANDBOX_LABEL,
    SITE_LABEL,
    Place,
)

__all__ = ["cpu_shares", "labels", "render"]


def render(spec: SandboxSpec, doors: Doors, place: Place) -> dict[str, Any]:
    """The body of `POST /containers/create`. There is no secret in it: `docker inspect` shows all of it."""
    return {
        "Image": place.image,
        "Hostname": HOSTNAME,
        "User": f"{spec.host_uid}:{spec.host_uid}",
        "Entrypoint": list(place.command),
        "Cmd": [],
        "WorkingDir": "/",
        "Env": list(place.gpus.environment),
        "Labels": labels(spec, place.site),
        "Tty": False,
        "OpenStdin": False,
        "StopSignal": "SIGTERM",
        # The image's own would run a process inside, again and again; the gateway sees whether it answers.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, doors, place),
    }


def labels(spec: SandboxSpec, site: str) -> dict[str, str]:
    """Whose container it is; asked before it is taken up, stopped or removed."""
    return {
        OWNER_LABEL: LABEL_OWNER,
        SITE_LABEL: site,
        SANDBOX_LABEL: spec.id,
        f"{LABEL_OWNER}.user": spec.user,
        f"{LABEL_OWNER}.server": spec.server,
        f"{LABEL_OWNER}.profile": spec.profile,
    }


def cpu_shares(cpu: float) -> int:
    """Weight beside other containers, within what the kernel takes."""
    return min(max(round(cpu * 1024), 2), 262_144)


def _host_config(spec: SandboxSpec, doors: Doors, place: Place) -> dict[str, Any]:
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={place.seccomp}"],
        "ReadonlyRootfs": True,
        "MaskedPaths": list(MASKED_PATHS),
        "ReadonlyPaths": list(READONLY_PATHS),
        "Mounts": _mounts(spec, doors, place),
        "Tmpfs": _tmpfs(spec),
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": str(LOG_SIZE), "max-file": str(LOG_FILES)},
        },
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,  # the launcher does it, once the exit status is known
        "Init": False,  # ours is pid 1
        "Runtime": place.runtime,
        **_limits(spec.resources),
        **place.gpus.host,
    }


def _mounts(spec: SandboxSpec, doors: Doors, place: Place) -> list[dict[str, Any]]:
    mounts = [_bind(source, target, True) for target, source in place.etc.items()]
    mounts += [_bind(source, target, True) for target, source in place.shared.items()]
    mounts += [_bind(source, target, True) for target, source in place.gpus.mounts.items()]
    mounts += [_bind(doors.directory, DOORS, True), _bind(place.inside, INSIDE, True)]
    return mounts + [_bind(mount.source, mount.target, mount.read_only) for mount in spec.mounts]


def _bind(source: str, target: str, read_only: bool) -> dict[str, Any]:
    # Not recursive: a read-only flag would not reach file systems mounted below the source.
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }


def _tmpfs(spec: SandboxSpec) -> dict[str, str]:
    owner = f"uid={spec.host_uid},gid={spec.host_uid}"
    options = {
        "/dev/shm": "noexec,mode=1777",  # noqa: S108 - inside the sandbox
        "/tmp": "exec,mode=1777",  # noqa: S108 - inside the sandbox
        RUNTIME_DIR: f"noexec,mode=0700,{owner}",
    }
    return {target: f"rw,nosuid,nodev,{more},{_size(spec, target)}" for target, more in options.items()}


def _size(spec: SandboxSpec, target: str) -> str:
    size, inodes = tmpfs_ceiling(spec.resources, target)
    return f"size={size},nr_inodes={inodes}"


def _limits(resources: Resources) -> dict[str, Any]:
    return {
        "Memory": resources.memory,
        "MemorySwap": resources.memory,  # memory and swap together: no swap beyond the limit
        "PidsLimit": resources.pids,
        "CpuPeriod": CPU_PERIOD,
        "CpuQuota": round(resources.cpu * CPU_PERIOD),
        "CpuShares": cpu_shares(resources.cpu),
        "OomKillDisable": False,
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": resources.files, "Hard": resources.files},
        ],
    }
