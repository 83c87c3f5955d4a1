"""Of the machines behind one name, which has the socket? Of two replicas one works, and the other waits."""

from __future__ import annotations

from dataclasses import replace

from .dial import Far, is_remembered, known_addresses, look_up_again

__all__ = ["Replicas"]


class Replicas:
    """All addresses of one name; the one that had the socket last comes first."""

    def __init__(self, far: Far) -> None:
        self._far = far
        self._last = ""

    async def machines(self) -> list[Far]:
        """Each machine on its own, under the name in its certificate. Raises OSError without an address."""
        found = await known_addresses(self._far.host, self._far.port, self._far.connect_time)
        hosts = dict.fromkeys(str(address[0]) for _, address in found)
        return [replace(self._far, host=host) for host in sorted(hosts, key=lambda host: host != self._last)]

    @property
    def are_of_before(self) -> bool:
        """Are their addresses remembered, so that others may be true by now?"""
        return is_remembered(self._far.host, self._far.port)

    def look_again(self) -> None:
        """None of them has it: whoever comes next asks for the name anew."""
        look_up_again(self._far.host, self._far.port)

    def remember(self, far: Far) -> None:
        """This one had it."""
        self._last = far.host
