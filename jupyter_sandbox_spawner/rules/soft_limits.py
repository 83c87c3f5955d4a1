"""Does a sandbox go on that the kernel does not hold to its limits? (pure)

Law: a soft limit is one that somebody else watches: it is passed for a moment, and then the sandbox ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..models import Resources
from ..units import format_size

__all__ = ["SOFT", "end_for", "soft_limits"]

SOFT = "soft limit"


def soft_limits(enforced: Mapping[str, bool]) -> tuple[str, ...]:
    """The limits that the kernel does not enforce, in the order of their names."""
    return tuple(sorted(name for name, hard in enforced.items() if not hard))


def end_for(memory: int, pids: int, most: Resources, enforced: Mapping[str, bool]) -> str:
    """Why a sandbox that uses so many bytes and processes ends now; "" if it goes on."""
    soft = soft_limits(enforced)
    if "memory" in soft and memory > most.memory:
        return f"out of memory: used {format_size(memory)} of {format_size(most.memory)} ({SOFT})"
    if "pids" in soft and pids > most.pids:
        return f"too many processes: {pids} of {most.pids} ({SOFT})"
    return ""
