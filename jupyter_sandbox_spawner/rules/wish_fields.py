"""What may a profile say of GPUs, datasets and caps? Each function gives the value, or an error."""

from __future__ import annotations

import re
from typing import Any

from ..gpus import GpuWish
from ..units import parse_cpu, parse_size
from .profile_fields import wrong
from .profile_templates import without_templates
from .quotas import Caps

__all__ = ["caps", "datasets", "gpu", "gpu_kind"]

_MOST_GPUS = 64
_KIND = re.compile(r"[a-z0-9]([a-z0-9.-]{0,78}[a-z0-9])?")
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(@[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")
_CAPS = ("servers", "cpu", "memory", "gpus")


def gpu(value: Any, field: str) -> GpuWish | None:
    """How many GPUs of which kind; None for 0."""
    item = {"count": value} if not isinstance(value, dict) else value
    remedy = "Write gpu: 1, or gpu: {count: 1, kind: mig-1g.10gb}."
    if not set(item) <= {"count", "kind"} or "count" not in item:
        raise wrong(field, value, "does not have count and perhaps kind", remedy)
    count = _whole(item["count"], f"{field}.count" if item is value else field, 0, _MOST_GPUS, remedy)
    kind = gpu_kind(item.get("kind", "any"), f"{field}.kind")
    return GpuWish(count=count, kind=kind) if count else None


def gpu_kind(value: Any, field: str) -> str:
    """`any`, a product or a MIG profile."""
    if isinstance(value, str) and _KIND.fullmatch(value):
        return value
    remedy = "Write any, a product such as nvidia-h100-80gb-hbm3, or a MIG profile such as mig-1g.10gb."
    raise wrong(field, value, "is not a kind of GPU", remedy)


def datasets(value: Any, field: str) -> tuple[str, ...]:
    """Names of the catalogue: `id` or `id@version`."""
    if not isinstance(value, list):
        raise wrong(field, value, "is not a list", "Write [cases-2026].")
    ids = []
    for index, name in enumerate(value):
        if not isinstance(name, str) or not _DATASET.fullmatch(without_templates(name)):
            remedy = "Write an id of the catalogue, such as cases-2026 or cases@2."
            raise wrong(f"{field}.{index}", name, "is not the name of a dataset", remedy)
        if name.partition("@")[0] in ids:
            raise wrong(f"{field}.{index}", name, "is named twice", "Keep one.")
        ids.append(name.partition("@")[0])
    return tuple(value)


def caps(value: Any, field: str) -> Caps:
    """What all servers of a profile may use at once."""
    remedy = "Write at_most: {servers: 20, cpu: 64, memory: 256G, gpus: 4}, or leave it out."
    if not isinstance(value, dict) or not value:
        raise wrong(field, value, "is not a mapping of caps", remedy)
    for name in value:
        if name not in _CAPS:
            raise wrong(f"{field}.{name}", value[name], "belongs to no cap", f"Known: {', '.join(_CAPS)}.")
    return Caps(
        servers=_cap(value, "servers", field, remedy),
        cpu=parse_cpu(value["cpu"], f"{field}.cpu") if "cpu" in value else None,
        memory=parse_size(value["memory"], f"{field}.memory") if "memory" in value else None,
        gpus=_cap(value, "gpus", field, remedy),
    )


def _cap(value: dict[str, Any], name: str, field: str, remedy: str) -> int | None:
    return _whole(value[name], f"{field}.{name}", 0, 1_000_000, remedy) if name in value else None


def _whole(value: Any, field: str, least: int, most: int, remedy: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise wrong(field, value, f"is not a whole number from {least} to {most}", remedy)
