"""How full is the disk that the home is on?"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Home", "look"]


class Home(NamedTuple):
    """Bytes that are used on it, and how many it has."""

    used: int
    size: int


def look() -> Home | None:
    """Ask the filesystem; None where there is no home any more, which %sandbox doctor tells."""
    try:
        found = os.statvfs(os.path.expanduser("~"))
    except OSError:
        return None
    return Home((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_blocks * found.f_frsize)
