"""Is every request to Docker that would open a sandbox refused, by the guard that is meant for it?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.docker.check import check
from jupyter_sandbox_spawner.backends.docker.render import render
from jupyter_sandbox_spawner.backends.oci.render import merge
from jupyter_sandbox_spawner.errors import IsolationError
from tests.backends.docker_facts import DOORS, PLACE, SPEC

Request = dict[str, Any]
Change = Callable[[Request], None]


def _top(name: str, value: Any) -> Change:
    return lambda request: request.update({name: value})


def _host(name: str, value: Any) -> Change:
    return lambda request: request["HostConfig"].update({name: value})


def _drop(name: str) -> Change:
    return lambda request: request["HostConfig"].pop(name)


def _mount(target: str, **fields: Any) -> Change:
    def change(request: Request) -> None:
        mounts = request["HostConfig"]["Mounts"]
        next(item for item in mounts if item["Target"] == target).update(fields)

    return change


def _extra(source: str, target: str, **fields: Any) -> Change:
    options = {"Propagation": "rprivate", "NonRecursive": True}
    mount = {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True, "BindOptions": options}
    return lambda request: request["HostConfig"]["Mounts"].append(mount | fields)


def _without(target: str) -> Change:
    def change(request: Request) -> None:
        mounts = request["HostConfig"]["Mounts"]
        mounts[:] = [item for item in mounts if item["Target"] != target]

    return change


def _tmpfs(target: str, old: str, new: str) -> Change:
    def change(request: Request) -> None:
        places = request["HostConfig"]["Tmpfs"]
        assert old in places[target]
        places[target] = places[target].replace(old, new)

    return change


def _label(name: str, value: str) -> Change:
    return lambda request: request["Labels"].update({f"jupyter-sandbox-spawner.{name}": value})


DEVICE = {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}
GPU = {"Count": -1, "Capabilities": [["gpu"]]}
SECCOMP = f"seccomp={PLACE.seccomp}"
OPENINGS: dict[str, tuple[Change, str]] = {
    "network": (_host("NetworkMode", "bridge"), "network"),
    "host's network": (_host("NetworkMode", "host"), "network"),
    "another container's network": (_host("NetworkMode", "container:x"), "network"),
    "default network": (_drop("NetworkMode"), "network"),
    "networks": (_top("NetworkingConfig", {"EndpointsConfig": {"lan": {}}}), "unknown_field"),
    "ports": (_host("PortBindings", {"8888/tcp": [{"HostPort": "8888"}]}), "network"),
    "links": (_host("Links", ["db:db"]), "network"),
    "extra hosts": (_host("ExtraHosts", ["x:10.0.0.1"]), "unknown_field"),
    "privileged": (_host("Privileged", True), "capabilities"),
    "privileged by absence": (_drop("Privileged"), "capabilities"),
    "capability": (_host("CapAdd", ["SYS_ADMIN"]), "capabilities"),
    "default capabilities": (_host("CapDrop", []), "capabilities"),
    "fewer dropped": (_host("CapDrop", ["NET_RAW"]), "capabilities"),
    "root": (_top("User", "0:0"), "user"),
    "root by name": (_top("User", "root"), "user"),
    "another user": (_top("User", "3000002:3000002"), "user"),
    "root's group": (_top("User", "3000001:0"), "user"),
    "image's user": (_top("User", ""), "user"),
    "further groups": (_host("GroupAdd", ["docker"]), "user"),
    "new privileges": (_host("SecurityOpt", [SECCOMP]), "new_privileges"),
    "new privileges by word": (_host("SecurityOpt", ["no-new-privileges:false", SECCOMP]), "new_privileges"),
    "no seccomp": (_host("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]), "seccomp"),
    "Docker's seccomp": (_host("SecurityOpt", ["no-new-privileges"]), "seccomp"),
    "other seccomp": (_host("SecurityOpt", ["no-new-privileges", "seccomp={}"]), "seccomp"),
    "two seccomps": (_host("SecurityOpt", ["no-new-privileges", SECCOMP, "seccomp=unconfined"]), "seccomp"),
    "no AppArmor": (_host("SecurityOpt", ["no-new-privileges", SECCOMP, "apparmor=unconfined"]), "seccomp"),
    "open system paths": (
        _host("SecurityOpt", ["no-new-privileges", SECCOMP, "systempaths=unconfined"]),
        "seccomp",
    ),
    "no security options": (_drop("SecurityOpt"), "new_privileges"),
    "oom score": (_host("OomScoreAdj", -1000), "oom_score"),
    "no oom killer": (_host("OomKillDisable", True), "oom_score"),
    "host's pids": (_host("PidMode", "host"), "namespace_missing"),
    "host's ipc": (_host("IpcMode", "host"), "namespace_missing"),
    "shareable ipc": (_host("IpcMode", "shareable"), "namespace_missing"),
    "host's name": (_host("UTSMode", "host"), "namespace_missing"),
    "host's users": (_host("UsernsMode", "host"), "namespace_missing"),
    "host's cgroups": (_host("CgroupnsMode", "host"), "namespace_missing"),
    "cgroup parent": (_host("CgroupParent", "/"), "cgroup"),
    "runtime": (_host("Runtime", "nvidia"), "runtime"),
    "writable root": (_host("ReadonlyRootfs", False), "root"),
    "device": (_host("Devices", [DEVICE]), "devices"),
    "device rules": (_host("DeviceCgroupRules", ["c *:* rwm"]), "devices"),
    "every GPU": (_host("DeviceRequests", [GPU]), "devices"),
    "GPU by variable": (_top("Env", ["PATH=/usr/bin:/bin", "NVIDIA_VISIBLE_DEVICES=all"]), "environment"),
    "token": (_top("Env", ["PATH=/usr/bin:/bin", "TOKEN=x"]), "environment"),
    "sysctl": (_host("Sysctls", {"kernel.shmmax": "1"}), "unknown_field"),
    "unknown field": (_top("MacAddress", "02:00:00:00:00:01"), "unknown_field"),
    "unknown host field": (_host("Isolation", "default"), "unknown_field"),
    "image": (_top("Image", "alpine"), "image"),
    "command": (_top("Cmd", ["sh"]), "command"),
    "entry point": (_top("Entrypoint", ["sh"]), "command"),
    "Docker's init": (_host("Init", True), "command"),
    "health check": (_top("Healthcheck", {"Test": ["CMD", "sh"]}), "command"),
    "terminal": (_top("Tty", True), "terminal"),
    "input": (_top("OpenStdin", True), "terminal"),
    "another's label": (_label("sandbox", "sb-" + "b" * 20), "label"),
    "another site": (_label("site", "x"), "label"),
    "host name": (_top("Hostname", "hub"), "host_name"),
    "restarts": (_host("RestartPolicy", {"Name": "always"}), "life"),
    "removes itself": (_host("AutoRemove", True), "life"),
    "binds": (_host("Binds", ["/:/host"]), "mount_source"),
    "volumes": (_top("Volumes", {"/data": {}}), "unknown_field"),
    "volumes of another": (_host("VolumesFrom", ["x"]), "mount_source"),
    "host's root": (_extra("/", "/host"), "mount_source"),
    "Docker's socket": (_extra("/run/docker.sock", "/run/docker.sock"), "mount_source"),
    "named volume": (_extra("x", "/x", Type="volume"), "mount_type"),
    "other doors": (_mount("/run/sandbox/doors", Source="/run"), "mount_source"),
    "other home": (_mount("/home/jovyan", Source="/srv/homes/bob"), "mount_source"),
    "other passwd": (_mount("/etc/passwd", Source="/etc/passwd"), "mount_source"),
    "other shared directory": (_mount("/srv/data", Source="/data"), "mount_source"),
    "writable doors": (_mount("/run/sandbox/doors", ReadOnly=False), "mount_writable"),
    "writable pid 1": (_mount("/run/sandbox/inside", ReadOnly=False), "mount_writable"),
    "writable share": (_mount("/srv/data", ReadOnly=False), "mount_writable"),
    "shared mount": (_mount("/home/jovyan", BindOptions={"Propagation": "rshared"}), "mount_options"),
    "recursive mount": (_mount("/srv/data", BindOptions={"Propagation": "rprivate"}), "mount_options"),
    "target twice": (_extra("/data/reference", "/srv/data"), "mount_target"),
    "target with dots": (_extra("/x", "/srv/../etc"), "mount_target"),
    "no doors": (_without("/run/sandbox/doors"), "mount_missing"),
    "image's passwd": (_without("/etc/passwd"), "mount_missing"),
    "another tmpfs": (lambda r: r["HostConfig"]["Tmpfs"].update({"/x": "size=1"}), "mount_target"),
    "no tmpfs": (_drop("Tmpfs"), "mount_target"),
    "endless tmpfs": (_tmpfs("/tmp", "size=268435456", "size=0"), "mount_unlimited"),
    "larger tmpfs": (_tmpfs("/tmp", "size=268435456", "size=268435457"), "mount_unlimited"),
    "tmpfs without size": (_tmpfs("/tmp", "size=268435456,", ""), "mount_unlimited"),
    "tmpfs without inodes": (_tmpfs("/dev/shm", ",nr_inodes=65536", ""), "mount_unlimited"),
    "programs in shared memory": (_tmpfs("/dev/shm", "noexec", "exec"), "mount_options"),
    "set-uid in /tmp": (_tmpfs("/tmp", "nosuid,", ""), "mount_options"),
    "devices in /tmp": (_tmpfs("/tmp", "nodev,", ""), "mount_options"),
    "unmasked": (lambda r: r["HostConfig"]["MaskedPaths"].remove("/proc/kcore"), "proc_paths"),
    "visible cgroups": (lambda r: r["HostConfig"]["MaskedPaths"].remove("/sys"), "proc_paths"),
    "Docker's masks": (_drop("MaskedPaths"), "proc_paths"),
    "writable /proc/sys": (lambda r: r["HostConfig"]["ReadonlyPaths"].remove("/proc/sys"), "proc_paths"),
    "endless log": (_host("LogConfig", {"Type": "json-file", "Config": {}}), "log"),
    "log elsewhere": (_host("LogConfig", {"Type": "syslog", "Config": {}}), "log"),
    "daemon's log": (_drop("LogConfig"), "log"),
    "no memory limit": (_drop("Memory"), "limit"),
    "endless memory": (_host("Memory", -1), "limit"),
    "more memory": (_host("Memory", 2 << 30), "limit"),
    "swap": (_host("MemorySwap", -1), "limit"),
    "default swap": (_drop("MemorySwap"), "limit"),
    "swap beyond a lower limit": (_host("Memory", 1 << 29), "limit"),
    "no pids limit": (_host("PidsLimit", 0), "limit"),
    "more processes": (_host("PidsLimit", 257), "limit"),
    "more cpu": (_host("CpuQuota", 400_000), "limit"),
    "no cpu quota": (_host("CpuQuota", 0), "limit"),
    "no cpu period": (_drop("CpuPeriod"), "limit"),
    "cores in another field": (_host("NanoCpus", 10**11), "unknown_field"),
    "core dumps": (_host("Ulimits", [{"Name": "core", "Soft": -1, "Hard": -1}]), "rlimits"),
    "daemon's ulimits": (_drop("Ulimits"), "rlimits"),
    "not an object": (_top("Labels", ["x"]), "malformed"),
    "mounts of nothing": (_host("Mounts", [None]), "malformed"),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_opening_is_refused(name: str, control: Callable[[str, bool], None]) -> None:
    """A request that differs from the rendered one in one opening is refused with that guard's code."""
    request = copy.deepcopy(render(SPEC, DOORS, PLACE))
    check(request, SPEC, DOORS, PLACE)
    control("the same request without the opening passes", True)
    change, code = OPENINGS[name]
    change(request)
    with pytest.raises(IsolationError) as refused:
        check(request, SPEC, DOORS, PLACE)
    assert refused.value.code == f"isolation.{code}"
    assert refused.value.field
    assert refused.value.remedy


