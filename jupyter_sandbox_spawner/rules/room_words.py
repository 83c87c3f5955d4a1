"""A pod waits for room: by when is there some? By the ends of what runs and holds the like."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from .pod_words import SCHEDULING
from .queue_words import at_clock

__all__ = ["Lack", "lack_of", "room_words"]

Lack = Literal["gpu", "room"]
_LACKS: dict[str, Lack] = {"kubernetes.no_gpu": "gpu", "kubernetes.no_room": "room"}
_SENTENCES = {rule.user: _LACKS[rule.code] for rule in SCHEDULING if rule.code in _LACKS}


def lack_of(reason: str) -> Lack | None:
    """What a pod waits for whose user reads this; None for what no end of another server brings."""
    return _SENTENCES.get(reason)


def room_words(now: datetime, lack: Lack, ends: Iterable[tuple[datetime | None, int]], wanted: int) -> str:
    """A sentence for who waits; "" where nobody knows.

    `ends`: by when each that runs and holds the like ends, None without an end, and how much it holds;
    `wanted`: what we and whoever waits longer want of it. Only a guess: a scheduler keeps no order.
    """
    what = "a GPU like it" if lack == "gpu" else "this profile"
    for end, held in sorted((end, held) for end, held in ends if end is not None and end > now):
        wanted -= held
        if wanted <= 0:
            return (
                f"Perhaps there is room from {at_clock(now, end)} on, when another server with {what} ends."
            )
    return ""
