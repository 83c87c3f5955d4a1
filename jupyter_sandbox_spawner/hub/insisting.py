"""How long is a program asked that does not answer? From its failure on, until whoever brings it back has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import UnreachableError

__all__ = ["ON_A_CLUSTER", "insist"]

T = TypeVar("T")
_PATIENCE = 5.0  # seconds a program may be away; the supervisor brings one back in 0.1-0.2 s
# A launcher that is gone is followed when its Lease has run out, and begins by asking the cluster.
ON_A_CLUSTER = 40.0


async def insist(call: Callable[[], Awaitable[T]], patience: float | None = None, long: bool = False) -> T:
    """Ask again while the program does not answer; each of our calls is idempotent.

    `long`: the call waits for something; one that was under way for longer than the patience was answered
    before it broke, so that its failure is another one.
    """
    patience = _PATIENCE if patience is None else patience
    pause, failed = 0.05, None
    while True:
        began = time.monotonic()
        try:
            return await call()
        except UnreachableError:
            now = time.monotonic()
            if failed is None or (long and now - began > patience):
                pause, failed = 0.05, now
            if now + pause > failed + patience:
                raise
        # Nothing announces that a restarted program listens again.
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.5)
