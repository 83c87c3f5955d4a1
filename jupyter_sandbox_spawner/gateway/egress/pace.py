"""How often is a client read that sends its bytes one by one? Less and less often, until they come together.

Law: every byte read alone costs all sandboxes as much as a thousand read at once, so what one connection may
ask for in a second is bounded here and not by how fast its sandbox can send.
"""

from __future__ import annotations

import asyncio
import socket

__all__ = ["PacedReader"]

_FIRST = 0.004  # seconds between the first read and the second
_LONGEST = 0.256


class PacedReader:
    """Reads one non-blocking socket: the first time at once, then at growing distances.

    A read that brings `plenty` bytes was worth its turn: the next one is made at once again.
    """

    def __init__(self, client: socket.socket, plenty: int | None = None) -> None:
        self._client = client
        self._plenty = plenty
        self._pause = 0.0

    async def receive(self, most: int) -> bytes:
        """Up to `most` bytes; empty at the end."""
        if self._pause:
            # The wait is the point: what arrives meanwhile is one read.
            await asyncio.sleep(self._pause)
        data = await asyncio.get_running_loop().sock_recv(self._client, most)
        enough = self._plenty is not None and len(data) >= self._plenty
        self._pause = 0.0 if enough else min(max(4 * self._pause, _FIRST), _LONGEST)
        return data
