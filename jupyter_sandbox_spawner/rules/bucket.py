"""May one more happen now? A token bucket; the caller passes the time."""

from __future__ import annotations

__all__ = ["Bucket"]


class Bucket:
    """`per_second` on average, `burst` at once (absent: a second's worth). Times are of a steady clock."""

    def __init__(self, per_second: float, now: float, burst: float | None = None) -> None:
        self._rate = per_second
        self._burst = max(per_second, 1.0) if burst is None else burst
        self._level = self._burst
        self._filled = now

    def wait(self, now: float) -> float:
        """Seconds until one more may happen; 0 when it may now."""
        self._level = min(self._level + (now - self._filled) * self._rate, self._burst)
        self._filled = now
        return 0.0 if self._level >= 1 else (1 - self._level) / self._rate

    def take(self) -> None:
        """One more happened."""
        self._level -= 1
