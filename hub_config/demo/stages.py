"""Where did the time of a start go? The share of each stage, from the events of the progress page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["describe_stages", "shares"]


def shares(events: Sequence[tuple[float, dict[str, Any]]]) -> list[tuple[str, float, float]]:
    """(message, seconds, share of the whole) of each stage.

    An event that carries `stage` and `seconds` speaks for itself; another one lasts until the next event.
    """
    measured = [(str(e["stage"]), float(e["seconds"])) for _, e in events if "seconds" in e and "stage" in e]
    if not measured:
        times = [at for at, _ in events]
        measured = [
            (str(event.get("message", "")), later - at)
            for (at, event), later in zip(events, times[1:], strict=False)
        ]
    total = sum(seconds for _, seconds in measured) or 1.0
    return [(name, seconds, seconds / total) for name, seconds in measured]


def describe_stages(events: Sequence[tuple[float, dict[str, Any]]]) -> str:
    """One line for the table: total seconds, then each stage with its share."""
    parts = [f"{name} {seconds:.2f} s ({share:.0%})" for name, seconds, share in shares(events)]
    return f"ready after {events[-1][0]:.2f} s: " + ", ".join(parts)
