"""Is every setting that would open a sandbox refused, by the guard that is meant for it?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.oci.check import check
from jupyter_sandbox_spawner.backends.oci.render import merge, render
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.models import Mount
from tests.backends.facts import DOORS, PLACE, SPEC

Config = dict[str, Any]


def _mount(config: Config, target: str) -> Config:
    found: Config = next(item for item in config["mounts"] if item["destination"] == target)
    return found


def _extra_mount(**fields: Any) -> Callable[[Config], None]:
    mount = {"type": "bind", "options": ["bind", "rprivate", "nosuid", "nodev", "ro"], **fields}
    return lambda config: config["mounts"].append(mount)


def _options(target: str, remove: str = "", add: str = "") -> Callable[[Config], None]:
    def change(config: Config) -> None:
        options = _mount(config, target)["options"]
        options[:] = [item for item in options if item != remove] + ([add] if add else [])

    return change


def _set(path: str, value: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        *above, last = path.split(".")
        for key in above:
            config = config[key]
        config[last] = value

    return change


def _drop(path: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        *above, last = path.split(".")
        for key in above:
            config = config[key]
        del config[last]

    return change


def _without_namespace(kind: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        spaces = config["linux"]["namespaces"]
        spaces[:] = [item for item in spaces if item["type"] != kind]

    return change


def _join_namespace(kind: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for item in config["linux"]["namespaces"]:
            if item["type"] == kind:
                item["path"] = f"/proc/1/ns/{kind}"

    return change


def _map(field: str, container: int, host: int, size: int = 1) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for item in config["linux"][field]:
            if item["containerID"] == container:
                item.update(hostID=host, size=size)

    return change


OPENINGS: dict[str, tuple[Callable[[Config], None], str]] = {
    "hook": (_set("hooks", {"prestart": [{"path": "/bin/sh"}]}), "hooks"),
    "device": (_set("linux.devices", [{"path": "/dev/sda", "type": "b"}]), "devices"),
    "device allowed": (_set("linux.resources.devices", [{"allow": True, "access": "rwm"}]), "devices"),
    "unknown top field": (_set("vm", {}), "unknown_field"),
    "unknown linux field": (_set("linux.sysctl", {"kernel.core_pattern": "|/x"}), "unknown_field"),
    "unknown process field": (_set("process.selinuxLabel", "unconfined"), "unknown_field"),
    "unknown limit": (_set("linux.resources.unified", {"memory.max": "max"}), "unknown_field"),
    "rlimits": (_set("process.rlimits", [{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}]), "rlimits"),
    "annotation": (_set("annotations", {"run.oci.keep_original_groups": "1"}), "annotation"),
    "one capability": (_set("process.capabilities.bounding", ["CAP_SYS_ADMIN"]), "capabilities"),
    "ambient capability": (_set("process.capabilities.ambient", ["CAP_NET_RAW"]), "capabilities"),
    "default capabilities": (_drop("process.capabilities"), "capabilities"),
    "new privileges": (_set("process.noNewPrivileges", False), "new_privileges"),
    "root inside": (_set("process.user", {"uid": 0, "gid": 0}), "user"),
    "more groups": (_set("process.user.additionalGids", [0]), "user"),
    "oom score": (_set("process.oomScoreAdj", -1000), "oom_score"),
    "environment": (_set("process.env", ["PATH=/usr/bin:/bin", "TOKEN=x"]), "environment"),
    "terminal": (_set("process.terminal", True), "terminal"),
    "command": (_set("process.args", ["/bin/sh"]), "command"),
    "writable root": (_set("root.readonly", False), "root"),
    "host's root": (_set("root.path", "/"), "root"),
    "propagation": (_set("linux.rootfsPropagation", "shared"), "propagation"),
    **{
        f"no {kind} namespace": (_without_namespace(kind), "namespace_missing")
        for kind in ("user", "pid", "ipc", "uts", "mount", "network", "cgroup")
    },
    **{
        f"host's {kind} namespace": (_join_namespace(kind), "namespace_path")
        for kind in ("user", "pid", "ipc", "network")
    },
    "uid 0 of the host": (_map("uidMappings", 0, 0), "uid_mapping"),
    "another user's uid": (_map("uidMappings", 1000, 3_000_002), "uid_mapping"),
    "a range of uids": (_map("uidMappings", 1000, 3_000_001, 65536), "uid_mapping"),
    "gid 0 of the host": (_map("gidMappings", 0, 0), "uid_mapping"),
    "no mapping": (_drop("linux.uidMappings"), "uid_mapping"),
    "foreign source": (_extra_mount(destination="/mnt", source="/etc"), "mount_source"),
    "docker socket": (
        _extra_mount(destination="/run/docker.sock", source="/run/docker.sock"),
        "mount_source",
    ),
    "other doors": (lambda c: _mount(c, "/run/sandbox/doors").update(source="/run"), "mount_source"),
    "other home": (lambda c: _mount(c, "/home/jovyan").update(source="/srv/homes/bob"), "mount_source"),
    "writable image": (_options("/usr", "ro"), "mount_writable"),
    "writable after all": (_options("/usr", add="rw"), "mount_writable"),
    "recursive bind": (_options("/usr", "bind", "rbind"), "mount_options"),
    "shared mount": (_options("/home/jovyan", "rprivate", "rshared"), "mount_options"),
    "device files in the home": (_options("/home/jovyan", "nodev"), "mount_options"),
    "set-uid in the home": (_options("/home/jovyan", "nosuid"), "mount_options"),
    "target twice": (_extra_mount(destination="/usr", source="/usr"), "mount_target"),
    "target with dots": (_extra_mount(destination="/usr/../etc", source="/usr"), "mount_target"),
    "sysfs": (_extra_mount(destination="/sys", type="sysfs", source="sysfs"), "mount_type"),
    "cgroup file system": (_extra_mount(destination="/sys/fs/cgroup", type="cgroup"), "mount_type"),
    "overlay file system": (_extra_mount(destination="/x", type="overlay"), "mount_type"),
    "another proc": (_extra_mount(destination="/x", type="proc", options=["nosuid"]), "mount_options"),
    "shared ptys": (_options("/dev/pts", "newinstance"), "mount_options"),
    "tmpfs without size": (_options("/tmp", "size=268435456"), "mount_unlimited"),
    "endless tmpfs": (_options("/tmp", "size=268435456", "size=0"), "mount_unlimited"),
    "tmpfs without inodes": (_options("/dev/shm", "nr_inodes=65536"), "mount_unlimited"),
    "larger tmpfs": (_options("/tmp", "size=268435456", "size=268435457"), "mount_unlimited"),
    "no proc": (lambda c: c["mounts"].remove(_mount(c, "/proc")), "mount_missing"),
    "id-mapped mount": (lambda c: _mount(c, "/usr").update(uidMappings=[]), "unknown_field"),
    "no seccomp": (_drop("linux.seccomp"), "seccomp"),
    "other seccomp": (_set("linux.seccomp.defaultAction", "SCMP_ACT_ALLOW"), "seccomp"),
    "unmasked": (lambda c: c["linux"]["maskedPaths"].remove("/proc/kcore"), "proc_paths"),
    "nothing masked": (_drop("linux.maskedPaths"), "proc_paths"),
    "writable /proc/sys": (lambda c: c["linux"]["readonlyPaths"].remove("/proc/sys"), "proc_paths"),
    "other cgroup": (_set("linux.cgroupsPath", "/"), "cgroup"),
    "no memory limit": (_drop("linux.resources.memory"), "limit"),
    "endless memory": (_set("linux.resources.memory.limit", -1), "limit"),
    "more memory": (_set("linux.resources.memory.limit", 2 << 30), "limit"),
    "swap": (_set("linux.resources.memory.swap", -1), "limit"),
    "swap beyond a lower limit": (_set("linux.resources.memory.limit", 1 << 29), "limit"),
    "no pids limit": (_drop("linux.resources.pids"), "limit"),
    "more cpu": (_set("linux.resources.cpu.quota", 400_000), "limit"),
    "no cpu period": (_set("linux.resources.cpu.period", None), "limit"),
    "no oom killer": (_set("linux.resources.memory.disableOOMKiller", True), "unknown_field"),
    "not an object": (_set("process", "sh"), "malformed"),
    "mounts of nothing": (_set("mounts", [None]), "malformed"),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_opening_is_refused(name: str, control: Callable[[str, bool], None]) -> None:
    """A config.json that differs from the rendered one in one opening is refused with that guard's code."""
    config = copy.deepcopy(render(SPEC, DOORS, PLACE))
    check(config, SPEC, DOORS, PLACE)
    control("the same config.json without the opening passes", True)
    change, code = OPENINGS[name]
    change(config)
    with pytest.raises(IsolationError) as refused:
        check(config, SPEC, DOORS, PLACE)
    assert refused.value.code == f"isolation.{code}"
    assert refused.value.field
    assert refused.value.remedy


