"""How long is an unused server kept because its user asked for it? Capped by the site, never past its end.

Law: keeping delays what idleness alone would end, and moves no other end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["Keeping", "keep"]

_SAME = timedelta(minutes=1)  # asked again within it, nothing changes


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """The answer: kept `until` then (None: not kept), or a refusal with its code. `changed`: is that new?"""

    granted: bool
    until: datetime | None
    changed: bool = False
    code: str = ""
    message: str = ""


def keep(
    now: datetime, kept: datetime | None, by: int, at_most: int, ends: Iterable[datetime | None]
) -> Keeping:
    """Pure. Keep for `by` seconds from now, 0: no longer; `kept` is what holds so far.

    `at_most`: the site's seconds, 0 where it keeps nothing. `ends`: every end that is not idleness.
    """
    if by <= 0:
        return Keeping(granted=True, until=None, changed=kept is not None)
    if at_most <= 0:
        message = "This site keeps no unused server: keep_alive is 0."
        return Keeping(granted=False, until=kept, code="keep.not_offered", message=message)
    end = min((item for item in ends if item is not None), default=None)
    if end is not None and end <= now:
        return Keeping(
            granted=False, until=kept, code="keep.too_late", message="The time of this server is up."
        )
    wanted = now + timedelta(seconds=min(by, at_most))
    until = wanted if end is None else min(wanted, end)
    if kept is not None and timedelta() <= until - kept < _SAME:
        return Keeping(granted=True, until=kept)
    return Keeping(granted=True, until=until, changed=True)
