"""May a server start at this hour? Not while a rule closes its kind; the answer says until when."""

from __future__ import annotations

from datetime import datetime

from .ends import clock_words
from .lifetimes import Lifetimes, Subject, in_force
from .quotas import Refusal

__all__ = ["closed_now"]


def closed_now(now: datetime, lifetimes: Lifetimes, subject: Subject) -> Refusal | None:
    """The refusal of a start inside closed hours; None where it is open."""
    held = in_force(lifetimes, now, subject)
    if held.closed_until is None:
        return None
    opens = clock_words(held.closed_until, now, held.timezone)
    return Refusal(
        code="schedule.closed",
        message=f"No such server may run at this hour, by the rule {held.closing}; it opens at {opens}.",
        remedy="Start it then; your files are kept.",
        retry_at=held.closed_until,
    )
