"""Does control act on what is true now, and not on what was true when it looked?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.rules.reconcile import Action, Verb

from .control_neighbours import spec
from .test_control_reconcile import ALICE, Mending, mending  # noqa: F401 - a fixture

NEXT = spec("alice", nonce="2")


def decided(verb: Verb, sandbox: str) -> Action:
    """What an earlier look at Alice's server led to."""
    return Action(verb=verb, sandbox=sandbox, user="alice", server="", code="ended.died", why="It was so.")


async def hand_over(street: Mending) -> records.SandboxRecord:
    """Alice's server ended and she has started the next one. The old record, as it was while it was open."""
    old = await street.parts.store.run(lambda db: records.by_id(db, ALICE.id))
    assert old is not None
    now = street.here.clock.now()
    await street.parts.store.run(lambda db: records.release(db, ALICE.id, "ended.exit", "x", now))
    street.here.launcher.items.clear()
    street.here.gateway.entries.clear()
    street.here.clock.pass_time(1)
    await street.start(NEXT)
    return old


@pytest.mark.parametrize(
    ("verb", "sandbox"), [("finish_stop", ALICE.id), ("stop_at_hub", ALICE.id), ("stop_at_hub", "")]
)
async def test_a_late_act_spares_the_next_server(mending: Mending, verb: Verb, sandbox: str) -> None:  # noqa: F811
    """An act that waited behind others does nothing once its server has ended and another has its name."""
    await hand_over(mending)
    await mending.reconciler._act(decided(verb, sandbox))
    assert mending.here.hub.deleted == []
    assert await mending.status(NEXT.id) == ("ready", None)


async def test_a_late_stop_spares_the_next_server(mending: Mending) -> None:  # noqa: F811
    """A stop of a server that has ended is over; the hub is not asked, since it would end the next one."""
    old = await hand_over(mending)
    assert await Stopper(mending.parts).stop(old, "stop.ttl", "Time.", "control")
    assert mending.here.hub.deleted == []
    assert await mending.status(NEXT.id) == ("ready", None)
    new = await mending.parts.store.run(lambda db: records.by_id(db, NEXT.id))
    assert new is not None
    assert await Stopper(mending.parts).stop(new, "stop.ttl", "Time.", "control")
    assert mending.here.hub.deleted == [("alice", "")]


async def test_doors_of_an_ended_sandbox_stay_shut(mending: Mending) -> None:  # noqa: F811
    """Opened late they would lead nowhere and keep the next one's from its path."""
    await hand_over(mending)
    await mending.reconciler.step(apply=False)
    await mending.reconciler._act(decided("reopen", ALICE.id))
    assert mending.here.gateway.opened == []


async def test_applied_at_once_a_start_meanwhile_is_spared(mending: Mending) -> None:  # noqa: F811
    """What the hub had not listed yet at the first look is left alone; what nobody has at both is closed."""
    gone = spec("bob")
    await mending.start(gone)
    hub, launcher = mending.here.hub, mending.here.launcher
    away = dict(hub.servers), dict(launcher.items)
    hub.servers.clear()
    launcher.items.clear()
    looks = []

    def after_a_look() -> None:
        looks.append(1)
        hub.servers["alice", ""] = away[0]["alice", ""]
        launcher.items[ALICE.id] = away[1][ALICE.id]

    hub.on_page = after_a_look
    hasty = Reconciler(mending.parts, Stopper(mending.parts), mending.lifetime, apart=0)
    found, silent = await hasty.step(urgent=True)
    assert (len(looks), silent) == (2, ())
    assert await mending.status(ALICE.id) == ("ready", None)
    assert await mending.status(gone.id) == ("released", "ended.gone")
    assert "release" in [action.verb for action in found.due]


@pytest.mark.parametrize("stops", [1, 5])
async def test_nobody_is_skipped_between_two_pages(mending: Mending, stops: int) -> None:  # noqa: F811
    """Users who stop while the pages are read take nobody who runs out of the list."""
    hub = mending.here.hub
    for number in range(130):
        hub.add(f"u{number:03}")
    leaving = [f"u{number:03}" for number in range(30)]

    def some_go() -> None:
        for name in leaving[:stops]:
            hub.servers.pop((name, ""))
        del leaving[:stops]

    hub.on_page = some_go
    found = [item.user for item in await mending.parts.hub.servers()]
    assert len(found) == len(set(found))
    assert {user for user, _ in hub.servers} <= set(found)


@pytest.mark.parametrize(
    ("max_age", "hours_ago", "left"), [(86400, 30, 30), (86400, 20, 240), (600, 30, 10), (None, 30, None)]
)
async def test_after_a_lost_database_nobody_ends_unwarned(
    mending: Mending,  # noqa: F811
    max_age: int | None,
    hours_ago: int,
    left: int | None,
) -> None:
    """Idleness counts from now, since a wish to be kept is lost, and a max age that is over comes in half an
    hour."""
    other = spec("bob")
    mending.here.running(other)
    tuning = replace(mending.parts.tuning, max_age=max_age)
    mending.reconciler._parts = replace(mending.parts, tuning=tuning)
    items, now = mending.here.launcher.items, mending.here.clock.now()
    status = replace(items[other.id].status, started_at=now - timedelta(hours=hours_ago))
    items[other.id] = replace(items[other.id], status=status)
    await mending.reconciler.step()
    found = await mending.parts.store.run(lambda db: records.by_id(db, other.id))
    assert found is not None
    assert found.idle_floor == now
    assert found.admitted_at == now - timedelta(hours=hours_ago)
    assert found.ready_at is not None
    if max_age is not None and left is not None:
        assert found.ready_at + timedelta(seconds=max_age) == now + timedelta(minutes=left)
    else:
        assert found.ready_at == found.admitted_at
