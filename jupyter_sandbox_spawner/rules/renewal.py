"""When is a credential renewed, when is it replaced, and when tried again? Pure; seconds of one clock."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONFIRMED_FOR", "Life", "begun", "failed", "renewed"]

CONFIRMED_FOR = 30.0  # seconds that control's word that a sandbox runs is good for a renewal
_AT = 2 / 3  # of its life
_SPREAD = 0.1  # of its life, so that those of one moment do not come back together
_LAST = 0.9  # of its life: from here on it is replaced and no longer renewed
_RETRIES = 8  # tries between two thirds and nine tenths, where each fails
_SHORT = 0.5  # a renewal that gives less than this part has met the most that the store allows


@dataclass(frozen=True, kw_only=True)
class Life:
    """`seconds`: as the store gave it. `renew_at`: when to renew; None: it cannot live longer.

    `replace_at`: from when on a new one is taken instead.
    """

    seconds: float
    ends_at: float
    renew_at: float | None
    replace_at: float


def begun(now: float, seconds: float, renewable: bool, chance: float) -> Life:
    """A new credential. `chance`: 0 to 1, drawn by the caller."""
    at = now + seconds * (_AT - _SPREAD * chance)
    return Life(
        seconds=seconds,
        ends_at=now + seconds,
        renew_at=at if renewable else None,
        replace_at=now + seconds * _LAST,
    )


def renewed(life: Life, now: float, seconds: float, chance: float) -> Life:
    """The store let it live `seconds` longer from now; far fewer than before: it is near its most."""
    if seconds < life.seconds * _SHORT:
        ends_at = max(life.ends_at, now + seconds)
        return Life(
            seconds=life.seconds, ends_at=ends_at, renew_at=None, replace_at=min(life.replace_at, ends_at)
        )
    return begun(now, seconds, True, chance)


def failed(life: Life, now: float) -> Life:
    """The store did not renew it now; some more tries, then it is replaced."""
    again = now + life.seconds * (_LAST - _AT) / _RETRIES
    return Life(
        seconds=life.seconds,
        ends_at=life.ends_at,
        renew_at=again if again < life.replace_at else None,
        replace_at=life.replace_at,
    )
