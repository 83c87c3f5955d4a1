"""What does an hour cost? Prices that the admin wrote, for reports and forms; nothing is decided by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..gpus import GpuWish
from ..models import Resources

__all__ = ["ANY_KIND", "Prices", "cost", "hourly"]

ANY_KIND = "any"
_GB = 1 << 30  # bytes, as profiles write `16G`


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The section `prices`: of a core-hour, a GB-hour of memory and, by kind (`any`: all others), a GPU-hour.

    `currency` is a word for reports; "" means that there are no prices.
    """

    currency: str = ""
    cpu_hour: float = 0.0
    memory_gb_hour: float = 0.0
    gpu_hour: Mapping[str, float] = field(default_factory=dict)


def cost(
    prices: Prices, cpu_hours: float, memory_gb_hours: float, gpu_hours: Mapping[str, float]
) -> float | None:
    """What that comes to; None where there are no prices. `gpu_hours` are by kind of device."""
    if not prices.currency:
        return None
    others = prices.gpu_hour.get(ANY_KIND, 0.0)
    gpus = sum(hours * prices.gpu_hour.get(kind, others) for kind, hours in gpu_hours.items())
    return cpu_hours * prices.cpu_hour + memory_gb_hours * prices.memory_gb_hour + gpus


class _Priced(Protocol):
    @property
    def resources(self) -> Resources: ...

    @property
    def gpu(self) -> GpuWish | None: ...


def hourly(prices: Prices, profile: _Priced) -> float | None:
    """What an hour of a server of this profile costs; None where there are no prices.

    Where any kind of GPU will do, the dearest one is reckoned: nobody gets a bill above what was shown.
    """
    wish = profile.gpu
    gpus: dict[str, float] = {}
    if wish is not None:
        kind = wish.kind
        if kind == ANY_KIND and prices.gpu_hour:
            kind = max(prices.gpu_hour, key=lambda name: prices.gpu_hour[name])
        gpus[kind] = float(wish.count)
    return cost(prices, profile.resources.cpu, profile.resources.memory / _GB, gpus)
