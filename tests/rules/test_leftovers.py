"""What becomes of each kind of leftover, when, and what is never touched?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import get_args

import pytest

from jupyter_sandbox_spawner.leftovers import Leftover, LeftoverKind
from jupyter_sandbox_spawner.rules.leftovers import HANDLING, KEPT, Judged, Known, Source, judge

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc)
ID = "sb-" + "a" * 20
GONE = Known(alive=frozenset(), recorded=frozenset({ID}), users=frozenset({"alice"}))


def item(kind: LeftoverKind, **more: object) -> Leftover:
    """One of a kind, of a sandbox where the kind is a sandbox's."""
    of_nobody = kind in ("network", "volume", "home_mount", "home", "user", "ticket")
    fields = {"name": "x", "sandbox": "" if of_nobody else ID, "user": "bob", **more}
    return Leftover(kind=kind, **fields)  # type: ignore[arg-type]


def after(seconds: float, found: Leftover, known: Known = GONE, urgent: bool = False) -> Judged:
    """What is decided about it that long after it was first seen."""
    first = judge(NOW, [("launcher", found)], known, {})
    return judge(NOW + timedelta(seconds=seconds), [("launcher", found)], known, first.sightings, urgent)


def test_every_kind_has_its_handling() -> None:
    """No kind can be found that nobody has thought about."""
    assert set(HANDLING) == set(get_args(LeftoverKind))


@pytest.mark.parametrize(
    ("kind", "deed", "seconds"),
    [
        ("cgroup", "remove", 60),
        ("processes", "remove", 600),
        ("mount", "remove", 60),
        ("runtime_state", "remove", 600),
        ("bundle", "quarantine", 60),
        ("container", "remove", 600),
        ("network", "remove", 600),
        ("pod", "remove", 600),
        ("network_policy", "remove", 60),
        ("secret", "remove", 600),
        ("home_mount", "remove", 60),
        ("doors", "remove", 60),
        ("entry", "remove", 60),
        ("allocation", "remove", 60),
        ("ticket", "remove", 60),
    ],
)
def test_it_goes_when_it_was_seen_for_long_enough(kind: LeftoverKind, deed: str, seconds: int) -> None:
    """A second before its time it waits, then it is due, with the deed of its kind."""
    early, late = after(seconds - 1, item(kind)), after(seconds, item(kind))
    assert (len(early.due), [step.seconds for step in early.waiting]) == (0, [2])
    assert [step.deed for step in late.due] == [deed]


@pytest.mark.parametrize("kind", ["user", "home", "volume"])
def test_what_may_hold_files_is_only_reported(kind: LeftoverKind) -> None:
    """However long it lies there, and however urgent it is."""
    found = after(10_000_000, item(kind), urgent=True)
    assert (found.due, found.waiting, [step.item.kind for step in found.reported]) == ((), (), [kind])


@pytest.mark.parametrize(
    "kind", sorted({*HANDLING} - {"user", "home", "volume", "network", "home_mount", "ticket"})
)
def test_what_somebody_has_is_no_leftover(kind: LeftoverKind) -> None:
    """Nothing that carries the id of a sandbox that lives or starts is even shown."""
    alive = Known(alive=frozenset({ID}), recorded=frozenset({ID}))
    assert after(10_000, item(kind, since=NOW - 2 * KEPT), alive, urgent=True) == Judged()


@pytest.mark.parametrize("kind", ["cgroup", "processes"])
def test_a_stranger_of_the_host_is_reported(kind: LeftoverKind) -> None:
    """A cgroup whose id no record names may be another installation's: it stays, and is told."""
    found = after(10_000, item(kind), Known(alive=frozenset(), recorded=frozenset()), urgent=True)
    assert found.due == ()
    assert "another installation" in found.reported[0].why


@pytest.mark.parametrize("kind", ["processes", "runtime_state", "container", "quarantined", "pod", "secret"])
def test_an_admins_hurry_does_not_end_what_may_be_work(kind: LeftoverKind) -> None:
    """`--apply` does at once what is nobody's work, and waits with the rest."""
    assert after(1, item(kind, since=NOW), urgent=True).due == ()
    assert [step.item.kind for step in after(1, item("doors"), urgent=True).due] == ["doors"]


def test_quarantine_lasts_a_day_from_the_move() -> None:
    """Also where control was restarted meanwhile and sees it for the first time."""
    kept = item("quarantined", since=NOW - KEPT + timedelta(minutes=1))
    assert judge(NOW, [("launcher", kept)], GONE, {}).due == ()
    assert len(judge(NOW + timedelta(minutes=1), [("launcher", kept)], GONE, {}).due) == 1


def test_a_pass_without_the_hubs_users_forgets_no_ticket() -> None:
    """Most passes do not ask the hub for its users: a ticket seen in one that did is due in the next."""
    found: list[tuple[Source, Leftover]] = [("control", item("ticket"))]
    first = judge(NOW, found, GONE, {})
    between = judge(NOW + timedelta(seconds=30), found, replace(GONE, users=None), first.sightings)
    assert (between.due, between.waiting) == ((), ())
    (late,) = judge(NOW + timedelta(seconds=60), found, GONE, between.sightings).due
    assert late.item.kind == "ticket"
    assert judge(NOW, [], replace(GONE, users=None), first.sightings).sightings == {}


@pytest.mark.parametrize("kind", ["user", "ticket"])
def test_users_are_left_over_only_by_the_hubs_word(kind: LeftoverKind) -> None:
    """Where the hub was not asked or did not answer, nobody is missing; whom it knows is not either."""
    unknown = Known(alive=frozenset(), recorded=frozenset())
    assert after(10_000, item(kind), unknown) == Judged()
    assert after(10_000, item(kind, user="alice")) == Judged()
    found = after(10_000, item(kind))
    assert len(found.due) + len(found.reported) == 1


def test_what_comes_back_waits_anew() -> None:
    """One that was away in between has not lasted: its patience begins again."""
    first = judge(NOW, [("gateway", item("doors"))], GONE, {})
    gone = judge(NOW + timedelta(seconds=30), [], GONE, first.sightings)
    again = judge(NOW + timedelta(seconds=70), [("gateway", item("doors"))], GONE, gone.sightings)
    assert (again.due, len(again.waiting)) == ((), 1)
