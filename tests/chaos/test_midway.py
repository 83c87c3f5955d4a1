"""What is left of a start that fails or is broken off in the middle? Nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from jupyter_sandbox_spawner.clients.control import ControlAdminClient, control_socket
from tests.chaos.person import come_back, leave, sandboxes_of, try_start, until
from tests.support.agreement import disagreement
from tests.support.house import House

Control = Callable[[str, bool], None]


def test_a_start_that_fails_leaves_nothing(house: House, control: Control) -> None:
    """A server that is too small to run gives its reason, and no process, cgroup, socket or directory."""
    bob, admin = house.visitor("bob"), house.visitor("admin")

    async def play() -> tuple[str, str]:
        await leave(bob)
        told = await try_start(bob, "hopeless")
        left = await disagreement(house, admin)
        await come_back(bob)
        return told, left

    told, left = house.wait(play(), 240)
    control("a server that fits starts right after it", house.sandbox("bob") is not None)
    assert "before it answered" in told, told
    assert left == ""
    house.stop("bob")


@pytest.mark.proves("H08")
def test_a_start_that_is_broken_off_leaves_nothing(house: House, control: Control) -> None:
    """An admin's stop in the middle of a start ends it, and nothing of it is left."""
    bob, admin = house.visitor("bob"), house.visitor("admin")

    async def play() -> str:
        await leave(bob)
        start = asyncio.create_task(try_start(bob))
        await until(lambda: sandboxes_of(house, "bob"))
        [item] = await sandboxes_of(house, "bob")
        client = ControlAdminClient(control_socket(house.site, "admin"))
        async with client:
            await client.stop(item.id, "broken off for the test")
        told = await start
        await until(lambda: _gone(house))
        left = await disagreement(house, admin)
        return left or ("" if told else "the start said nothing")

    assert house.wait(play(), 240) == ""
    house.wait(come_back(bob))
    control("the next start runs", house.sandbox("bob") is not None)
    house.stop("bob")


async def _gone(house: House) -> bool:
    return not await sandboxes_of(house, "bob")
