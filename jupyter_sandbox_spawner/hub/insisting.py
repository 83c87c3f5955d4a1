"""How long is a program asked that does not answer? A few seconds: the supervisor brings it back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import UnreachableError

__all__ = ["insist"]

T = TypeVar("T")
_PATIENCE = 5.0  # seconds a program may be away; the supervisor brings one back in 0.1-0.2 s


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the program does not answer; each of our calls is idempotent."""
    deadline = time.monotonic() + _PATIENCE
    pause = 0.05
    while True:
        try:
            return await call()
        except UnreachableError:
            if time.monotonic() + pause > deadline:
                raise
        # Nothing announces that a restarted program listens again.
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.5)
