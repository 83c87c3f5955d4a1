"""Whose credentials are renewed? Those of sandboxes that run by control's records and the launcher's word."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from jupyter_sandbox_spawner.clients.grants import ControlBrokerClient
from tests.programs.broker_street import ALICE, BOB, BrokerStreet, broker_street

Control = Callable[[str, bool], None]


@pytest.fixture
async def place() -> AsyncIterator[BrokerStreet]:
    """Broker, control, hub and launcher."""
    async with broker_street() as street:
        yield street


async def running(place: BrokerStreet) -> frozenset[str]:
    """What the broker is told of alice and bob."""
    async with ControlBrokerClient(place.here.path("c-broker")) as client:
        return await client.running([ALICE.id, BOB.id])


@pytest.mark.proves("C06")
@pytest.mark.parametrize("status", ["stopped", "failed"])
async def test_a_dead_sandbox_does_not_run_though_its_record_is_open(
    place: BrokerStreet, status: str, control: Control
) -> None:
    """The hub that would close the record is away; the launcher says that it is over."""
    place.here.launcher.add(ALICE)
    place.here.launcher.add(BOB)
    control("both run", await running(place) == {ALICE.id, BOB.id})
    place.here.launcher.add(ALICE, status, exit_code=137)
    assert await running(place) == {BOB.id}


async def test_one_that_is_about_to_start_counts(place: BrokerStreet) -> None:
    """It is admitted, and the launcher has not heard of it yet."""
    assert await running(place) == {ALICE.id, BOB.id}


async def test_without_the_launcher_the_records_count(place: BrokerStreet) -> None:
    """What lives must not lose its secrets because one program restarts."""
    await place.here.close("launcher")
    assert await running(place) == {ALICE.id, BOB.id}
    await place.release(BOB)
    assert await running(place) == {ALICE.id}
