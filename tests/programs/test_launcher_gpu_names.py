"""Is a GPU one sandbox's alone while its name changes: NVML falls silent, comes or goes?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import RefusedError
from jupyter_sandbox_spawner.gpus import GpuDevice
from jupyter_sandbox_spawner.launcher import nvml
from jupyter_sandbox_spawner.launcher.gpu_overlaps import NVIDIA, Piece, refuse_overlap
from jupyter_sandbox_spawner.launcher.gpus import HostGpus
from jupyter_sandbox_spawner.launcher.nvml import DriverGpu, read_nvml
from jupyter_sandbox_spawner.models import Doors
from tests.programs.test_launcher_admission import SPEC
from tests.programs.test_launcher_gpus import GivesNodes, OneWholeOneSplit
from tests.support.gpus import ThreeGpus, no_driver

pytestmark = pytest.mark.lane("root")
Control = Callable[[str, bool], None]
# The third GPU is one that the driver does not have.
DRIVER = tuple(
    DriverGpu(device=GpuDevice(id=name, kind="nvidia-l4"), names=frozenset({name, number}))
    for name, number in (("GPU-abc", "0"), ("GPU-def", "1"))
)


@pytest.fixture
def gpus(tmp_path: Path) -> ThreeGpus:
    """Three devices of this host that pass for NVIDIA's."""
    found = ThreeGpus(tmp_path)
    found.write(found.document() | {"kind": NVIDIA})
    return found


class Host:
    """A launcher's devices and the sandboxes that have some; `nvml` can change at any time."""

    def __init__(self, gpus: ThreeGpus) -> None:
        self.nvml: Any = no_driver
        self.backend = GivesNodes()
        self.gpus = HostGpus((str(gpus.specs),), self._ask)

    def _ask(self) -> Any:
        return self.nvml()

    async def give(self, sandbox: str, device: str) -> str:
        """Start a sandbox with a device; "" or the code and the message of the refusal."""
        spec = replace(SPEC, id=f"sb-{sandbox:0>20}", gpu_devices=(device,))
        try:
            async with self.gpus.giving(spec, self.backend):
                await self.backend.create(spec, Doors(directory="/x"), {})
        except RefusedError as refused:
            return f"{refused.code} {refused.message}"
        return ""


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetMemoryInfo"])
@pytest.mark.proves("Q08")
async def test_silent_driver_gives_nothing(
    call: str, gpus: ThreeGpus, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """Where NVML loads and fails, NVIDIA's specs are not offered under other names; other vendors' are."""
    library = OneWholeOneSplit()
    monkeypatch.setattr(nvml.importlib, "import_module", lambda name: library)
    gpus.write(gpus.document() | {"devices": gpus.document()["devices"][3:]}, "other.json")
    document = gpus.document() | {"kind": NVIDIA}
    gpus.write(document | {"devices": document["devices"][:3]})
    host = HostGpus((str(gpus.specs),), read_nvml)
    offered = [device.cdi for device in (await host.inventory(GivesNodes())).devices]
    control("what the driver has is given", "nvidia.com/gpu=0" in offered)

    def fail(*arguments: Any) -> None:
        raise library.NVMLError("lost")

    monkeypatch.setattr(library, call, fail)
    found = await host.inventory(GivesNodes())
    assert [device.cdi for device in found.devices] == ["test.example/gpu=2"]
    assert "(lost), so that no NVIDIA GPU is given." in "\n".join(found.notes)


def test_library_without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without NVIDIA's driver has no GPU under another name: its specs count."""
    library = OneWholeOneSplit()

    def fail() -> None:
        raise library.NVMLError_LibraryNotFound("no library")

    monkeypatch.setattr(library, "nvmlInit", fail)
    monkeypatch.setattr(nvml.importlib, "import_module", lambda name: library)
    assert read_nvml() == ((), "NVML finds no NVIDIA driver (no library).")


@pytest.mark.proves("Q08")
async def test_nvml_is_installed(gpus: ThreeGpus, control: Control) -> None:
    """A GPU that was given by its CDI name is not given again by its UUID."""
    host = Host(gpus)
    assert await host.give("a", "nvidia.com/gpu=0") == ""
    host.nvml = lambda: (DRIVER, "")
    refused = await host.give("b", "GPU-abc")
    assert refused.startswith(
        "launcher.gpu_taken gpu_devices: GPU-abc could be nvidia.com/gpu=0, which sb-000"
    )
    control("the other GPU is given", await host.give("b", "GPU-def") == "")


@pytest.mark.proves("Q08")
async def test_nvml_is_removed(gpus: ThreeGpus, control: Control) -> None:
    """A GPU that was given by its UUID is not given again by its CDI name, which nobody can match now."""
    host = Host(gpus)
    host.nvml = lambda: (DRIVER, "")
    assert await host.give("a", "GPU-abc") == ""
    host.nvml = no_driver
    for number in range(3):
        refused = await host.give("b", f"nvidia.com/gpu={number}")
        assert refused.startswith("launcher.gpu_taken")
        assert "GPU-abc, which sb-0000000000000000000a has" in refused
    await host.backend.remove("sb-0000000000000000000a")
    control("it is given when that sandbox is gone", await host.give("b", "nvidia.com/gpu=0") == "")


async def test_lost_gpu_blocks_no_other(gpus: ThreeGpus) -> None:
    """A GPU that the driver has lost is another one than those with other UUIDs."""
    host = Host(gpus)
    host.nvml = lambda: (DRIVER, "")
    assert await host.give("a", "GPU-abc") == ""
    host.nvml = lambda: (DRIVER[1:], "")
    assert await host.give("b", "GPU-def") == ""


def test_parts_of_one_gpu(control: Control) -> None:
    """A part that was given by its CDI name is known by its own node, not by that of the GPU."""
    known = [Piece(name=f"MIG-{n}", kind=NVIDIA, nodes=frozenset({"gpu", f"part{n}"})) for n in (1, 2)]
    specs = [replace(piece, name=f"{NVIDIA}=0:{n}") for n, piece in enumerate(known, 1)]
    held = {f"{NVIDIA}=0:1": "sb-a"}
    refuse_overlap(["MIG-2"], known, specs, held)
    control("the other part is given", True)
    with pytest.raises(RefusedError, match="sb-a has"):
        refuse_overlap(["MIG-1"], known, specs, held)
