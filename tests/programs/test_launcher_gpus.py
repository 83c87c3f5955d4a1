"""What does a launcher offer of its host's devices, and to whom does it refuse one?"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_sandbox_spawner.admin.gpu_findings import docker_way, gpu_findings
from jupyter_sandbox_spawner.backends.given import Given, Obstacle
from jupyter_sandbox_spawner.backends.memory import MemoryBackend
from jupyter_sandbox_spawner.errors import RefusedError
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory
from jupyter_sandbox_spawner.launcher import nvml
from jupyter_sandbox_spawner.launcher.admission import admit_gpus
from jupyter_sandbox_spawner.launcher.gpus import HostGpus, holders
from jupyter_sandbox_spawner.launcher.nvml import DriverGpu, read_nvml
from jupyter_sandbox_spawner.models import Doors, InventoryItem, Status
from jupyter_sandbox_spawner.settings import Site
from tests.programs.test_launcher_admission import SITE, SPEC
from tests.support.gpus import KIND, ThreeGpus, gpu_id, no_driver

pytestmark = pytest.mark.lane("root")
Control = Callable[[str, bool], None]


class GivesNodes(MemoryBackend):
    """A backend without processes that gives whatever our own render could."""

    def gpu_obstacle(self, given: Given) -> Obstacle | None:
        """See Backend.gpu_obstacle."""
        return given.obstacle

    async def inventory(self) -> tuple[InventoryItem, ...]:
        """See Backend.inventory; with the label of those that have records."""
        devices = {name: place.spec.gpu_devices for name, place in self._places.items()}
        found = await super().inventory()
        return tuple(replace(item, labels={"gpus": " ".join(devices[item.id])}) for item in found)


@pytest.fixture
def gpus(tmp_path: Path) -> ThreeGpus:
    """Three devices of this host."""
    return ThreeGpus(tmp_path)


async def _offer(host: HostGpus) -> tuple[list[str], str]:
    found = await host.inventory(GivesNodes())
    return [device.id for device in found.devices], "\n".join(found.notes)


async def test_three_of_a_spec(gpus: ThreeGpus) -> None:
    """The devices of a spec are offered by their CDI names, without `all` and without a word of complaint."""
    assert await _offer(gpus.host()) == ([gpu_id(0), gpu_id(1), gpu_id(2)], "")


async def test_nothing_at_all(tmp_path: Path) -> None:
    """A host without specs and driver offers nothing and says where it looked."""
    ids, notes = await _offer(HostGpus((str(tmp_path / "none"),), no_driver))
    assert ids == []
    assert notes == (
        f"No GPU was found: no device in the CDI specs of {tmp_path}/none. NVML finds no NVIDIA driver."
    )


async def test_bad_file_leaves_the_others(gpus: ThreeGpus) -> None:
    """One wrong spec is left out, by file and field; the others' devices stay."""
    bad = gpus.document() | {"kind": "other.example/gpu", "devices": [{"name": "../x"}]}
    path = gpus.write(bad, "bad.json")
    (gpus.specs / "torn.yaml").write_text("devices: [")
    ids, notes = await _offer(gpus.host())
    assert len(ids) == 3
    assert f"{path}: devices[0].name: '../x'" in notes
    assert "torn.yaml is not read" in notes


async def test_file_of_others_is_not_read(gpus: ThreeGpus, control: Control) -> None:
    """A spec that others than root may write is left out."""
    control("the same file, root's alone, is read", len((await _offer(gpus.host()))[0]) == 3)
    (gpus.specs / "test.json").chmod(0o666)
    ids, notes = await _offer(gpus.host())
    assert ids == []
    assert "others than root may write it" in notes


async def test_later_directory_wins(gpus: ThreeGpus, tmp_path: Path) -> None:
    """Of two directories with the same names the later one counts; in one directory neither file does."""
    later = tmp_path / "later"
    later.mkdir()
    document = gpus.document()
    document["containerEdits"] = {"env": ["WHICH=later"]}
    (later / "a.json").write_text(json.dumps(document))
    host = HostGpus((str(gpus.specs), str(later)), no_driver)
    assert host.give((gpu_id(0),)).environment == {"WHICH": "later"}
    (later / "b.json").write_text(json.dumps(document))
    ids, notes = await _offer(host)
    assert ids == []
    assert f"{gpu_id(0)} is in two files of {later}" in notes


async def test_second_name_of_a_device(gpus: ThreeGpus) -> None:
    """A UUID and a number for the same node are one device, under the UUID."""
    document = gpus.document()
    for device in list(document["devices"][1:]):
        document["devices"].append({**device, "name": f"GPU-{device['name']}"})
    gpus.write(document)
    assert await _offer(gpus.host()) == (["GPU-0", "GPU-1", "GPU-2"], "")


