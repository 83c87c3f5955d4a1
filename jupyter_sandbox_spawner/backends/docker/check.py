"""Would this create request open the sandbox? Pure; refuses with one code a reason, whoever asked.

Law: what is not known to be closed is refused; nothing here looks at who wrote the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from posixpath import normpath
from typing import Any

from ...models import Doors, SandboxSpec
from ...names import LABEL_OWNER
from ..oci.layout import DOORS, HOSTNAME, INSIDE, READONLY_PATHS, RUNTIME_DIR, tmpfs_ceiling
from ..refusing import only_known, refuse
from .layout import (
    LOG_FILES,
    LOG_SIZE,
    MASKED_PATHS,
    OWNER_LABEL,
    SANDBOX_LABEL,
    SITE_LABEL,
    Place,
)

__all__ = ["check"]

_TOP = {
    *("Image", "Hostname", "User", "Entrypoint", "Cmd", "WorkingDir", "Env", "Labels", "Tty", "OpenStdin"),
    *("StopSignal", "Healthcheck", "HostConfig"),
}
_HOST = {
    *("NetworkMode", "IpcMode", "CgroupnsMode", "Privileged", "CapDrop", "SecurityOpt", "ReadonlyRootfs"),
    *("MaskedPaths", "ReadonlyPaths", "Mounts", "Tmpfs", "LogConfig", "RestartPolicy", "AutoRemove", "Init"),
    *("Runtime", "Memory", "MemorySwap", "MemoryReservation", "PidsLimit", "CpuPeriod", "CpuQuota"),
    *("CpuShares", "CpusetCpus", "CpusetMems", "BlkioWeight", "OomKillDisable", "OomScoreAdj", "Ulimits"),
}
# Fields that an admin may set, empty or not, and that each open a sandbox: named for a better message.
_OPENS = {
    "Binds": ("mount_source", "a directory of the host would enter by it."),
    "CapAdd": ("capabilities", "a sandbox has no capability at all."),
    "CgroupParent": ("cgroup", "the daemon chooses the cgroup."),
    "DeviceCgroupRules": ("devices", "no device of the host enters a sandbox but those it was given."),
    "DeviceRequests": ("devices", "no device of the host enters a sandbox but those it was given."),
    "Devices": ("devices", "no device of the host enters a sandbox but those it was given."),
    "GroupAdd": ("user", "a further group may own files of the host."),
    "Links": ("network", "it has no network."),
    "PidMode": ("namespace_missing", "it would see other processes."),
    "PortBindings": ("network", "it has no network."),
    "Sysctls": ("unknown_field", "a setting of the kernel is not known to be harmless."),
    "UTSMode": ("namespace_missing", "it would share the host's name."),
    "UsernsMode": ("namespace_missing", "the daemon's users are the host's."),
    "VolumesFrom": ("mount_source", "another container's volumes would enter by it."),
}
_BIND = {"Type", "Source", "Target", "ReadOnly", "BindOptions"}
_TMPFS = {
    "/dev/shm": {"noexec"},  # noqa: S108 - a place inside the sandbox
    "/tmp": {"exec"},  # noqa: S108 - a place inside the sandbox
    RUNTIME_DIR: {"noexec"},
}
_TMPFS_SETTINGS = {"mode", "size", "nr_inodes", "uid", "gid"}


class _Question:
    """One request beside what it may be."""

    def __init__(self, request: Mapping[str, Any], spec: SandboxSpec, doors: Doors, place: Place) -> None:
        self.request = request
        self.spec = spec
        self.place = place
        self.host: Mapping[str, Any] = request.get("HostConfig") or {}
        read_only = {**place.gpus.mounts, **place.etc, **place.shared}
        self.binds = {target: (source, True) for target, source in read_only.items()}
        self.binds[DOORS] = (doors.directory, True)
        self.binds[INSIDE] = (place.inside, True)
        for mount in spec.mounts:
            self.binds[mount.target] = (mount.source, mount.read_only)


def check(request: Mapping[str, Any], spec: SandboxSpec, doors: Doors, place: Place) -> None:
    """Refuse a request that differs from a closed sandbox for this spec, at these doors, in this place.

    Raises IsolationError; its code names the guard, its field the place in the request.
    """
    try:
        question = _Question(request, spec, doors, place)
        for guard in _GUARDS:
            guard(question)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise refuse("malformed", "request", f"it has another shape than Docker's ({error}).") from error


def _fields(q: _Question) -> None:
    for name, (code, why) in _OPENS.items():
        # Of a sandbox's own devices: exactly what was said of them, neither more nor less.
        if name in q.host and (name not in q.place.gpus.host or q.host[name] != q.place.gpus.host[name]):
            raise refuse(code, f"HostConfig.{name}", why)
    only_known(q.request, _TOP, "")
    only_known(q.host, _HOST | set(q.place.gpus.host), "HostConfig.")
    if absent := sorted(q.place.gpus.host.keys() - q.host.keys()):
        raise refuse("devices", f"HostConfig.{absent[0]}", "a device of the sandbox is missing.")


def _privileges(q: _Question) -> None:
    if q.host.get("Privileged") is not False or q.host.get("CapDrop") != ["ALL"]:
        raise refuse("capabilities", "HostConfig.CapDrop", "a sandbox has no capability at all.")
    uid = q.spec.host_uid
    if uid < 1 or q.request.get("User") != f"{uid}:{uid}":
        raise refuse("user", "User", f"it must be uid and gid {uid} and never the host's 0.")
    options = q.host.get("SecurityOpt")
    if not isinstance(options, list) or "no-new-privileges" not in options:
        raise refuse("new_privileges", "HostConfig.SecurityOpt", "no-new-privileges must be on.")
    if not q.place.seccomp or set(options) != {"no-new-privileges", f"seccomp={q.place.seccomp}"}:
        raise refuse(
            "seccomp", "HostConfig.SecurityOpt", "it must be the profile of this package, unchanged."
        )
    if q.host.get("OomKillDisable") is not False or q.host.get("OomScoreAdj", 0) < 0:
        raise refuse("oom_score", "HostConfig", "the host's own programs would die first.")


def _command(q: _Question) -> None:
    if q.request.get("Image") != q.place.image:
        raise refuse("image", "Image", f"it must be {q.place.image}, the user image of the profile.")
    own_environment = list(q.place.gpus.environment)
    if q.request.get("Env") != own_environment:
        raise refuse("environment", "Env", f"it must be {own_environment}: identity comes by a door.")
    own = (q.request.get("Entrypoint"), q.request.get("Cmd"), q.request.get("WorkingDir"))
    if own != (list(q.place.command), [], "/") or q.host.get("Init") is not False:
        raise refuse("command", "Entrypoint", "the first process must be the one that the host provides.")
    if q.request.get("Tty") is not False or q.request.get("OpenStdin") is not False:
        raise refuse("terminal", "Tty", "a sandbox has no terminal and no input of the host.")
    if q.request.get("Healthcheck") != {"Test": ["NONE"]} or q.request.get("StopSignal") != "SIGTERM":
        raise refuse("command", "Healthcheck", "the image's own would run inside.")


def _identity(q: _Question) -> None:
    found: Mapping[str, str] = q.request.get("Labels") or {}
    ours = {OWNER_LABEL: LABEL_OWNER, SITE_LABEL: q.place.site, SANDBOX_LABEL: q.spec.id}
    if not ours.items() <= found.items():
        raise refuse("label", "Labels", "without the owner's labels nobody could stop it.")
    if q.request.get("Hostname") != HOSTNAME:
        raise refuse("host_name", "Hostname", f"it must be {HOSTNAME!r}.")


def _namespaces(q: _Question) -> None:
    if q.host.get("NetworkMode") != "none":
        raise refuse("network", "HostConfig.NetworkMode", "it must be none: doors are the only way out.")
    for name in ("IpcMode", "CgroupnsMode"):
        if q.host.get(name) != "private":
            raise refuse("namespace_missing", f"HostConfig.{name}", "it must be private.")
    if q.host.get("Runtime") != q.place.runtime:
        raise refuse("runtime", "HostConfig.Runtime", f"it must be {q.place.runtime!r}.")


def _life(q: _Question) -> None:
    if q.host.get("RestartPolicy") != {"Name": "no"} or q.host.get("AutoRemove") is not False:
        raise refuse("life", "HostConfig.RestartPolicy", "the launcher alone starts and removes it.")


def _root(q: _Question) -> None:
    if q.host.get("ReadonlyRootfs") is not True:
        raise refuse("root", "HostConfig.ReadonlyRootfs", "it must be true.")
    for field, needed in (("MaskedPaths", MASKED_PATHS), ("ReadonlyPaths", READONLY_PATHS)):
        absent = sorted(set(needed) - set(q.host.get(field) or []))
        if absent:
            raise refuse("proc_paths", f"HostConfig.{field}", f"{absent[0]} is missing.")


def _mounts(q: _Question) -> None:
    mounts: Sequence[Mapping[str, Any]] = q.host.get("Mounts") or []
    seen: set[str] = set()
    for mount in mounts:
        only_known(mount, _BIND, "HostConfig.Mounts.")
        target = str(mount.get("Target"))
        if target in seen or normpath(target) != target or not target.startswith("/"):
            raise refuse(
                "mount_target", "HostConfig.Mounts", f"{target!r} is used twice or is no plain path."
            )
        seen.add(target)
        _bind(q, mount, target)
    if not seen.issuperset(q.binds):
        raise refuse("mount_missing", "HostConfig.Mounts", "the doors or a directory of the spec is missing.")


def _bind(q: _Question, mount: Mapping[str, Any], target: str) -> None:
    source, read_only = q.binds.get(target, ("", True))
    if mount.get("Type") != "bind":
        raise refuse("mount_type", "HostConfig.Mounts", f"{mount.get('Type')!r} at {target} is not allowed.")
    if not source or mount.get("Source") != source:
        text = f"{mount.get('Source')!r} is not what belongs at {target}."
        raise refuse("mount_source", "HostConfig.Mounts", text)
    if read_only and mount.get("ReadOnly") is not True:
        raise refuse("mount_writable", "HostConfig.Mounts", f"{target} must be read-only.")
    if mount.get("BindOptions") != {"Propagation": "rprivate", "NonRecursive": True}:
        raise refuse("mount_options", "HostConfig.Mounts", f"{target} has {mount.get('BindOptions')}.")


def _tmpfs(q: _Question) -> None:
    found: Mapping[str, str] = q.host.get("Tmpfs") or {}
    if set(found) != set(_TMPFS):
        raise refuse("mount_target", "HostConfig.Tmpfs", f"it must be {', '.join(sorted(_TMPFS))}.")
    for target, text in found.items():
        options = text.split(",")
        settings = dict(item.split("=", 1) for item in options if "=" in item)
        flags = {item for item in options if "=" not in item}
        if flags != {"rw", "nosuid", "nodev", *_TMPFS[target]} or not set(settings) <= _TMPFS_SETTINGS:
            raise refuse("mount_options", "HostConfig.Tmpfs", f"{target} has options {text}.")
        size, inodes = tmpfs_ceiling(q.spec.resources, target)
        # 0 means "no limit" to the kernel.
        if not (0 < int(settings.get("size", 0)) <= size and 0 < int(settings.get("nr_inodes", 0)) <= inodes):
            most = f"{target} may have {size} bytes and {inodes} inodes."
            raise refuse("mount_unlimited", "HostConfig.Tmpfs", most)


def _output(q: _Question) -> None:
    bounded = {"Type": "json-file", "Config": {"max-size": str(LOG_SIZE), "max-file": str(LOG_FILES)}}
    if q.host.get("LogConfig") != bounded:
        raise refuse("log", "HostConfig.LogConfig", "its output would have no bound or leave the host.")


def _limits(q: _Question) -> None:
    most, host = q.spec.resources, q.host
    period = host.get("CpuPeriod") or 0
    ceilings: list[tuple[str, Any, float]] = [
        ("Memory", host.get("Memory"), most.memory),
        # Memory and swap together: above the memory limit it would be swap, -1 would be all of it.
        ("MemorySwap", host.get("MemorySwap"), host.get("Memory") or 0),
        ("PidsLimit", host.get("PidsLimit"), most.pids),
        ("CpuQuota", host.get("CpuQuota"), round(most.cpu * period)),
    ]
    for name, found, ceiling in ceilings:
        if not isinstance(found, (int, float)) or isinstance(found, bool) or not 0 < found <= ceiling:
            text = f"{found} is not above 0 and at most {ceiling:g}."
            raise refuse("limit", f"HostConfig.{name}", text)
    limits = {item["Name"]: (item["Soft"], item["Hard"]) for item in host.get("Ulimits") or []}
    if limits != {"core": (0, 0), "nofile": (most.files, most.files)}:
        text = f"they must be core 0 and nofile {most.files}."
        raise refuse("rlimits", "HostConfig.Ulimits", text)


_GUARDS: tuple[Callable[[_Question], None], ...] = (
    _fields,
    _privileges,
    _command,
    _identity,
    _namespaces,
    _life,
    _root,
    _mounts,
    _tmpfs,
    _output,
    _limits,
)
