"""Is a CDI spec read as it stands, or refused whole with the field that is wrong?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.rules.cdi import CdiDevice, CdiNode, Edits, clashes, read_cdi

NODE = {"path": "/dev/nvidia0", "hostPath": "/dev/nvidia0", "type": "c", "major": 195, "minor": 0}
SPEC: dict[str, Any] = {
    "cdiVersion": "0.6.0",
    "kind": "nvidia.com/gpu",
    "containerEdits": {
        "env": ["NVIDIA_VISIBLE_DEVICES=void", "CUDA_HINT=1"],
        "deviceNodes": [{"path": "/dev/nvidiactl"}],
        "mounts": [{"hostPath": "/usr/lib/libcuda.so.1", "containerPath": "/usr/lib/libcuda.so.1"}],
    },
    "devices": [
        {"name": "0", "containerEdits": {"deviceNodes": [NODE]}},
        {"name": "all", "containerEdits": {"deviceNodes": [NODE]}},
    ],
}


def test_what_is_read() -> None:
    """Nodes, mounts and variables of device and spec are read; `all` is no device."""
    (device,) = read_cdi(SPEC, "nvidia.yaml")
    both = device.common + device.own
    assert (device.cdi, device.name, device.kind) == ("nvidia.com/gpu=0", "0", "gpu")
    assert [node.target for node in both.nodes] == ["/dev/nvidiactl", "/dev/nvidia0"]
    assert both.nodes[1] == CdiNode(source="/dev/nvidia0", target="/dev/nvidia0", major=195, minor=0)
    assert (both.environment, both.mounts[0].target) == ({"CUDA_HINT": "1"}, "/usr/lib/libcuda.so.1")


def test_no_node_is_ever_made_inside() -> None:
    """The permission to make nodes is left out, whatever the spec says."""
    spec = copy.deepcopy(SPEC)
    spec["devices"][0]["containerEdits"]["deviceNodes"][0] = {**NODE, "permissions": "rwm"}
    assert read_cdi(spec, "x")[0].own.nodes[0].access == "rw"


def test_notes_of_tests_and_parts() -> None:
    """Annotations say what kind a device is and on which GPU it is a part."""
    spec = copy.deepcopy(SPEC)
    spec["devices"][0]["annotations"] = {
        "jupyter-sandbox/kind": "mig-1g.10gb",
        "jupyter-sandbox/parent": "GPU-1",
    }
    (device,) = read_cdi(spec, "x")
    assert (device.kind, device.parent) == ("mig-1g.10gb", "GPU-1")


def test_hooks_and_what_only_runtimes_do_are_kept_as_reasons() -> None:
    """Hooks, further groups and network devices do not spoil the file; they say why we cannot give it."""
    spec = copy.deepcopy(SPEC)
    hook = {"hookName": "createContainer", "path": "/usr/bin/h", "args": ["h", "update-ldcache"]}
    spec["containerEdits"] |= {"hooks": [hook], "additionalGids": [44], "env": ["LD_PRELOAD=/x"]}
    (device,) = read_cdi(spec, "x")
    assert device.common.hooks == ("h update-ldcache",)
    assert device.common.obstacles == ("it wants additionalGids", "it sets LD_PRELOAD")


def _node(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda spec: spec["devices"][0]["containerEdits"].update(deviceNodes=[{**NODE, **changes}])


def _mount(**changes: Any) -> Callable[[dict[str, Any]], None]:
    mount = {"hostPath": "/usr/x", "containerPath": "/usr/x", **changes}
    return lambda spec: spec["containerEdits"].update(mounts=[mount])


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another version": (lambda spec: spec.update(cdiVersion="2.0.0"), "cdiVersion"),
    "a version that is a number": (lambda spec: spec.update(cdiVersion=0.6), "cdiVersion"),
    "no kind": (lambda spec: spec.pop("kind"), "kind"),
    "a kind without class": (lambda spec: spec.update(kind="nvidia"), "kind"),
    "an unknown field": (lambda spec: spec.update(privileged=True), "privileged"),
    "devices that are no list": (lambda spec: spec.update(devices={}), "devices"),
    "a device without name": (lambda spec: spec["devices"][0].pop("name"), "devices[0].name"),
    "a name with a slash": (lambda spec: spec["devices"][0].update(name="../0"), "devices[0].name"),
    "a name twice": (lambda spec: spec["devices"][1].update(name="0"), "devices[1].name"),
    "a block device": (_node(type="b"), "devices[0].containerEdits.deviceNodes[0].type"),
    "a node elsewhere": (_node(path="/etc/passwd"), "devices[0].containerEdits.deviceNodes[0].path"),
    "a node in place of null": (_node(path="/dev/null"), "devices[0].containerEdits.deviceNodes[0].path"),
    "a node over a terminal": (_node(path="/dev/pts/0"), "devices[0].containerEdits.deviceNodes[0].path"),
    "a path with dots": (_node(path="/dev/x/../sda"), "devices[0].containerEdits.deviceNodes[0].path"),
    "a host path with dots": (_node(hostPath="/dev/.."), "devices[0].containerEdits.deviceNodes[0].hostPath"),
    "a number as text": (_node(major="195"), "devices[0].containerEdits.deviceNodes[0].major"),
    "every permission": (_node(permissions="a"), "devices[0].containerEdits.deviceNodes[0].permissions"),
    "a mount over the home": (_mount(containerPath="/home/jovyan"), "containerEdits.mounts[0].containerPath"),
    "a mount over doors": (
        _mount(containerPath="/run/sandbox/doors"),
        "containerEdits.mounts[0].containerPath",
    ),
    "a mount over everything": (_mount(containerPath="/"), "containerEdits.mounts[0].containerPath"),
    "a mount of another type": (_mount(type="tmpfs"), "containerEdits.mounts[0].type"),
    "a variable without value": (lambda spec: spec["containerEdits"].update(env=["X"]), "containerEdits.env"),
    "a hook that is none": (lambda spec: spec["containerEdits"].update(hooks=["x"]), "containerEdits.hooks"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_spec_is_refused(name: str) -> None:
    """One wrong field refuses the whole file, by file, field and what to do."""
    change, field = WRONG[name]
    spec = copy.deepcopy(SPEC)
    change(spec)
    with pytest.raises(ConfigurationError, match=r"^nvidia\.yaml: ") as refused:
        read_cdi(spec, "nvidia.yaml")
    assert (refused.value.code, refused.value.field) == ("gpu.cdi_invalid", field)
    assert refused.value.remedy


def _device(name: str, *paths: str, kind: str = "gpu", parent: str = "") -> CdiDevice:
    nodes = tuple(CdiNode(source=path, target=path) for path in paths)
    return CdiDevice(
        cdi=f"v/c={name}", name=name, own=Edits(nodes=nodes), common=Edits(), kind=kind, parent=parent
    )


def _path(node: CdiNode) -> str:
    return node.source


def test_a_node_of_two_devices() -> None:
    """Two devices with a node in common are both named; one apart from them is not."""
    found = clashes(
        [_device("0", "/dev/a"), _device("two", "/dev/a", "/dev/b"), _device("2", "/dev/c")], _path
    )
    assert found == {
        "v/c=0": "v/c=0 shares /dev/a with v/c=two",
        "v/c=two": "v/c=two shares /dev/a with v/c=0",
    }


def test_parts_share_their_gpu() -> None:
    """Parts of one GPU share its node; a part and a whole GPU do not, nor two with the very same nodes."""
    one = _device("0:0", "/dev/a", "/dev/cap1", kind="mig-1g", parent="GPU-1")
    two = _device("0:1", "/dev/a", "/dev/cap2", kind="mig-1g", parent="GPU-1")
    assert clashes([one, two], _path) == {}
    assert set(clashes([one, _device("0", "/dev/a")], _path)) == {"v/c=0:0", "v/c=0"}
    same = _device("0:2", "/dev/a", "/dev/cap1", kind="mig-1g", parent="GPU-1")
    assert set(clashes([one, same], _path)) == {"v/c=0:0", "v/c=0:2"}
