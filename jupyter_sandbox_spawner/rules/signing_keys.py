"""Which of the broker's keys signs now, which are published, and when comes the next one?

Law: a key is published a while before it signs and as long after as a token of its lives, so that whoever
verifies has it in time; without a key that may sign nothing is signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["KeyTimes", "SigningKey", "due", "published", "signing"]


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A key by its id, and when it was made; `at_once`: it signs from then on, as the first one does."""

    kid: str
    made_at: datetime
    at_once: bool = False


@dataclass(frozen=True, kw_only=True)
class KeyTimes:
    """`every`: how long a key signs. `ahead`: how long it is published before. `after`: and after it."""

    every: timedelta = timedelta(days=30)
    ahead: timedelta = timedelta(days=1)
    after: timedelta = timedelta(minutes=15)


def signing(keys: Sequence[SigningKey], now: datetime, times: KeyTimes) -> SigningKey | None:
    """The newest that was published long enough; else the oldest there is, which everybody knows."""
    ready = [key for key in keys if _signs_from(key, times) <= now]
    if ready:
        return max(ready, key=lambda key: key.made_at)
    return min(keys, key=lambda key: key.made_at, default=None)


def published(keys: Sequence[SigningKey], now: datetime, times: KeyTimes) -> tuple[SigningKey, ...]:
    """All but those whose successor has signed for longer than a token lives, the newest first."""
    current = signing(keys, now, times)
    if current is None:
        return ()
    found = [key for key in keys if key.made_at >= current.made_at]
    if now < _signs_from(current, times) + times.after:
        older = [key for key in keys if key.made_at < current.made_at]
        found += sorted(older, key=lambda key: key.made_at)[-1:]
    return tuple(sorted(found, key=lambda key: key.made_at, reverse=True))


def due(keys: Sequence[SigningKey], now: datetime, times: KeyTimes) -> bool:
    """Must a new one be made, so that it is known when the current one has signed long enough?"""
    newest = max((key.made_at for key in keys), default=None)
    return newest is None or now >= newest + times.every


def _signs_from(key: SigningKey, times: KeyTimes) -> datetime:
    return key.made_at if key.at_once else key.made_at + times.ahead
