"""Which ends may a sandbox meet, and in which words is its user told when and why?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal
from zoneinfo import ZoneInfo

from ..units import format_duration

__all__ = ["End", "EndKind", "Warned", "clock_words", "why_kept", "why_stopped", "why_warned"]

EndKind = Literal["ttl", "max_age", "idle", "gpu_idle", "schedule"]
_UNTIL: dict[EndKind, str] = {
    "ttl": "its time is up",
    "max_age": "it reaches the longest age",
    "idle": "it counts as unused",
    "gpu_idle": "its GPU counts as unused",
    "schedule": "no server may run here",
}


@dataclass(frozen=True)
class End:
    """One end that is known: `span` seconds are its limit, and `rule` set it ("": profile or site)."""

    kind: EndKind
    at: datetime
    span: float
    rule: str = ""


@dataclass(frozen=True, kw_only=True)
class Warned:
    """The last warning of a kind, or request to save: what for, how many seconds ahead, of which end."""

    kind: EndKind
    ahead: int
    at: datetime


def clock_words(at: datetime, now: datetime, zone: str) -> str:
    """`20:00 UTC` or `20:00 (Europe/Berlin)`; with the date where that is not today's."""
    place = timezone.utc if zone == "UTC" else ZoneInfo(zone)
    local = at.astimezone(place)
    form = "%H:%M" if local.date() == now.astimezone(place).date() else "%Y-%m-%d %H:%M"
    return f"{local.strftime(form)} {'UTC' if zone == 'UTC' else f'({zone})'}"


def why_stopped(end: End, lived: float, when: str) -> str:
    """After it: what was reached, and by which rule. `when` are the words of its instant."""
    by, limit = _by(end.rule), format_duration(end.span)
    if end.kind == "idle":
        return f"It was not used for {limit}{by}."
    if end.kind == "gpu_idle":
        return f"Its GPU did not work for {limit}{by}."
    if end.kind == "schedule":
        return f"From {when} on no server may run here{by}."
    if end.kind == "ttl":
        return f"Its time was up after {format_duration(lived)}."
    return f"It reached the longest age a server may have here ({format_duration(lived)}{by})."


def why_warned(end: End, left: float, when: str, saving: bool) -> str:
    """Ahead of it: when, in how much time, why, and what helps."""
    by, limit = _by(end.rule), format_duration(end.span)
    because, helps = {
        "ttl": ("its time is up then", "save your work"),
        "max_age": (f"no server may get older here{by}", "save your work"),
        "idle": (f"it is not used (limit {limit}{by})", "any use keeps it"),
        "gpu_idle": (f"its GPU is not used (limit {limit}{by})", "work on the GPU keeps it"),
        "schedule": (f"no server may run here from then on{by}", "save your work"),
    }[end.kind]
    helps = "what is open is saved now" if saving else helps
    return f"It stops at {when}, in {format_duration(max(left, 0))}, because {because}; {helps}."


def why_kept(end: End | None, when: str, rule: str) -> str:
    """While it runs: until when, and why then. `rule` is the one in force."""
    if end is None:
        return f"It has no time limit{_by(rule)}."
    return f"It runs until {_UNTIL[end.kind]} at {when}{_by(end.rule)}."


def _by(rule: str) -> str:
    return f", by the rule {rule}" if rule else ""
