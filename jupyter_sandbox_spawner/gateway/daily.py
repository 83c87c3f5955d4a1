"""How many bytes went one way today? A count that begins anew at 00:00 UTC."""

from __future__ import annotations

from datetime import date, datetime, timezone

__all__ = ["DailyBytes"]


class DailyBytes:
    """Begins with what an earlier gateway counted on `day`."""

    def __init__(self, day: date | None, count: int) -> None:
        self._day = day
        self._count = count

    def add(self, count: int) -> None:
        """Count more."""
        self._roll()
        self._count += count

    @property
    def today(self) -> int:
        """Bytes since 00:00 UTC."""
        self._roll()
        return self._count

    @property
    def day(self) -> date | None:
        """The day that was counted last."""
        return self._day

    def _roll(self) -> None:
        today = datetime.now(timezone.utc).date()
        if today != self._day:
            self._day, self._count = today, 0
