"""Which servers' use is the hub told of now? Rarely, and only what is newer than what it knows.

Law: between two times that the hub is told of one server lies at least the interval; what is told was
measured and lies in the past. Servers seen for the first time at once are spread over one interval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Told", "due", "first_seen"]

_JITTER = 0.25  # of the interval, added to it: a share that belongs to the server


@dataclass(frozen=True)
class Told:
    """`at`: when the hub was told last, in seconds of a steady clock; `used`: of which use, None: of none."""

    at: float
    used: datetime | None = None


def first_seen(sandbox: str, elapsed: float, every: float) -> Told:
    """Where a server begins, as if the hub had been told somewhere within the last interval: it learns by
    itself of the start of one, and a restarted control knows nothing of earlier ones."""
    return Told(elapsed - every * _share(f"{sandbox} seen"))


def due(
    used: Mapping[str, datetime], told: Mapping[str, Told], now: datetime, elapsed: float, every: float
) -> list[str]:
    """Ids of those in `told` whose last use the hub is to be told of now, those that waited longest first."""
    found = []
    for sandbox, last in told.items():
        instant = used.get(sandbox)
        if instant is None or instant > now or (last.used is not None and instant <= last.used):
            continue
        waited = elapsed - last.at - every * (1 + _JITTER * _share(sandbox))
        if waited >= 0:
            found.append((waited, sandbox))
    return [sandbox for _, sandbox in sorted(found, reverse=True)]


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