DATA = Mount(kind="dataset", source="/srv/cases", target="/data/cases", read_only=True, dataset="cases@1")


DATA_OPENINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "writable": ("/data/cases", {"options": ["bind", "rprivate", "nosuid", "nodev", "rw"]}, "mount_writable"),
    "setuid": ("/data/cases", {"options": ["bind", "rprivate", "nodev", "ro"]}, "mount_options"),
    "another": ("/data/cases", {"source": "/srv"}, "mount_source"),
    "beside it": (
        "/data",
        {"options": ["nosuid", "nodev", "noexec", "mode=1777", "size=65536", "nr_inodes=256"]},
        "mount_writable",
    ),
    "the user's own": (
        "/data",
        {"options": ["nosuid", "nodev", "mode=755", "uid=1000", "size=65536", "nr_inodes=256"]},
        "mount_writable",
    ),
}


@pytest.mark.parametrize("name", DATA_OPENINGS)
def test_a_dataset_is_read_only_and_alone(name: str, control: Callable[[str, bool], None]) -> None:
    """A dataset that is writable, setuid, another, or lies where the user could write, is refused."""
    spec = replace(SPEC, mounts=(*SPEC.mounts, DATA))
    config = copy.deepcopy(render(spec, DOORS, PLACE))
    check(config, spec, DOORS, PLACE)
    control("the rendered one passes", True)
    with pytest.raises(IsolationError):  # without datasets nothing is mounted there
        check(config, SPEC, DOORS, PLACE)
    target, change, code = DATA_OPENINGS[name]
    _mount(config, target).update(change)
    with pytest.raises(IsolationError) as refused:
        check(config, spec, DOORS, PLACE)
    assert refused.value.code == f"isolation.{code}"


def test_root_of_the_host_is_never_mapped() -> None:
    """Even where spec and place agree on the host's uid 0, the mapping is refused."""
    spec = replace(SPEC, host_uid=0)
    with pytest.raises(IsolationError, match="never the host's 0"):
        check(render(spec, DOORS, PLACE), spec, DOORS, PLACE)


@pytest.mark.parametrize(
    "overlay",
    [
        {"linux": {"resources": {"cpu": {"shares": 256}, "memory": {"limit": 1 << 29, "swap": 1 << 29}}}},
        {"hostname": "lab", "process": {"oomScoreAdj": 500}},
        {"annotations": {"jupyter-sandbox-spawner.cost-centre": "42"}},
    ],
)
def test_harmless_overlay_passes(overlay: Config) -> None:
    """An overlay may lower limits, rename the host and add labels of ours."""
    check(merge(render(SPEC, DOORS, PLACE), overlay), SPEC, DOORS, PLACE)
