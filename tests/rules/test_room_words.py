"""What does a user read whose pod waits for room, of when there will be some?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.rules.pod_words import SCHEDULING
from jupyter_sandbox_spawner.rules.room_words import lack_of, room_words

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
ENDS = (
    (NOON + timedelta(hours=3), 1),
    (None, 1),
    (NOON + timedelta(hours=4), 4),
    (NOON + timedelta(hours=1), 1),
    (NOON - timedelta(hours=1), 1),
)


@pytest.mark.parametrize(
    ("wanted", "at"), [(1, "13:00 UTC"), (2, "15:00 UTC"), (3, "16:00 UTC"), (6, "16:00 UTC"), (7, "")]
)
def test_enough_has_to_end(wanted: int, at: str) -> None:
    """The end that makes it enough is told; what has no end, or should have ended, promises nothing."""
    said = room_words(NOON, "room", ENDS, wanted)
    assert bool(said) == bool(at)
    assert at in said


def test_words() -> None:
    """A sentence by the clock, without anybody's name; another day is told."""
    assert room_words(NOON, "gpu", ((NOON + timedelta(days=1), 1),), 1) == (
        "Perhaps there is room from 2026-11-26 12:00 UTC on, when another server with a GPU like it ends."
    )
    assert room_words(NOON, "room", (), 1) == ""


def test_what_an_end_brings() -> None:
    """Of all that a pod waits for, room and GPUs become free when another server ends."""
    lacks = {rule.code: lack_of(rule.user) for rule in SCHEDULING}
    assert {code: lack for code, lack in lacks.items() if lack} == {
        "kubernetes.no_gpu": "gpu",
        "kubernetes.no_room": "room",
    }
    assert lack_of("") is None
