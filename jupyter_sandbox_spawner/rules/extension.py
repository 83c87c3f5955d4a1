"""How far may the end of a sandbox be moved? Counted from now, capped by the profile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..units import format_duration

__all__ = ["Extension", "ExtensionTerms", "extend"]


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
    """The answer: the deadline from now on, or a refusal with its code."""

    granted: bool
    deadline: datetime | None
    code: str = ""
    message: str = ""


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
    if now >= deadline:
        return _refused(deadline, "extend.too_late", "The time of this server is up.")
    cap = first_deadline + timedelta(seconds=terms.at_most or terms.by)
    step = terms.by if wish is None else max(min(wish, terms.by), 1)
    wanted = min(now + timedelta(seconds=step), cap)
    if wanted <= deadline:
        at_cap = deadline >= cap
        code = "extend.at_cap" if at_cap else "extend.not_yet"
        room = format_duration(terms.at_most or terms.by)
        by = format_duration(step)
        message = (
            f"The profile allows {room} more in all, and that is used up."
            if at_cap
            else f"More than {by} is left already; an extension gives {by} from now."
        )
        return _refused(deadline, code, message)
    return Extension(granted=True, deadline=wanted)


def _refused(deadline: datetime | None, code: str, message: str) -> Extension:
    return Extension(granted=False, deadline=deadline, code=code, message=message)
