"""Waiting for a state that announces itself by no event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["until"]


async def until(true: Callable[[], bool]) -> None:
    """Look every 10 ms, at most 20 s. Raises AssertionError where it never becomes true."""
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never became true")
