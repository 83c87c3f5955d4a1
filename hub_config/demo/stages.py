"""Where did the time of a start go? The share of each stage, from the events of the progress page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Share", "describe_stages", "shares"]


@dataclass(frozen=True)
class Share:
    """One stage of a start; `share` is its part of the whole, 0 to 1."""

    name: str
    seconds: float
    share: float


def shares(events: Sequence[tuple[float, dict[str, Any]]]) -> list[Share]:
    """The stages that the spawner measured itself; empty when no event carries them."""
    for _, event in reversed(events):
        if "stages" in event:
            return [Share(item["name"], item["seconds"], item["share"]) for item in event["stages"]]
    return []


def describe_stages(events: Sequence[tuple[float, dict[str, Any]]]) -> str:
    """One line for the table: total seconds as the person saw them, then each stage with its share."""
    parts = [f"{stage.name} {stage.seconds:.2f} s ({stage.share:.0%})" for stage in shares(events)]
    return f"ready after {events[-1][0]:.2f} s: " + ", ".join(parts)