async def test_shared_node_is_nobodys(gpus: ThreeGpus) -> None:
    """A device that has another one's node besides its own is not given, nor is that other one."""
    document = gpus.document()
    both = [gpus._node(0), gpus._node(1)]
    document["devices"][1]["containerEdits"]["deviceNodes"] = both
    gpus.write(document)
    ids, notes = await _offer(gpus.host())
    assert ids == [gpu_id(2)]
    assert f"{gpu_id(1)} shares {gpus.nodes[1]} with {gpu_id(0)}: neither is given." in notes


async def test_another_path_to_the_same_device(gpus: ThreeGpus) -> None:
    """Two nodes of one device number are the same device, whatever their names."""
    document = gpus.document()
    twin = gpus.nodes[0].with_name("twin")
    os.mknod(twin, stat.S_IFCHR | 0o666, os.stat(gpus.nodes[0]).st_rdev)
    document["devices"][2]["containerEdits"]["deviceNodes"] = [
        {"path": "/dev/nvidia1", "hostPath": str(twin)},
        gpus._node(1),
    ]
    gpus.write(document)
    assert (await _offer(gpus.host()))[0] == [gpu_id(2)]


async def test_wrong_numbers(gpus: ThreeGpus) -> None:
    """A node that is not the device its spec says is not given."""
    document = gpus.document()
    document["devices"][1]["containerEdits"]["deviceNodes"][0] |= {"major": 10, "minor": 0}
    gpus.write(document)
    ids, notes = await _offer(gpus.host())
    assert gpu_id(0) not in ids
    assert "not what its spec says" in notes


def _driver(*devices: GpuDevice, names: tuple[str, ...] = ("0", "1", "2")) -> Any:
    found = [
        DriverGpu(device=device, names=frozenset({device.id, name}))
        for device, name in zip(devices, names, strict=False)
    ]
    return lambda: (tuple(found), "")


async def test_driver_and_spec_are_one(gpus: ThreeGpus) -> None:
    """What the driver knows is offered by UUID and product, and is given as the spec of its number says."""
    document = gpus.document() | {"kind": "nvidia.com/gpu"}
    gpus.write(document)
    one = GpuDevice(id="GPU-aa", kind="nvidia-h100-80gb-hbm3", memory=80 << 30)
    host = HostGpus((str(gpus.specs),), _driver(one))
    found = await host.inventory(GivesNodes())
    assert found.devices == (replace(one, cdi="nvidia.com/gpu=0"),)
    assert [node.source for node in host.give(("GPU-aa",)).nodes] == [str(gpus.nodes[0])]
    assert "nvidia.com/gpu=1 is no GPU that the driver has: it is not given." in found.notes


async def test_driver_without_spec(tmp_path: Path) -> None:
    """A GPU that no spec names is not offered where nodes are ours to give, and the remedy is said."""
    host = HostGpus((str(tmp_path),), _driver(GpuDevice(id="GPU-aa", kind="nvidia-l4")))
    ids, notes = await _offer(host)
    assert ids == []
    assert "No CDI spec names GPU-aa." in notes
    assert "nvidia-ctk cdi generate" in notes


class OneWholeOneSplit(SimpleNamespace):
    """NVML of a host with two GPUs, the second of them in two parts."""

    class NVMLError(Exception):
        """See pynvml."""

    class NVMLError_NotSupported(NVMLError):
        """See pynvml."""

    class NVMLError_NotFound(NVMLError):
        """See pynvml."""

    class NVMLError_LibraryNotFound(NVMLError):
        """See pynvml."""

    def __init__(self) -> None:
        super().__init__(
            nvmlInit=lambda: None,
            nvmlShutdown=lambda: None,
            nvmlDeviceGetCount=lambda: 2,
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetUUID=lambda handle: (
                f"MIG-{handle[1]}" if isinstance(handle, tuple) else f"GPU-{handle}"
            ),
            nvmlDeviceGetName=lambda handle: (
                "NVIDIA A100-SXM4-40GB MIG 1g.5gb" if isinstance(handle, tuple) else b"NVIDIA A100-SXM4-40GB"
            ),
            nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=5 << 30),
            nvmlDeviceGetMaxMigDeviceCount=lambda handle: 7,
        )

    def nvmlDeviceGetMigMode(self, handle: int) -> tuple[int, int]:
        """Only the second can be split."""
        if handle == 0:
            raise self.NVMLError_NotSupported
        return 1, 1

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, number: int) -> Any:
        """Two of seven are made."""
        if number > 1:
            raise self.NVMLError_NotFound
        return handle, number


def test_nvml_of_whole_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole GPU is one device; one in MIG mode is its parts, named as CDI specs name them."""
    monkeypatch.setattr(nvml.importlib, "import_module", lambda name: OneWholeOneSplit())
    found, note = read_nvml()
    assert note == ""
    assert [(gpu.device.id, gpu.device.kind, gpu.device.parent) for gpu in found] == [
        ("GPU-0", "nvidia-a100-sxm4-40gb", ""),
        ("MIG-0", "mig-1g.5gb", "GPU-1"),
        ("MIG-1", "mig-1g.5gb", "GPU-1"),
    ]
    assert found[2].names == {"MIG-1", "1:1", "mig1:1"}


def test_no_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nvidia-ml-py the specs alone count, and how to get it is said."""

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(nvml.importlib, "import_module", absent)
    assert read_nvml() == ((), "NVML is not asked. Run: pip install 'jupyter_sandbox_spawner[gpu]'")


