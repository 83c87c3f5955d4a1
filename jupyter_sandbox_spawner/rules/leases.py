"""May this launcher work now? A Lease of the cluster says who does. Pure.

Law: no clock of another machine is believed: a holder is gone when its Lease has not changed for as long as
it says, by our own clock since we first saw it so. A holder stops before others may think it gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

__all__ = [
    "DURATION",
    "GIVE_UP",
    "LAST_WRITE",
    "RENEW",
    "LeaseSeen",
    "decide",
    "lease_manifest",
    "read_lease",
    "released",
]

DURATION = 15  # seconds without a sign after which another takes over
GIVE_UP = 10.0  # seconds without a renewal after which the holder stops by itself
LAST_WRITE = 12.0  # seconds without a renewal after which no change that was begun may still be on its way
RENEW = 2.0  # seconds between two signs, and between two looks
Step = Literal["make", "take", "renew", "wait"]


@dataclass(frozen=True, kw_only=True)
class LeaseSeen:
    """A Lease as it was read: `sign` changes with each renewal; `duration`: seconds; `holder` "": nobody."""

    holder: str
    sign: tuple[str, str]
    duration: float


def read_lease(document: Mapping[str, Any] | None) -> LeaseSeen | None:
    """The Lease, or None if there is none."""
    if document is None:
        return None
    spec = document.get("spec") or {}
    holder = str(spec.get("holderIdentity") or "")
    return LeaseSeen(
        holder=holder,
        sign=(holder, str(spec.get("renewTime") or "")),
        duration=float(spec.get("leaseDurationSeconds") or DURATION),
    )


def decide(seen: LeaseSeen | None, me: str, unchanged: float) -> Step:
    """What to do now; `unchanged`: seconds since we first saw it as it is."""
    if seen is None:
        return "make"
    if seen.holder == me:
        return "renew"
    if not seen.holder or unchanged > seen.duration:
        return "take"
    return "wait"


def lease_manifest(name: str, me: str, now: datetime, old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The Lease with our sign on it. Over an `old` one it names its version: of two that write, one fails."""
    before = (old or {}).get("spec") or {}
    stays = before.get("holderIdentity") == me
    spec = {
        "holderIdentity": me,
        "leaseDurationSeconds": DURATION,
        "renewTime": _time(now),
        "acquireTime": before.get("acquireTime") if stays else _time(now),
        "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if stays or not old else 1),
    }
    metadata = dict((old or {}).get("metadata") or {"name": name})
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {key: item for key, item in metadata.items() if key != "managedFields"},
        "spec": spec,
    }


def released(old: Mapping[str, Any]) -> dict[str, Any]:
    """The Lease of a holder that leaves, for the next one to take at once."""
    spec = {**(old.get("spec") or {}), "holderIdentity": ""}
    metadata = {key: item for key, item in old["metadata"].items() if key != "managedFields"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
