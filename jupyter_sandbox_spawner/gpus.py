"""What is a GPU to us? Words for what a host has, what a profile asks for and what a sandbox got."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["GpuDevice", "GpuInventory", "GpuWish", "is_counted"]


@dataclass(frozen=True, kw_only=True)
class GpuWish:
    """What a profile asks for: `count` devices of a `kind`.

    `kind` is `any` (whole GPUs only), a product in lower case with `-` for everything else
    (`nvidia-h100-80gb-hbm3`), or a MIG profile (`mig-1g.10gb`).
    """

    count: int
    kind: str = "any"


@dataclass(frozen=True, kw_only=True)
class GpuDevice:
    """One thing that can be given to one sandbox: a whole GPU or a MIG instance.

    `id` is the UUID (`GPU-...`, `MIG-...`) or, where only a CDI spec knows it, the device's CDI name; on a
    cluster, which chooses the very device, `KIND/NUMBER`.
    `parent` is the id of the GPU that a MIG instance is on. `memory` is in bytes, None where nobody says.
    `cdi` is the qualified CDI name (`nvidia.com/gpu=0`), "" where there is no spec for it.
    """

    id: str
    kind: str
    parent: str = ""
    memory: int | None = None
    cdi: str = ""

    @property
    def is_mig(self) -> bool:
        """Is it a part of a GPU?"""
        return self.kind.startswith("mig-")


def is_counted(device: str) -> bool:
    """Is this id `KIND/NUMBER`, one of so many that a cluster has, and no device's own name?"""
    return re.fullmatch(r"[^/=]+/[0-9]+", device) is not None


@dataclass(frozen=True, kw_only=True)
class GpuInventory:
    """What the launcher found on its host; `notes` say in sentences what it could not use and why."""

    devices: tuple[GpuDevice, ...] = ()
    notes: tuple[str, ...] = field(default=())
