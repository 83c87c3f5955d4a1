"""Who of several launchers may work, and when does one take over or stop?"""

from __future__ import annotations

from datetime import datetime, timezone

from jupyter_sandbox_spawner.rules.leases import (
    DURATION,
    GIVE_UP,
    LeaseSeen,
    decide,
    lease_manifest,
    read_lease,
    released,
)

NOW = datetime(2026, 11, 30, 8, 0, tzinfo=timezone.utc)
MINE = LeaseSeen(holder="me", sign=("me", "1"), duration=15)
THEIRS = LeaseSeen(holder="other", sign=("other", "1"), duration=15)
NOBODYS = LeaseSeen(holder="", sign=("", "1"), duration=15)


def test_decisions() -> None:
    """A Lease is made, kept, waited for while its holder gives signs, and taken when it gives none."""
    assert decide(None, "me", 0) == "make"
    assert decide(MINE, "me", 100) == "renew"
    assert decide(THEIRS, "me", 15) == "wait"
    assert decide(THEIRS, "me", 15.1) == "take"
    assert decide(NOBODYS, "me", 0) == "take"


def test_a_holder_stops_before_others_begin() -> None:
    """Between the holder's own end and the moment from which others may take over there is time."""
    assert DURATION - GIVE_UP >= 3


def test_a_clock_elsewhere_is_not_believed() -> None:
    """What counts is whether the sign changes, whatever time stands in it."""
    ahead = read_lease(lease_manifest("launcher", "other", NOW.replace(year=2050)))
    assert ahead is not None
    assert decide(ahead, "me", 16) == "take"
    assert decide(ahead, "me", 1) == "wait"


def test_taking_over_names_the_version() -> None:
    """Of two that take it at once, the cluster lets one: both name the version that they have seen."""
    old = {"metadata": {"name": "launcher", "resourceVersion": "7", "managedFields": []}, "spec": {}}
    old["spec"] = lease_manifest("launcher", "other", NOW)["spec"]
    new = lease_manifest("launcher", "me", NOW, old)
    assert new["metadata"] == {"name": "launcher", "resourceVersion": "7"}
    assert (new["spec"]["holderIdentity"], new["spec"]["leaseTransitions"]) == ("me", 1)
    kept = lease_manifest("launcher", "me", NOW.replace(hour=9), {**new})
    assert kept["spec"]["acquireTime"] == new["spec"]["acquireTime"]
    assert kept["spec"]["leaseTransitions"] == 1
    left = read_lease(released(new))
    assert left is not None
    assert decide(left, "other", 0) == "take"
