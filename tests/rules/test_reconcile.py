"""Is every disagreement mended by the right act, and nothing touched that is only starting or stopping?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.reconcile import (
    HubServer,
    Inventories,
    LauncherEntry,
    OpenRecord,
    Plan,
    plan,
    still_due,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
UNHURRIED = settings(deadline=None, max_examples=60)
LATER = NOW + timedelta(seconds=61)
HUB = HubServer(user="alice", server="", ready=True, pending="", prefix="/user/alice/")
RECORD = OpenRecord(id="sb-a", user="alice", server="", status="ready")
PLACE = LauncherEntry(id="sb-a", user="alice", server="", status="running")
DOORS = {"sb-a": ("alice", "")}
AGREED = Inventories(hub=[HUB], database=[RECORD], launcher=[PLACE], gateway=DOORS)


def verbs(found: Plan) -> list[tuple[str, str]]:
    """What is due."""
    return [(action.verb, action.code) for action in found.due]


def after_patience(seen: Inventories, seconds: float = 61) -> Plan:
    """What is due when the same is seen twice."""
    first = plan(NOW, seen, {})
    return plan(NOW + timedelta(seconds=seconds), seen, first.sightings)


def test_agreement_needs_nothing() -> None:
    """Where all four agree there is nothing to do and nothing is remembered."""
    assert plan(NOW, AGREED, {}) == Plan(due=(), waiting=(), sightings={})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"gateway": {}}, ("reopen", "doors.missing")),
        ({"database": []}, ("adopt", "record.missing")),
        ({"launcher": [], "gateway": {}}, ("stop_at_hub", "ended.died")),
        ({"launcher": [], "hub": []}, ("release", "ended.gone")),
        ({"hub": []}, ("quarantine", "orphan.hub_forgot")),
        ({"hub": [], "database": [replace(RECORD, status="admitted")]}, ("remove", "orphan.never_ready")),
        ({"database": [replace(RECORD, status="admitted")]}, ("confirm", "record.late")),
        ({"hub": [], "database": []}, ("quarantine", "orphan.unrecorded")),
        ({"hub": [], "database": [], "launcher": []}, ("close_doors", "doors.orphaned")),
        ({"hub": [], "database": [replace(RECORD, status="released")]}, ("remove", "orphan.released")),
        ({"launcher": [], "database": [], "gateway": {}}, ("stop_at_hub", "ended.died")),
        ({"database": [replace(RECORD, status="stopping")]}, ("finish_stop", "stop.unfinished")),
        ({"database": [replace(RECORD, status="stopping")], "hub": []}, ("remove", "stop.unverified")),
        ({"database": [replace(RECORD, id="sb-b")]}, ("remove", "orphan.duplicate")),
        ({"pods": {}}, ("stop_at_hub", "ended.pod_forgotten")),
        ({"pods": {}, "gateway": {}}, ("stop_at_hub", "ended.pod_forgotten")),
        ({"pods": {"sb-a": True}}, ("reopen", "doors.suspended")),
        ({"pods": {"sb-a": True}, "gateway": {}}, ("reopen", "doors.missing")),
        (
            {"pods": {"sb-a": False}, "hub": [], "database": [], "launcher": [], "gateway": {}},
            ("close_doors", "pods.orphaned"),
        ),
    ],
)
def test_each_disagreement_has_its_act(
    change: dict[str, object], expected: tuple[str, str], control: Callable[[str, bool], None]
) -> None:
    """Every way to disagree ends in one act with a code, once it was seen for long enough."""
    control("where all agree nothing is due", not after_patience(AGREED).due)
    assert expected in verbs(after_patience(replace(AGREED, **change), 601))


def test_a_stopped_place_nobody_knows_is_removed() -> None:
    """What ended and has no record is cleaned up."""
    seen = Inventories(hub=[], database=[], launcher=[replace(PLACE, status="stopped")], gateway={})
    assert verbs(after_patience(seen, 601)) == [("remove", "orphan.unrecorded")]


def test_quarantine_comes_long_before_removal() -> None:
    """A sandbox the hub forgot is cut off after a minute and removed after ten, so it can be found again."""
    seen = replace(AGREED, hub=[])
    assert verbs(after_patience(seen, 61)) == [("quarantine", "orphan.hub_forgot")]
    assert ("remove", "orphan.hub_forgot") in verbs(after_patience(seen, 601))


def test_a_start_under_way_is_left_alone() -> None:
    """Admitted, pending at the hub and not yet at the launcher: nothing is due, ever."""
    starting = Inventories(
        hub=[replace(HUB, ready=False, pending="spawn")],
        database=[replace(RECORD, status="admitted")],
        launcher=[],
        gateway=DOORS,
    )
    assert plan(NOW, starting, {}).sightings == {}


def test_a_short_disagreement_is_forgotten() -> None:
    """What agrees again starts its patience anew."""
    first = plan(NOW, replace(AGREED, hub=[]), {})
    assert first.due == ()
    healed = plan(LATER, AGREED, first.sightings)
    assert verbs(plan(LATER + timedelta(seconds=1), replace(AGREED, hub=[]), healed.sightings)) == []


def test_an_admin_need_not_wait_except_for_removal() -> None:
    """Applied by hand, acts are due at once; a sandbox the hub forgot is still not removed at once."""
    found = plan(NOW, replace(AGREED, hub=[]), {}, urgent=True)
    assert verbs(found) == [("quarantine", "orphan.hub_forgot")]


def test_at_once_is_what_two_looks_show() -> None:
    """A start that came between the questions of one look is not ended; what both show is done."""
    missing = replace(AGREED, hub=[])
    first = plan(NOW, missing, {}, urgent=True)
    assert verbs(still_due(first, first)) == [("quarantine", "orphan.hub_forgot")]
    assert still_due(first, plan(NOW, AGREED, {}, urgent=True)).due == ()
    late = still_due(plan(NOW, AGREED, {}, urgent=True), first)
    assert (late.due, late.waiting[:1]) == ((), first.due)


hub_servers = st.builds(
    HubServer,
    user=st.sampled_from("ab"),
    server=st.sampled_from(["", "x"]),
    ready=st.booleans(),
    pending=st.sampled_from(["", "spawn", "stop"]),
    prefix=st.just("/"),
)
entries = st.builds(
    LauncherEntry,
    id=st.sampled_from(["sb-1", "sb-2", "sb-3"]),
    user=st.sampled_from("ab"),
    server=st.sampled_from(["", "x"]),
    status=st.sampled_from(["pending", "running", "stopping", "stopped", "failed"]),
)
open_records = st.builds(
    OpenRecord,
    id=st.sampled_from(["sb-1", "sb-2", "sb-3"]),
    user=st.sampled_from("ab"),
    server=st.sampled_from(["", "x"]),
    status=st.sampled_from(["admitted", "ready", "stopping", "released"]),
)
inventories = st.builds(
    Inventories,
    hub=st.lists(hub_servers, max_size=4),
    database=st.lists(open_records, max_size=3, unique_by=lambda item: item.id),
    launcher=st.lists(entries, max_size=3, unique_by=lambda item: item.id),
    gateway=st.dictionaries(st.sampled_from(["sb-1", "sb-2", "sb-4"]), st.just(("a", ""))),
)


@UNHURRIED
@given(inventories)
def test_a_silent_hub_ends_nobody(seen: Inventories) -> None:
    """While the hub does not answer nothing that lives and is recorded is cut off or removed."""
    blind = replace(seen, hub=None)
    living = {item.id for item in seen.launcher or () if item.status in ("pending", "running", "stopping")}
    closed = {item.id for item in seen.database if item.status == "released"}
    owned = {(item.user, item.server) for item in seen.database if item.status != "released"}
    twins = {item.id for item in seen.launcher or () if (item.user, item.server) in owned}
    for action in after_patience(blind, 10_000).due:
        if action.verb in ("quarantine", "remove", "close_doors", "release"):
            assert action.sandbox not in living - closed - twins


@UNHURRIED
@given(inventories)
def test_a_silent_launcher_ends_nobody(seen: Inventories) -> None:
    """While the launcher does not answer nothing is released, removed or closed."""
    blind = replace(seen, launcher=None)
    forbidden = {"release", "remove", "close_doors", "quarantine", "stop_at_hub", "adopt"}
    assert not {action.verb for action in after_patience(blind, 10_000).due} & forbidden


@UNHURRIED
@given(inventories)
def test_what_agrees_is_never_touched(seen: Inventories) -> None:
    """A sandbox that all four know as running gets no act at all."""
    apart = [item for item in seen.database if (item.user, item.server) != ("zoe", "")]
    whole = Inventories(
        hub=[*(seen.hub or ()), replace(HUB, user="zoe")],
        database=[*apart, OpenRecord(id="sb-z", user="zoe", server="", status="ready")],
        launcher=[*(seen.launcher or ()), LauncherEntry(id="sb-z", user="zoe", server="", status="running")],
        gateway={**(seen.gateway or {}), "sb-z": ("zoe", "")},
    )
    assert not [action for action in after_patience(whole, 10_000).due if action.user == "zoe"]


@pytest.mark.parametrize(
    "change",
    [
        {"pods": None},
        {"pods": {"sb-a": False}},
        {
            "pods": {},
            "database": [replace(RECORD, status="admitted")],
            "hub": [replace(HUB, pending="spawn")],
        },
        {"pods": {}, "launcher": None},
        {"pods": {}, "hub": None},
        {"pods": {"sb-a": False, "sb-b": False}, "gateway": None},
        {"pods": {"sb-a": False, "sb-b": False}, "launcher": None},
        {
            "pods": {"sb-a": False, "sb-b": False},
            "database": [RECORD, OpenRecord(id="sb-b", user="bob", server="", status="admitted")],
            "hub": [HUB, replace(HUB, user="bob", ready=False, pending="spawn")],
        },
    ],
)
def test_pods_that_prove_nothing(change: dict[str, object], control: Callable[[str, bool], None]) -> None:
    """A start under way, and a source that did not answer, end nothing because of a pod's record."""
    forgotten = after_patience(replace(AGREED, pods={}))
    control("one that is forgotten is ended", verbs(forgotten) == [("stop_at_hub", "ended.pod_forgotten")])
    assert not after_patience(replace(AGREED, **change), 601).due  # type: ignore[arg-type]


def test_a_forgotten_pod_has_its_patience() -> None:
    """Nothing happens at the first look: a pod is registered before its sandbox is made."""
    assert not plan(NOW, replace(AGREED, pods={}), {}).due
