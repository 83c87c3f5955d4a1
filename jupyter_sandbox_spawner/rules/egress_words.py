"""What do people read of hosts that were given for a time, and of those that were not?"""

from __future__ import annotations

from datetime import datetime

from ..models import EgressPolicy, EgressRule
from .egress import holds
from .egress_requests import Status

__all__ = ["answer_words", "missed_words", "shown"]


def answer_words(status: Status, place: str, until: datetime | None, answer: str) -> str:
    """One sentence for the person who asked about `place` (host:port)."""
    said = f" ({answer})" if answer else ""
    if status == "approved" and until is not None:
        return f"Your sandbox may reach {place} until {until:%d %b %H:%M} UTC{said}."
    words = {"waiting": "waits for an admin", "denied": "was denied", "withdrawn": "was withdrawn"}
    words |= {"revoked": "was taken back by an admin", "expired": "has ended"}
    return f"Access to {place} {words.get(status, status)}{said}."


def missed_words(place: str, message: str) -> str:
    """One sentence for the person who asked, in a sandbox that does not have it for this reason."""
    return f"Access to {place} was approved, but this sandbox does not have it: {message}"


def shown(policy: EgressPolicy, now: datetime) -> list[str]:
    """The rules that hold now, for people; those for a time with their end."""
    return [_shown(rule) for rule in policy.rules if holds(rule, now)]


def _shown(rule: EgressRule) -> str:
    text = rule.text or f"{rule.pattern}:{','.join(map(str, rule.ports))}"
    return text if rule.until is None else f"{text} until {rule.until:%Y-%m-%d %H:%M} UTC"
