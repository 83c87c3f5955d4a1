"""How far may the end of a sandbox be moved? Counted from now, capped by the profile; by an admin further.

Law: an end is never moved towards now, and never past its cap: not by one extension and not by many.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..errors import ConfigurationError
from ..units import format_duration

__all__ = [
    "LONGEST_GIVEN",
    "Extension",
    "ExtensionTerms",
    "checked_key",
    "extend",
    "extend_by_admin",
    "room",
    "until",
]

LONGEST_GIVEN = 31 * 86400  # seconds by an admin at a time; policy is asked about no more than that
_KEY = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True)
class ExtensionTerms:
    """What the profile allows: `by` seconds from now, `at_most` seconds past the first deadline in all, and
    `times` extensions, of which `used` were given (None: any number)."""

    by: int | None
    at_most: int | None
    times: int | None = None
    used: int = 0


@dataclass(frozen=True, kw_only=True)
class Extension:
    """The answer: the deadline from now on, or a refusal with its code.

    `left`: how many there may be from now on, this one counted, None: any number. `cap`: where extensions
    end, None: there are none. `repeated`: it was given before, for the same key, and nothing changes.
    """

    granted: bool
    deadline: datetime | None
    code: str = ""
    message: str = ""
    left: int | None = None
    cap: datetime | None = None
    repeated: bool = False


def extend(
    now: datetime,
    deadline: datetime | None,
    first_deadline: datetime | None,
    terms: ExtensionTerms,
    wish: int | None = None,
) -> Extension:
    """Pure; a refusal says the cap. `wish` seconds from now are given where the profile's `by` is more."""
    if deadline is None or first_deadline is None:
        return _refused(deadline, "extend.no_deadline", "This server has no time limit to extend.")
    if not terms.by:
        return _refused(deadline, "extend.not_offered", "The profile of this server offers no extension.")
    left, cap = room(first_deadline, terms)
    answer = _within(now, deadline, cap or deadline, terms, wish)
    return replace(answer, left=left, cap=cap)


def room(first_deadline: datetime | None, terms: ExtensionTerms) -> tuple[int | None, datetime | None]:
    """How many there may still be (None: any number), and where they end (None: there are none)."""
    left = None if terms.times is None else max(terms.times - terms.used, 0)
    if first_deadline is None or not terms.by:
        return left, None
    return left, first_deadline + timedelta(seconds=terms.at_most or terms.by)


def _within(
    now: datetime, deadline: datetime, cap: datetime, terms: ExtensionTerms, wish: int | None
) -> Extension:
    by = terms.by or 0
    if now >= deadline:
        return _refused(deadline, "extend.too_late", "The time of this server is up.")
    counted = "" if terms.times is None else f"{terms.used} of {terms.times} extensions used"
    if terms.times is not None and terms.used >= terms.times:
        message = f"The profile allows no further extension: {counted}."
        return _refused(deadline, "extend.used_up", message)
    more = f"; {counted}" if counted else ""
    in_all = f"{format_duration(terms.at_most or by)} more in all, until {until(cap, now)} at most"
    if deadline >= cap:
        message = f"The profile allows {in_all}, and that is used up{more}."
        return _refused(deadline, "extend.at_cap", message)
    step = by if wish is None else max(min(wish, by), 1)
    wanted = min(now + timedelta(seconds=step), cap)
    if wanted <= deadline:
        message = (
            f"More than {format_duration(step)} is left already; an extension gives that from now."
            f" The profile allows {in_all}{more}."
        )
        return _refused(deadline, "extend.not_yet", message)
    return Extension(granted=True, deadline=wanted)


def extend_by_admin(now: datetime, deadline: datetime | None, by: int, data_ends: bool) -> Extension:
    """Pure; the profile's caps do not bind an admin. `data_ends`: the end is that of a right to data."""
    if deadline is None:
        return _refused(deadline, "extend.no_deadline", "This server has no time limit to extend.")
    if data_ends:
        message = "It ends with the right to its data or with its zone's time, which nobody extends."
        return _refused(deadline, "extend.data_ends", message)
    if now >= deadline:
        return _refused(deadline, "extend.too_late", "The time of this server is up.")
    wanted = now + timedelta(seconds=max(min(by, LONGEST_GIVEN), 1))
    if wanted <= deadline:
        message = f"It has more than that already: it ends at {until(deadline, now)}."
        return _refused(deadline, "extend.not_yet", message)
    return Extension(granted=True, deadline=wanted)


def checked_key(key: str, longest: int = 64) -> str:
    """The name of one wish. Raises ConfigurationError for what is none."""
    if len(key) <= longest and _KEY.fullmatch(key):
        return key
    raise ConfigurationError(
        f"key: {key[:80]!r} is not 1 to {longest} letters, digits or . _ -",
        code="wire.invalid",
        field="key",
        remedy="Send a fresh random key for each wish, and the same one only to ask again.",
    )


def until(instant: datetime, now: datetime) -> str:
    """`20:00 UTC`, with the day where it is another one."""
    text = instant.strftime("%H:%M UTC")
    return text if instant.date() == now.date() else f"{instant.strftime('%a %d %b')} {text}"


def _refused(deadline: datetime | None, code: str, message: str) -> Extension:
    return Extension(granted=False, deadline=deadline, code=code, message=message)
