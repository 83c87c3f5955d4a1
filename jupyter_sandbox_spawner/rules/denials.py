"""Which decisions of the doors get an audit line of their own, so that a flood of them fills nobody's disk?

Law: in each window a sandbox gets a fixed number of lines; what is more is counted and told in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..models import Event
from .audit import Entry

__all__ = ["LINES_A_WINDOW", "WINDOW", "Flood", "entries_of", "entry_of"]

WINDOW = 60.0
LINES_A_WINDOW = 20
_DETAIL_LENGTH = 300
_STAMP = ("digest", "engine", "decision_id")


@dataclass(frozen=True, kw_only=True)
class Flood:
    """What one sandbox used of its window: when it began, lines written, and the last denial left out."""

    began: datetime
    written: int = 0
    left_out: int = 0
    last: Event | None = None


def entries_of(
    now: datetime, events: Sequence[Event], flood: Flood | None
) -> tuple[tuple[Entry, ...], Flood | None]:
    """Audit entries for one sandbox's events in order, and its window afterwards (None: nothing is open).

    Called without events from time to time, it closes an old window with the line that counts.
    """
    entries: list[Entry] = []
    state = flood
    if state is not None and not timedelta() <= now - state.began < timedelta(seconds=WINDOW):
        entries += _counted(state)
        state = None
    for event in events:
        if not event.kind.endswith((".denied", ".allowed")):
            entries.append(entry_of(event))
            continue
        state = state or Flood(began=now)
        if state.written < LINES_A_WINDOW:
            entries.append(entry_of(event))
            state = replace(state, written=state.written + 1)
        else:
            state = replace(state, left_out=state.left_out + _count(event), last=event)
    return tuple(entries), state


def entry_of(event: Event) -> Entry:
    """A gateway's event as an audit entry; long values are cut, since a sandbox chose them."""
    detail = {name: _short(value) for name, value in event.detail.items()}
    # Policy's own denials say who decided, in the place where other records say it.
    stamp = {name: str(detail.pop(name, "")) for name in _STAMP} if event.kind == "policy.denied" else {}
    refused = event.kind.endswith((".denied", ".capped", ".foreign", ".second_reader"))
    return Entry(
        actor="gateway",
        action=event.kind,
        outcome="denied" if refused else "done",
        user=event.user,
        server=event.server,
        sandbox=event.sandbox,
        code=str(event.detail.get("code") or ""),
        policy_digest=stamp.get("digest", ""),
        engine=stamp.get("engine", ""),
        decision_id=stamp.get("decision_id", ""),
        detail={**detail, "source_seq": event.seq},
    )


def _counted(flood: Flood) -> list[Entry]:
    if flood.last is None:
        return []
    denied = flood.last.kind.endswith(".denied")
    return [
        Entry(
            actor="control",
            action="denials.aggregated" if denied else "egress.aggregated",
            outcome="denied" if denied else "done",
            user=flood.last.user,
            server=flood.last.server,
            sandbox=flood.last.sandbox,
            code="denials.flood" if denied else "egress.allowed",
            detail={"left_out": flood.left_out, "window_seconds": WINDOW, "last_seq": flood.last.seq},
        )
    ]


def _count(event: Event) -> int:
    # The gateway already folds equal denials into one event with a count.
    count = event.detail.get("count")
    return count if type(count) is int and count > 0 else 1


def _short(value: str | int | float | bool | None) -> str | int | float | bool | None:
    return value[:_DETAIL_LENGTH] if isinstance(value, str) else value
