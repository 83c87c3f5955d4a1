"""What does an hour cost? Prices that the admin wrote, for usage reports; nothing is decided by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Prices"]


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The section `prices`: of a core-hour, a GB-hour of memory and, by kind (`any`: all others), a GPU-hour.

    `currency` is a word for reports; "" means that there are no prices.
    """

    currency: str = ""
    cpu_hour: float = 0.0
    memory_gb_hour: float = 0.0
    gpu_hour: Mapping[str, float] = field(default_factory=dict)