WHOLE = GpuDevice(id="GPU-0", kind="nvidia-l4")
PART = GpuDevice(id="MIG-0", kind="mig-1g.5gb", parent="GPU-1")
PARENT = GpuDevice(id="GPU-1", kind="nvidia-a100")
INVENTORY = GpuInventory(devices=(WHOLE, PART, PARENT))


@pytest.mark.proves("Q08")
@pytest.mark.parametrize(
    ("asked", "held", "code"),
    [
        (("GPU-9",), {}, "launcher.gpu_unknown"),
        (("all",), {}, "launcher.gpu_unknown"),
        (("GPU-0",), {"GPU-0": "sb-other"}, "launcher.gpu_taken"),
        (("GPU-1",), {"MIG-0": "sb-other"}, "launcher.gpu_taken"),
        (("MIG-0",), {"GPU-1": "sb-other"}, "launcher.gpu_taken"),
        (("GPU-0", "GPU-0"), {}, "launcher.gpu_taken"),
    ],
)
def test_device_is_refused(asked: tuple[str, ...], held: dict[str, str], code: str, control: Control) -> None:
    """A hub in strange hands gets no device that is not there, or that another has in whole or part."""
    admit_gpus(replace(SPEC, gpu_devices=("GPU-0",)), INVENTORY, {"MIG-0": "sb-other"})
    control("a device that nobody has is given", True)
    with pytest.raises(RefusedError) as refused:
        admit_gpus(replace(SPEC, gpu_devices=asked), INVENTORY, held)
    assert refused.value.code == code


def test_holders_are_alive() -> None:
    """A sandbox that has ended holds nothing, and one may have its own again."""
    items = [
        InventoryItem(id=name, user="a", server="", status=Status(value=value), labels={"gpus": gpu})
        for name, value, gpu in (
            ("sb-1", "running", "GPU-1"),
            ("sb-2", "stopped", "GPU-2"),
            ("sb-3", "pending", "GPU-3 GPU-4"),
        )
    ]
    assert holders(items, "sb-1") == {"GPU-3": "sb-3", "GPU-4": "sb-3"}


async def test_many_at_once(gpus: ThreeGpus) -> None:
    """Of many requests at once for three devices each device is given once."""
    host, backend = gpus.host(), GivesNodes()

    async def ask(number: int) -> str:
        name = f"sb-{number:020d}"
        spec = replace(SPEC, id=name, gpu_devices=(gpu_id(number % 3),))
        try:
            async with host.giving(spec, backend):
                await asyncio.sleep(0)
                await backend.create(spec, Doors(directory="/x"), {})
        except RefusedError as refused:
            return refused.code
        return gpu_id(number % 3)

    answers = await asyncio.gather(*(ask(number) for number in range(60)))
    assert sorted(text for text in answers if text.startswith(KIND)) == [gpu_id(0), gpu_id(1), gpu_id(2)]
    assert answers.count("launcher.gpu_taken") == 57


def _site(gpus: ThreeGpus) -> Site:
    return replace(SITE, cdi_directories=(str(gpus.specs),))


def test_doctor_counts(gpus: ThreeGpus, tmp_path: Path) -> None:
    """Doctor counts the devices that can be given; a host without any is fine and says where it looked."""
    (found,) = gpu_findings(_site(gpus))
    assert (found.fine, found.seen) == (True, "3 (gpu)")
    (none,) = gpu_findings(replace(SITE, cdi_directories=(str(tmp_path / "none"),)))
    assert none.fine
    assert str(tmp_path / "none") in none.seen


def test_doctor_names_hooks(gpus: ThreeGpus) -> None:
    """A spec with hooks is a weakness with its remedy, and none where Docker reads that directory itself."""
    document = gpus.document()
    document["containerEdits"]["hooks"] = [{"hookName": "createContainer", "path": "/usr/bin/hook"}]
    gpus.write(document)
    first, *others = gpu_findings(_site(gpus))
    assert (first.fine, first.seen, len(others)) == (False, "none that can be given", 3)
    assert "/usr/bin/hook" in others[0].seen
    assert not any(finding.needed for finding in (first, *others))
    (by_daemon,) = gpu_findings(_site(gpus), [str(gpus.specs)])
    assert by_daemon.seen == "3 (gpu)"


def test_doctor_tells_dockers_way() -> None:
    """Doctor says how the daemon would be asked for devices."""
    assert "in /etc/cdi" in docker_way({"CDISpecDirs": ["/etc/cdi"]}).seen
    assert "by UUID" in docker_way({"Runtimes": {"nvidia": {}}}).seen
    assert "by device nodes" in docker_way({"Runtimes": {"runc": {}}}).seen
