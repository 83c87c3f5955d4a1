"""When is a program that does not answer left alone for a while, so that nobody waits for it in vain?"""

from __future__ import annotations

from ..errors import SandboxError

__all__ = ["Breaker"]


class Breaker:
    """Open after some outages in a row, for some seconds; then one call tries.

    `now` is any clock's seconds.
    """

    def __init__(self, outages: int = 3, seconds: float = 5.0) -> None:
        self._most = outages
        self._seconds = seconds
        self._outages = 0
        self._until = self._failed_at = 0.0
        self._last: SandboxError | None = None

    def check(self, now: float) -> SandboxError | None:
        """The last outage while it is open; None where a call may be made, perhaps the one that tries."""
        if self._outages < self._most:
            return None
        if now < self._until:
            return self._last
        self._until = now + self._seconds
        return None

    def open_at(self, now: float) -> SandboxError | None:
        """The last outage while it is open; asking does not make a call the one that tries."""
        return self._last if self._outages >= self._most and now < self._until else None

    def failed_since(self, began: float) -> SandboxError | None:
        """The last outage where it opened after a call had begun to wait for its turn."""
        return self._last if self._outages >= self._most and self._failed_at > began else None

    def answered(self) -> None:
        """The program answered, be it with an error."""
        self._outages = 0
        self._last = None

    def failed(self, now: float, outage: SandboxError) -> None:
        """The program did not answer."""
        self._outages += 1
        self._last = outage
        self._failed_at = now
        self._until = now + self._seconds
