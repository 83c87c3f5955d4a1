"""Where did the time of a start go? The share of each stage, from the progress page or the hub's log.

A start of less than a second is over before the hub answers the form; then nobody sees a progress page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Share", "describe_stages", "logged_shares", "shares"]


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


def logged_shares(log: str, user: str) -> list[Share]:
    """The stages of this user's last start, as the hub's log tells them; empty without one."""
    found = re.findall(rf"\b{re.escape(user)}: \S+ started: (.*)", log)
    stages = re.findall(r"(\w+) ([0-9.]+) s", found[-1]) if found else []
    total = sum(float(seconds) for _, seconds in stages) or 1.0
    return [Share(name, float(seconds), float(seconds) / total) for name, seconds in stages]


def describe_stages(seconds: float, stages: Sequence[Share]) -> str:
    """One line for the table: total seconds as the person saw them, then each stage with its share."""
    parts = [f"{stage.name} {stage.seconds:.2f} s ({stage.share:.0%})" for stage in stages]
    return f"ready after {seconds:.2f} s: " + ", ".join(parts)
