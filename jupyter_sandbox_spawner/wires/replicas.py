"""Of the machines behind one name, which has the socket? Of two replicas one works, and the other waits."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

from .dial import AwayError, Far

__all__ = ["Replicas"]


class Replicas:
    """All addresses of one name; the one that had the socket last comes first."""

    def __init__(self, far: Far) -> None:
        self._far = far
        self._last = ""

    async def machines(self) -> list[Far]:
        """Each machine on its own, under the name in its certificate. Raises OSError without an address."""
        far, loop = self._far, asyncio.get_running_loop()
        try:
            found = await asyncio.wait_for(
                loop.getaddrinfo(far.host, far.port, type=socket.SOCK_STREAM), far.connect_time
            )
        except asyncio.TimeoutError:
            raise AwayError(f"the name {far.host} was not resolved in time") from None
        hosts = dict.fromkeys(str(address[0]) for *_, address in found)
        return [replace(far, host=host) for host in sorted(hosts, key=lambda host: host != self._last)]

    def remember(self, far: Far) -> None:
        """This one had it."""
        self._last = far.host
