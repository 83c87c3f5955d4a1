"""What does an ordinary user's machine lack for sandboxes, and what is weaker than with root? Looks only."""

from __future__ import annotations

from collections.abc import Iterator

from ..rules.subids import Facts, obstacles, usable
from .finding import Finding

__all__ = ["ordinary_findings"]

_NAMES = {
    "newuidmap_missing": "newuidmap",
    "tools_missing": "util-linux",
    "no_subuid": "subordinate uids",
    "range_too_small": "subordinate uids",
    "namespaces_off": "user namespaces",
    "apparmor": "user namespaces",
}


def ordinary_findings(facts: Facts) -> Iterator[Finding]:
    """What was read about the user who asks: every obstacle, or how many people there is room for."""
    found = list(obstacles(facts))
    for item in found:
        yield Finding(name=_NAMES[item.code], fine=False, seen=item.seen, remedy=item.remedy)
    names = {_NAMES[item.code] for item in found}
    room = usable(facts)
    if room is not None and "subordinate uids" not in names:
        seen = f"{room.first}..{room.first + room.count - 1}, room for {room.count - 2} people"
        yield Finding(name="subordinate uids", fine=True, seen=seen)
    if "user namespaces" not in names:
        yield Finding(name="user namespaces", fine=True, seen="allowed")
    yield Finding(
        name="privilege",
        fine=False,
        needed=False,
        seen=f"uid {facts.uid}: all programs share it, and the kernel does not limit memory and CPU",
        remedy="Where that matters, run as root: sudo jupyter-sandbox-admin run -f FILE",
    )
