"""How often is a client read that sends its bytes one by one? Less and less often, until they come together.

Law: a byte read alone costs all sandboxes as much as a thousand read at once, so how many reads a second one
sandbox may ask for is decided here and not by how fast it sends.
"""

from __future__ import annotations

import asyncio
import socket

__all__ = ["PacedReader", "Turns"]

_FIRST = 0.004  # seconds between the first read and the second
_LONGEST = 0.256
_APART = 0.005  # seconds between two turns of one sandbox; a read of single bytes may take a tenth of it
_CARRY = 0.0005  # seconds between two turns of one sandbox's tunnels, where more than _AT_ONCE came before
_AT_ONCE = 1000


class Turns:
    """When the connections of one sandbox are read again that brought little: one after the other."""

    def __init__(self) -> None:
        self._next = 0.0
        self._carried = 0.0

    async def after(self, seconds: float) -> None:
        """Wait so long, and longer while others of this sandbox wait too."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next + _APART, now)
        # All of them at the same moment would hold up the neighbours for as long as they take together.
        await asyncio.sleep(self._next - now + seconds)

    def after_little(self, now: float) -> float:
        """Seconds until a tunnel that has just carried little is read again: 0 unless there are many such."""
        self._carried = max(self._carried + _CARRY, now - _AT_ONCE * _CARRY)
        return max(0.0, self._carried - now)


class PacedReader:
    """Reads one non-blocking socket: the first time at once, then at growing distances.

    A read that brings `plenty` bytes was worth its turn: the next one is made at once again.
    """

    def __init__(self, client: socket.socket, turns: Turns, plenty: int | None = None) -> None:
        self._client = client
        self._turns = turns
        self._plenty = plenty
        self._pause = 0.0

    async def receive(self, most: int) -> bytes:
        """Up to `most` bytes; empty at the end."""
        if self._pause:
            await self._turns.after(self._pause)
        data = await asyncio.get_running_loop().sock_recv(self._client, most)
        enough = self._plenty is not None and len(data) >= self._plenty
        self._pause = 0.0 if enough else min(max(4 * self._pause, _FIRST), _LONGEST)
        return data
