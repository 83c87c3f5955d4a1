"""Can a flood of denials fill the audit?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.models import Event
from jupyter_sandbox_spawner.rules.denials import LINES_A_WINDOW, WINDOW, entries_of

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)


def denial(seq: int, kind: str = "egress.denied", **detail: str | int) -> Event:
    """One event of a sandbox."""
    return Event(seq=seq, time=NOW, kind=kind, sandbox="sb-a", user="alice", server="", detail=detail)


@pytest.mark.proves("Q10", "T21")
def test_a_flood_becomes_a_few_lines_and_one_count(control: Callable[[str, bool], None]) -> None:
    """Ten thousand different denials in a window become twenty lines and one that counts the rest."""
    flood = [denial(seq, host=f"h{seq}.example") for seq in range(10_000)]
    lines, state = entries_of(NOW, flood, None)
    assert len(lines) == LINES_A_WINDOW
    rest, state = entries_of(NOW + timedelta(seconds=WINDOW), (), state)
    assert [line.action for line in rest] == ["denials.aggregated"]
    assert rest[0].detail["left_out"] == 10_000 - LINES_A_WINDOW
    assert state is None
    few, _ = entries_of(NOW, flood[:3], None)
    control("three denials have a line each", len(few) == 3)


def test_other_events_are_never_left_out() -> None:
    """A second reader of a boot document has its line in the middle of a flood."""
    flood = [denial(seq) for seq in range(100)] + [denial(100, "boot.second_reader")]
    lines, _ = entries_of(NOW, flood, None)
    assert lines[-1].action == "boot.second_reader"


def test_a_long_value_is_cut() -> None:
    """A host name of a megabyte, chosen by the sandbox, takes 300 characters of the audit."""
    lines, _ = entries_of(NOW, [denial(1, host="x" * 1_000_000)], None)
    assert len(str(lines[0].detail["host"])) == 300
