"""What does a native request say of a sandbox's devices, and is anything beyond them refused?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.docker.check import check as check_container
from jupyter_sandbox_spawner.backends.docker.gpus import GpuRequest, choose_way
from jupyter_sandbox_spawner.backends.docker.render import render as render_container
from jupyter_sandbox_spawner.backends.given import Given, Node, Obstacle
from jupyter_sandbox_spawner.backends.oci.check import check
from jupyter_sandbox_spawner.backends.oci.render import render
from jupyter_sandbox_spawner.errors import IsolationError
from tests.backends import docker_facts
from tests.backends.facts import DOORS, PLACE, SPEC

Control = Callable[[str, bool], None]
Request = dict[str, Any]
GPU = "GPU-8a3f0c52-0000-1111-2222-333344445555"
GIVEN = Given(
    ids=(GPU,),
    names=("nvidia.com/gpu=0",),
    directories=("/etc/cdi",),
    nodes=(
        Node(source="/dev/nvidiactl", target="/dev/nvidiactl", major=195, minor=255, access="rw"),
        Node(source="/dev/nvidia3", target="/dev/nvidia0", major=195, minor=3, access="rw"),
    ),
    mounts=(("/usr/lib/libcuda.so.1", "/usr/lib/libcuda.so.1"), ("/srv/driver", "/opt/driver")),
    environment={"CUDA_HINT": "1"},
)
HOOKS = Obstacle(code="gpu.hooks", message="It wants programs run.")
OURS = replace(PLACE, gpus=GIVEN)


def _config() -> Request:
    return copy.deepcopy(render(SPEC, DOORS, OURS))


def test_config_has_the_given_nodes() -> None:
    """Each node is bound where its spec wants it and let through by its numbers; all else stays denied."""
    config = _config()
    check(config, SPEC, DOORS, OURS)
    assert config["linux"]["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 195, "minor": 255, "access": "rw"},
        {"allow": True, "type": "c", "major": 195, "minor": 3, "access": "rw"},
    ]
    binds = {item["destination"]: item for item in config["mounts"]}
    assert binds["/dev/nvidia0"] == {
        "destination": "/dev/nvidia0",
        "type": "bind",
        "source": "/dev/nvidia3",
        "options": ["bind", "noexec", "nosuid", "rprivate", "rw"],
    }
    assert "devices" not in config["linux"]


def test_config_has_what_comes_along() -> None:
    """A library is bound read-only where a sandbox does not see it anyway; variables are set, and no GPU."""
    config = _config()
    binds = {item["destination"]: item["options"] for item in config["mounts"]}
    assert binds["/opt/driver"] == ["bind", "nodev", "nosuid", "ro", "rprivate"]
    assert "/usr/lib/libcuda.so.1" not in binds
    assert config["process"]["env"] == ["PATH=/usr/bin:/bin", "NVIDIA_VISIBLE_DEVICES=void", "CUDA_HINT=1"]


def _rule(**fields: Any) -> Callable[[Request], None]:
    rule = {"allow": True, "type": "c", "major": 195, "minor": 0, "access": "rw", **fields}
    return lambda config: config["linux"]["resources"]["devices"].append(rule)


def _bind(target: str, **fields: Any) -> Callable[[Request], None]:
    def change(config: Request) -> None:
        next(item for item in config["mounts"] if item["destination"] == target).update(fields)

    return change


def _another_node(config: Request) -> None:
    options = ["bind", "rprivate", "nosuid", "noexec", "rw"]
    config["mounts"].append(
        {"destination": "/dev/nvidia1", "type": "bind", "source": "/dev/nvidia1", "options": options}
    )


def _without_node(config: Request) -> None:
    config["mounts"] = [item for item in config["mounts"] if item["destination"] != "/dev/nvidia0"]


def _all_visible(config: Request) -> None:
    config["process"]["env"][1] = "NVIDIA_VISIBLE_DEVICES=all"


OPENINGS: dict[str, tuple[Callable[[Request], None], str]] = {
    "a second device allowed": (_rule(), "devices"),
    "every device allowed": (_rule(major=None, minor=None), "devices"),
    "a device may be made": (
        lambda config: config["linux"]["resources"]["devices"][2].update(access="rwm"),
        "devices",
    ),
    "nothing denied": (lambda config: config["linux"]["resources"]["devices"].pop(0), "devices"),
    "a device by the runtime": (
        lambda config: config["linux"].update(devices=[{"path": "/dev/nvidia1", "type": "c"}]),
        "devices",
    ),
    "another device in its place": (_bind("/dev/nvidia0", source="/dev/nvidia1"), "devices"),
    "a disk in its place": (_bind("/dev/nvidia0", source="/dev/sda"), "devices"),
    "set-uid programs": (_bind("/dev/nvidia0", options=["bind", "rprivate", "rw"]), "devices"),
    "a writable library": (
        _bind("/opt/driver", options=["bind", "rprivate", "nosuid", "nodev", "rw"]),
        "devices",
    ),
    "another node": (_another_node, "mount_source"),
    "no node": (_without_node, "mount_missing"),
    "all visible": (_all_visible, "environment"),
}


@pytest.mark.proves("Q08")
@pytest.mark.parametrize("name", OPENINGS)
def test_config_with_more_is_refused(name: str, control: Control) -> None:
    """A config.json with more devices than the given ones is refused, whoever wrote it."""
    config = _config()
    check(config, SPEC, DOORS, OURS)
    control("the config.json with the given devices passes", True)
    change, code = OPENINGS[name]
    change(config)
    with pytest.raises(IsolationError) as refused:
        check(config, SPEC, DOORS, OURS)
    assert refused.value.code == f"isolation.{code}"


def _ask(info: dict[str, Any], given: Given = GIVEN) -> GpuRequest | Obstacle:
    return choose_way(info, given)


def test_daemon_with_cdi() -> None:
    """A daemon that reads the specs' directory is asked by qualified names; hooks are its own to run."""
    found = _ask({"CDISpecDirs": ["/etc/cdi", "/var/run/cdi"]}, replace(GIVEN, obstacle=HOOKS))
    assert found == GpuRequest(
        environment=("PATH=/usr/bin:/bin", "NVIDIA_VISIBLE_DEVICES=void"),
        host={"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]},
    )


def test_daemon_with_nvidias_runtime() -> None:
    """One that has NVIDIA's runtime is asked by UUID, and the variable names that UUID."""
    found = _ask({"CDISpecDirs": ["/elsewhere"], "Runtimes": {"runc": {}, "nvidia": {}}})
    assert found == GpuRequest(
        environment=("PATH=/usr/bin:/bin", f"NVIDIA_VISIBLE_DEVICES={GPU}"),
        host={
            "DeviceRequests": [
                {"Driver": "nvidia", "DeviceIDs": [GPU], "Capabilities": [["gpu", "compute", "utility"]]}
            ]
        },
    )


def test_daemon_with_neither() -> None:
    """Any other is given the nodes, what comes along and the variables that the spec names."""
    found = _ask({"Runtimes": {"runc": {}}})
    assert found == GpuRequest(
        environment=("PATH=/usr/bin:/bin", "NVIDIA_VISIBLE_DEVICES=void", "CUDA_HINT=1"),
        host={
            "Devices": [
                {
                    "PathOnHost": node.source,
                    "PathInContainer": node.target,
                    "CgroupPermissions": "rw",
                }
                for node in GIVEN.nodes
            ]
        },
        mounts={"/usr/lib/libcuda.so.1": "/usr/lib/libcuda.so.1", "/opt/driver": "/srv/driver"},
    )
    assert _ask({}, replace(GIVEN, obstacle=HOOKS)) == HOOKS


def test_device_without_uuid_is_not_asked_of_nvidia() -> None:
    """A device that only a spec knows is given by its nodes, though NVIDIA's runtime is there."""
    found = _ask({"Runtimes": {"nvidia": {}}}, replace(GIVEN, ids=("test.example/gpu=0",)))
    assert isinstance(found, GpuRequest)
    assert "Devices" in found.host


WAYS: dict[str, dict[str, Any]] = {
    "cdi": {"CDISpecDirs": ["/etc/cdi"]},
    "nvidia": {"Runtimes": {"nvidia": {}}},
    "nodes": {},
}
MORE: dict[str, Callable[[Request], None]] = {
    "every device": lambda host: host.update(DeviceRequests=[{"Driver": "nvidia", "Count": -1}]),
    "all by CDI": lambda host: host.update(
        DeviceRequests=[{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]
    ),
    "another device": lambda host: host.update(
        Devices=[{"PathOnHost": "/dev/nvidia1", "PathInContainer": "/dev/nvidia0", "CgroupPermissions": "rw"}]
    ),
    "rules": lambda host: host.update(DeviceCgroupRules=["c 195:* rwm"]),
    "none": lambda host: [host.pop(name, None) for name in ("Devices", "DeviceRequests")],
}


@pytest.mark.proves("Q08")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("more", MORE)
def test_container_with_more_is_refused(way: str, more: str, control: Control) -> None:
    """Whichever way devices are asked for, a request for others than the given ones is refused."""
    gpus = _ask(WAYS[way])
    assert isinstance(gpus, GpuRequest)
    place = replace(docker_facts.PLACE, gpus=gpus)
    request = copy.deepcopy(render_container(SPEC, DOORS, place))
    check_container(request, SPEC, DOORS, place)
    control("the request for the given devices passes", True)
    MORE[more](request["HostConfig"])
    with pytest.raises(IsolationError) as refused:
        check_container(request, SPEC, DOORS, place)
    assert refused.value.code == "isolation.devices"
