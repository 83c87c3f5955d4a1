"""Which claims are to be given back, and for which does a start still come?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.launcher import due_claims
from jupyter_sandbox_spawner.launcher.due_claims import DueClaims


async def test_one_that_could_not_go_is_due_at_once() -> None:
    """Also where this launcher heard of it for the first time; those found may be asked for."""
    due = DueClaims()
    due.missed("failed")
    due.found(["failed", "found"])
    assert due.all() == ("failed", "found")
    assert (due.waits("failed"), due.waits("found")) == (True, False)


async def test_each_start_that_asked_is_waited_for_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes counts for itself, one unasked takes no turn; a late one is given up."""
    due = DueClaims()
    due.came("home")
    assert due.waits("home")
    due.asked("home")
    due.asked("home")
    due.came("home")
    assert not due.waits("home")
    due.came("home")
    assert due.waits("home")
    due.asked("home")
    assert not due.waits("home")
    monkeypatch.setattr(due_claims, "_START_TIME", 0.0)
    assert due.waits("home")
    assert due.all() == ("home",)
