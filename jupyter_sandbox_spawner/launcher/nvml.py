"""Which GPUs does NVIDIA's driver know on this host, and how busy are they? Asked through NVML, if there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..gpus import GpuDevice

__all__ = ["DriverGpu", "read_busy", "read_nvml"]

_LIBRARY = "pynvml"  # of the package nvidia-ml-py


@dataclass(frozen=True, kw_only=True)
class DriverGpu:
    """A GPU or MIG instance of the driver, and the names that CDI specs have for it."""

    device: GpuDevice
    names: frozenset[str]


def read_nvml() -> tuple[tuple[DriverGpu, ...] | None, str]:
    """What the driver has to give, and a sentence where it could not be asked. Blocks for a moment.

    None: there is a driver, and what it has is not known. Then a spec's GPU could be one that is given
    already under its UUID.
    """
    try:
        nvml = importlib.import_module(_LIBRARY)
    except ImportError:
        return (), "NVML is not asked. Run: pip install 'jupyter_sandbox_spawner[gpu]'"
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound as error:
        return (), f"NVML finds no NVIDIA driver ({error})."
    except nvml.NVMLError as error:
        return None, f"NVML does not start ({error}), so that no NVIDIA GPU is given."
    try:
        found = tuple(_gpus(nvml))
    except nvml.NVMLError as error:  # half a list would let a whole GPU be given beside its parts
        return None, f"NVML failed ({error}), so that no NVIDIA GPU is given."
    finally:
        nvml.nvmlShutdown()
    return (found, "") if found else (None, "NVML has no GPU to give, so that no NVIDIA GPU is given.")


def read_busy() -> dict[str, float]:
    """How busy each GPU and MIG instance was a moment ago, 0 to 1, by UUID. Blocks for a moment.

    What the driver does not say is left out: of MIG instances most drivers say nothing.
    """
    try:
        nvml = importlib.import_module(_LIBRARY)
    except ImportError:
        return {}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return {}
    try:
        return dict(_busy(nvml))
    finally:
        nvml.nvmlShutdown()


def _busy(nvml: Any) -> Iterator[tuple[str, float]]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            handles = [part for _, part in _numbered(nvml, handle)] if _is_split(nvml, handle) else [handle]
        except nvml.NVMLError:  # one that fell off the bus must not hide the others
            continue
        for device in handles:
            try:
                percent = nvml.nvmlDeviceGetUtilizationRates(device).gpu
                yield _text(nvml.nvmlDeviceGetUUID(device)), min(max(float(percent) / 100, 0.0), 1.0)
            except nvml.NVMLError:
                continue


def _gpus(nvml: Any) -> Iterator[DriverGpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
        if _is_split(nvml, handle):
            yield from _instances(nvml, handle, index, uuid)
            continue
        device = GpuDevice(
            id=uuid,
            kind=_kind(_text(nvml.nvmlDeviceGetName(handle))),
            memory=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        )
        yield DriverGpu(device=device, names=frozenset({uuid, str(index), f"gpu{index}"}))


def _is_split(nvml: Any, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError_NotSupported:
        return False


def _instances(nvml: Any, handle: Any, index: int, parent: str) -> Iterator[DriverGpu]:
    for number, part in _numbered(nvml, handle):
        uuid = _text(nvml.nvmlDeviceGetUUID(part))
        profile = _text(nvml.nvmlDeviceGetName(part)).rpartition("MIG ")[2]
        device = GpuDevice(
            id=uuid,
            kind=f"mig-{_kind(profile)}",
            parent=parent,
            memory=int(nvml.nvmlDeviceGetMemoryInfo(part).total),
        )
        names = frozenset({uuid, f"{index}:{number}", f"mig{index}:{number}"})
        yield DriverGpu(device=device, names=names)


def _numbered(nvml: Any, handle: Any) -> Iterator[tuple[int, Any]]:
    """The MIG instances that are made, with their places."""
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield number, nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except nvml.NVMLError_NotFound:
            continue


def _text(answer: str | bytes) -> str:
    """Older versions of the library answer with bytes."""
    return answer.decode() if isinstance(answer, bytes) else answer


def _kind(product: str) -> str:
    """`NVIDIA H100 80GB HBM3` as profiles write it: `nvidia-h100-80gb-hbm3`."""
    return re.sub(r"[^a-z0-9.]+", "-", product.lower()).strip("-")
