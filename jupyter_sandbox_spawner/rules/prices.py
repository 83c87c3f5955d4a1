"""What does an hour cost? Prices that the admin wrote, for usage reports; nothing is decided by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ANY_KIND", "Prices", "cost"]

ANY_KIND = "any"


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
