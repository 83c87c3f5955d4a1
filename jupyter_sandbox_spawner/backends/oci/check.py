"""Would this config.json open the sandbox? Pure; refuses with one code a reason, whoever asked.

Law: what is not known to be closed is refused; nothing here looks at who wrote the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from posixpath import normpath
from typing import Any

from ...models import Doors, SandboxSpec
from ...names import LABEL_OWNER
from ...rules.catalogue import DATA
from ..refusing import only_known, refuse
from .layout import (
    DOORS,
    INSIDE,
    MASKED_PATHS,
    NAMESPACES,
    READONLY_PATHS,
    USER_ID,
    Place,
    device_rules,
    gpu_binds,
    tmpfs_ceiling,
    tmpfs_of,
    variables,
)
from .render import rlimits

__all__ = ["check"]

_TOP = {"ociVersion", "hostname", "root", "process", "mounts", "linux", "annotations"}
_PROCESS = {"terminal", "user", "args", "env", "cwd", "capabilities", "noNewPrivileges", "oomScoreAdj"}
_LINUX = {
    "namespaces",
    "uidMappings",
    "gidMappings",
    "rootfsPropagation",
    "seccomp",
    "maskedPaths",
    "readonlyPaths",
    "resources",
    "cgroupsPath",
}
_RESOURCES = {"devices", "memory", "pids", "cpu"}
_BIND_OPTIONS = {"bind", "rprivate", "nosuid", "nodev", "noexec", "ro", "rw"}
_OWN_OPTIONS = {"nosuid", "noexec", "nodev", "newinstance"}
_OWN_SETTINGS = {"mode", "size", "nr_inodes", "uid", "gid", "ptmxmode"}


class _Question:
    """One config.json beside what it may be."""

    def __init__(self, config: Mapping[str, Any], spec: SandboxSpec, doors: Doors, place: Place) -> None:
        self.config = config
        self.spec = spec
        self.place = place
        self.process: Mapping[str, Any] = config.get("process") or {}
        self.linux: Mapping[str, Any] = config.get("linux") or {}
        self.binds = {path: (path, "ro") for path in place.read_only}
        self.binds[DOORS] = (doors.directory, "ro")
        self.binds[INSIDE] = (place.inside, "ro")
        self.devices = gpu_binds(place)
        for mount in spec.mounts:
            self.binds[mount.target] = (mount.source, "ro" if mount.read_only else "rw")


def check(config: Mapping[str, Any], spec: SandboxSpec, doors: Doors, place: Place) -> None:
    """Refuse a config.json that differs from a closed sandbox for this spec, at these doors, in this place.

    Raises IsolationError; its code names the guard, its field the place in config.json.
    """
    try:
        question = _Question(config, spec, doors, place)
        for guard in _GUARDS:
            guard(question)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise refuse("malformed", "config.json", f"it has another shape than OCI's ({error}).") from error


def _fields(q: _Question) -> None:
    if q.config.get("hooks"):
        raise refuse("hooks", "hooks", "a hook would run on the host as root.")
    if q.linux.get("devices"):
        raise refuse("devices", "linux.devices", "no device file of the host enters a sandbox.")
    only_known(q.config, _TOP, "")
    if (q.process.get("rlimits") or []) != rlimits(q.place):
        raise refuse("rlimits", "process.rlimits", f"it must be {rlimits(q.place)}.")
    only_known(q.process, _PROCESS | {"rlimits"}, "process.")
    only_known(q.linux, _LINUX, "linux.")
    foreign = [key for key in q.config.get("annotations", {}) if not key.startswith(LABEL_OWNER + ".")]
    if foreign:
        raise refuse("annotation", "annotations", f"{foreign[0]!r} could steer the runtime.")


def _privileges(q: _Question) -> None:
    if any(q.process.get("capabilities", {"missing": ["all"]}).values()):
        raise refuse("capabilities", "process.capabilities", "a sandbox has no capability at all.")
    if q.process.get("noNewPrivileges") is not True:
        raise refuse("new_privileges", "process.noNewPrivileges", "it must be true.")
    if q.process.get("user") != {"uid": USER_ID, "gid": USER_ID}:
        raise refuse("user", "process.user", f"it must be uid and gid {USER_ID} and no further group.")
    if q.process.get("oomScoreAdj", 0) < 0:
        raise refuse("oom_score", "process.oomScoreAdj", "below 0 the host's own programs would die first.")


def _command(q: _Question) -> None:
    if q.process.get("env") != variables(q.place.gpus):
        raise refuse("environment", "process.env", f"it must be {variables(q.place.gpus)} alone.")
    if q.process.get("terminal") is not False:
        raise refuse("terminal", "process.terminal", "a sandbox has no terminal of the host.")
    if q.process.get("args") != list(q.place.command) or q.process.get("cwd") != "/":
        raise refuse("command", "process.args", "the first process must be the one that the host provides.")


def _root(q: _Question) -> None:
    if q.config.get("root") != {"path": q.place.rootfs, "readonly": True}:
        raise refuse("root", "root", f"it must be {q.place.rootfs} and read-only.")
    if q.linux.get("rootfsPropagation") != "rprivate":
        raise refuse("propagation", "linux.rootfsPropagation", "mounts must not pass to or from the host.")


def _namespaces(q: _Question) -> None:
    found: Sequence[Mapping[str, Any]] = q.linux.get("namespaces") or []
    if sorted(item.get("type", "") for item in found) != sorted(NAMESPACES):
        raise refuse("namespace_missing", "linux.namespaces", f"it must be {', '.join(NAMESPACES)}.")
    for item in found:
        allowed = q.place.user_namespace or None if item["type"] == "user" else None
        if item.get("path") != allowed:
            raise refuse("namespace_path", "linux.namespaces", f"{item['type']} of somebody else.")


def _mappings(q: _Question) -> None:
    expected = [(0, q.place.root_uid, 1), (USER_ID, q.spec.host_uid, 1)]
    for field in ("uidMappings", "gidMappings"):
        found = [
            (item.get("containerID"), item.get("hostID"), item.get("size"))
            for item in q.linux.get(field) or []
        ]
        if found != expected or any(host < 1 for _, host, _ in expected):
            raise refuse("uid_mapping", f"linux.{field}", f"it must be {expected} and never the host's 0.")


def _mounts(q: _Question) -> None:
    mounts: Sequence[Mapping[str, Any]] = q.config.get("mounts") or []
    seen: set[str] = set()
    for mount in mounts:
        only_known(mount, {"destination", "type", "source", "options"}, "mounts.")
        target = str(mount.get("destination"))
        if target in seen or normpath(target) != target or not target.startswith("/"):
            raise refuse("mount_target", "mounts", f"{target!r} is used twice or is not a plain path.")
        seen.add(target)
        kind = mount.get("type")
        if kind == "bind":
            _bind(q, mount, target)
        else:
            _own_mount(q, mount, str(kind), target)
    if "/proc" not in seen or not seen.issuperset((*q.binds, *q.devices)):
        raise refuse("mount_missing", "mounts", "/proc, the doors or a directory of the spec is missing.")


def _bind(q: _Question, mount: Mapping[str, Any], target: str) -> None:
    options = list(mount.get("options", []))
    if target in q.devices:
        if (mount.get("source"), frozenset(options)) != q.devices[target] or target in q.binds:
            raise refuse("devices", "mounts", f"{target} is not as the spec of its device says.")
        return
    source, access = q.binds.get(target, ("", "ro"))
    if mount.get("source") != source:
        raise refuse("mount_source", "mounts", f"{mount.get('source')!r} is not what belongs at {target}.")
    if access == "ro" and ("ro" not in options or "rw" in options):
        raise refuse("mount_writable", "mounts", f"{target} must be read-only.")
    if not {"bind", "rprivate", "nosuid", "nodev"} <= set(options) <= _BIND_OPTIONS:
        raise refuse("mount_options", "mounts", f"{target} has options {options}.")


def _own_mount(q: _Question, mount: Mapping[str, Any], kind: str, target: str) -> None:
    options = list(mount.get("options", []))
    settings = dict(item.split("=", 1) for item in options if "=" in item)
    flags = {item for item in options if "=" not in item}
    fine = {
        "proc": target == "/proc" and {"nosuid", "noexec", "nodev"} <= flags,
        "devpts": target == "/dev/pts" and {"nosuid", "noexec", "newinstance"} <= flags,
        "tmpfs": target in tmpfs_of(q.spec, q.place)
        and "nosuid" in flags
        and (target == "/dev" or "nodev" in flags),
    }.get(kind)
    if fine is None:
        raise refuse("mount_type", "mounts", f"{kind!r} at {target} is not allowed.")
    if not fine or not flags <= _OWN_OPTIONS or not set(settings) <= _OWN_SETTINGS:
        raise refuse("mount_options", "mounts", f"{kind} at {target} has options {options}.")
    if target == DATA and (settings.get("mode") != "755" or not {"uid", "gid"}.isdisjoint(settings)):
        raise refuse("mount_writable", "mounts", f"{target} must belong to uid 0 alone.")
    if kind == "tmpfs":
        _tmpfs_size(q, target, settings)


def _tmpfs_size(q: _Question, target: str, settings: Mapping[str, str]) -> None:
    size, inodes = tmpfs_ceiling(q.spec.resources, target)
    # 0 means "no limit" to the kernel.
    if not 0 < int(settings.get("size", 0)) <= size or not 0 < int(settings.get("nr_inodes", 0)) <= inodes:
        raise refuse("mount_unlimited", "mounts", f"{target} may have {size} bytes and {inodes} inodes.")


def _kernel(q: _Question) -> None:
    if not q.place.seccomp or q.linux.get("seccomp") != q.place.seccomp:
        raise refuse("seccomp", "linux.seccomp", "it must be the profile of this package, unchanged.")
    for field, needed in (("maskedPaths", MASKED_PATHS), ("readonlyPaths", READONLY_PATHS)):
        absent = sorted(set(needed) - set(q.linux.get(field) or []))
        if absent:
            raise refuse("proc_paths", f"linux.{field}", f"{absent[0]} is missing.")


def _limits(q: _Question) -> None:
    resources: Mapping[str, Any] = q.linux.get("resources") or {}
    only_known(resources, _RESOURCES, "linux.resources.")
    if resources.get("devices") != device_rules(q.place.gpus):
        raise refuse("devices", "linux.resources.devices", "every device that is not its own must be denied.")
    if q.linux.get("cgroupsPath", "") != q.place.cgroup:
        raise refuse("cgroup", "linux.cgroupsPath", f"it must be {q.place.cgroup!r}.")
    if not q.place.cgroup:
        return
    for name, found, most in _ceilings(q, resources):
        if not isinstance(found, (int, float)) or isinstance(found, bool) or not 0 < found <= most:
            raise refuse("limit", f"linux.resources.{name}", f"{found} is not above 0 and at most {most:g}.")


def _ceilings(q: _Question, resources: Mapping[str, Any]) -> list[tuple[str, Any, float]]:
    memory = resources.get("memory") or {}
    cpu = resources.get("cpu") or {}
    only_known(memory, {"limit", "swap", "reservation"}, "linux.resources.memory.")
    only_known(cpu, {"quota", "period", "shares"}, "linux.resources.cpu.")
    period = cpu.get("period") or 0
    most = q.spec.resources
    ceilings: list[tuple[str, Any, float]] = [
        ("memory.limit", memory.get("limit"), most.memory),
        ("pids.limit", (resources.get("pids") or {}).get("limit"), most.pids),
        ("cpu.quota", cpu.get("quota"), round(most.cpu * period)),
    ]
    if q.place.limit_swap:
        # Memory and swap together: above the memory limit it would be swap.
        ceilings.append(("memory.swap", memory.get("swap"), memory.get("limit") or 0))
    return ceilings


_GUARDS: tuple[Callable[[_Question], None], ...] = (
    _fields,
    _privileges,
    _command,
    _root,
    _namespaces,
    _mappings,
    _mounts,
    _kernel,
    _limits,
)