def test_root_of_the_host_is_never_a_user() -> None:
    """Even where spec and request agree on uid 0, it is refused."""
    spec = replace(SPEC, host_uid=0)
    with pytest.raises(IsolationError, match="never the host's 0"):
        check(render(spec, DOORS, PLACE), spec, DOORS, PLACE)


def test_no_profile_no_sandbox() -> None:
    """A place without a seccomp profile makes no sandbox, whatever the request says."""
    place = replace(PLACE, seccomp="")
    with pytest.raises(IsolationError) as refused:
        check(render(SPEC, DOORS, place), SPEC, DOORS, place)
    assert refused.value.code == "isolation.seccomp"


@pytest.mark.parametrize(
    "overlay",
    [
        {"HostConfig": {"CpuShares": 256, "CpusetCpus": "0-1", "MemoryReservation": 1 << 28}},
        {"HostConfig": {"Memory": 1 << 29, "MemorySwap": 1 << 29, "PidsLimit": 64, "OomScoreAdj": 500}},
        {"Labels": {"cost-centre": "42"}},
    ],
)
def test_harmless_overlay_passes(overlay: Request) -> None:
    """An overlay may lower limits, weigh and pin a sandbox, and add labels."""
    check(merge(render(SPEC, DOORS, PLACE), overlay), SPEC, DOORS, PLACE)
