"""Does control mend what hub, launcher and the gateway's wires say differently about pods?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.clients.pod_gateway import PodGateway
from jupyter_sandbox_spawner.clients.pods import PodsClient
from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.errors import UnreachableError

from .test_control_reconcile import ALICE, Mending, mending  # noqa: F401 - a fixture

OTHER = "sb-" + "b" * 20


class KnownPods(PodsClient):
    """Wires with a book: by sandbox, is its pod suspended? `away`: nobody answers."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.book: dict[str, bool] = {}
        self.away = False

    async def call(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        """See UnixClient.call."""
        if self.away:
            raise UnreachableError("The wires do not answer.", code="wires.unreachable")
        _, _, sandbox, verb = [*path.split("/"), "", ""][:4]
        if method == "GET":
            return {
                name: {"address": "10.1.1.1", "used": True, "connections": 1, "suspended": shut}
                for name, shut in self.book.items()
            }
        if method == "DELETE":
            self.book.pop(sandbox, None)
        elif sandbox in self.book:
            self.book[sandbox] = verb == "suspend"
        return None


@pytest.fixture
async def wired(mending: Mending) -> AsyncIterator[tuple[Mending, KnownPods]]:  # noqa: F811
    """Alice's sandbox is a pod, and everybody knows it."""
    pods = KnownPods()
    pods.book[ALICE.id] = False
    gateway = PodGateway(mending.here.path("gateway"), pods)
    mending.parts = replace(mending.parts, gateway=gateway)
    mending.reconciler = Reconciler(mending.parts, Stopper(mending.parts), mending.lifetime)
    yield mending, pods
    await gateway.close()


async def test_agreement_of_all_five(wired: tuple[Mending, KnownPods]) -> None:
    """Where the wires know the pod, too, nothing is done."""
    street, _ = wired
    await street.minutes(3)
    assert await street.actions() == []


async def test_a_quarantine_can_be_undone(wired: tuple[Mending, KnownPods]) -> None:
    """A hub that forgets a server for a minute: its pod is shut out, not forgotten, and let in again."""
    street, pods = wired
    servers = dict(street.here.hub.servers)
    street.here.hub.servers.clear()
    await street.minutes(2)
    assert street.here.gateway.closed == [ALICE.id]
    assert pods.book == {ALICE.id: True}
    street.here.hub.servers.update(servers)
    await street.minutes(1)
    assert ALICE.id in street.here.gateway.opened
    assert pods.book == {ALICE.id: False}
    assert await street.status(ALICE.id) == ("ready", None)


async def test_a_pod_that_was_left_shut_out(wired: tuple[Mending, KnownPods]) -> None:
    """Control that died between the doors and the wires finishes what it began."""
    street, pods = wired
    pods.book[ALICE.id] = True
    await street.minutes(1)
    assert pods.book == {ALICE.id: False}
    assert "reconcile.reopen" in await street.actions()


async def test_a_pod_that_the_wires_forgot(wired: tuple[Mending, KnownPods]) -> None:
    """Nobody can reach it again: it is ended with a reason, after a minute."""
    street, pods = wired
    pods.book.clear()
    await street.reconciler.step()
    assert street.here.hub.deleted == []
    street.here.clock.pass_time(60)
    await street.minutes(1)
    assert street.here.hub.deleted == [("alice", "")]
    assert (await street.status(ALICE.id))[1] == "ended.pod_forgotten"


async def test_a_pod_without_a_sandbox(wired: tuple[Mending, KnownPods]) -> None:
    """Its record is forgotten after a minute, and those of others are not."""
    street, pods = wired
    pods.book[OTHER] = False
    await street.minutes(1)
    assert pods.book == {ALICE.id: False}


async def test_wires_that_are_away_prove_nothing(wired: tuple[Mending, KnownPods]) -> None:
    """They are named as silent, and no sandbox is ended because of them."""
    street, pods = wired
    pods.away = True
    await street.minutes(3)
    _, silent = await street.reconciler.step()
    assert silent == ("wires",)
    assert await street.status(ALICE.id) == ("ready", None)
    assert street.here.hub.deleted == []
