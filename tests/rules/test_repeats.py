"""How often is the same line said?"""

from __future__ import annotations

from jupyter_sandbox_spawner.rules.repeats import Repeats


def test_once_a_minute() -> None:
    """A line that comes every five seconds is said at first, and then once a minute."""
    repeats = Repeats()
    said = [now for now in range(0, 180, 5) if repeats.due("no right", now)]
    assert said == [0, 60, 120]


def test_a_change_is_said_at_once() -> None:
    """Another line does not wait for the first, and two that take turns are each said once."""
    repeats = Repeats()
    lines = [("pods", 0), ("secrets", 1), ("pods", 2), ("secrets", 3), ("events", 4)]
    assert [line for line, now in lines if repeats.due(line, now)] == ["pods", "secrets", "events"]


def test_few_are_remembered() -> None:
    """Lines that name something new each time do not fill the memory."""
    repeats = Repeats(most=2)
    assert all(repeats.due(f"pod {number}", 0) for number in range(5))
    assert repeats.due("pod 0", 1)
    assert not repeats.due("pod 4", 1)
