"""Does anybody lose work when a program is killed? Each program and all, in each state of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from hub_config.demo.kernel import Kernel
from hub_config.demo.programs import PROGRAMS
from hub_config.demo.working import LongCell, until_page_answers
from tests.chaos.person import come_back, leave, sandboxes_of, try_start, until
from tests.support.agreement import until_agreed
from tests.support.house import House

PARTS = (*PROGRAMS, "all")
LONGEST_PAUSE = 10.0  # seconds; of a machine that is busy with other tests


def _names(part: str) -> tuple[str, ...]:
    return PROGRAMS if part == "all" else (part,)


@pytest.fixture(scope="module")
def neighbour(house: House) -> Iterator[str]:
    """Bob, whose cell ticks through every crash of this file."""
    house.server("bob")
    kernel = house.kernel("bob")
    cell = LongCell(kernel)
    house.wait(cell.start())
    before = house.sandbox("bob")
    yield "bob"
    house.wait(until_page_answers(kernel))
    ticks = house.wait(cell.finish())
    print(f"bob's cell: {ticks}")
    assert ticks.pause < LONGEST_PAUSE
    after = house.sandbox("bob")
    assert before is not None
    assert after is not None
    assert before.id == after.id
    house.stop("bob")


@pytest.mark.proves("H08")
@pytest.mark.parametrize("part", PARTS)
def test_killed_while_a_server_starts(house: House, neighbour: str, part: str) -> None:
    """A start that meets a crash ends well or with a sentence, and the next try runs; never two sandboxes."""
    alice = house.visitor("alice")

    async def play() -> str:
        await leave(alice)
        start = asyncio.create_task(try_start(alice))
        await until(lambda: sandboxes_of(house, "alice"))
        crash = await house.programs.kill(_names(part))
        told = await start
        if part in ("gateway", "control"):
            assert told == ""  # what it had to do is done again by the hub
        await come_back(alice)
        assert len(await sandboxes_of(house, "alice")) == 1
        return f"{crash.slowest} s until {part} answered; {told or 'the start went on'}"

    print(house.wait(play(), 280))
    house.wait(until_agreed(house, house.visitor("admin"), 200), 240)


@pytest.mark.proves("H08")
@pytest.mark.parametrize("part", PARTS)
def test_killed_during_a_running_cell(house: House, neighbour: str, part: str) -> None:
    """The cell finishes in the same sandbox, and the page works again without a new login."""
    alice = house.visitor("alice")

    async def play() -> str:
        await come_back(alice)
        [before] = await sandboxes_of(house, "alice")
        kernel = await Kernel(alice).__aenter__()
        cell = LongCell(kernel)
        await cell.start()
        crash = await house.programs.kill(_names(part))
        page = await until_page_answers(kernel)
        ticks = await cell.finish()
        [after] = await sandboxes_of(house, "alice")
        assert before.id == after.id
        assert ticks.pause < LONGEST_PAUSE
        await kernel.__aexit__(None, None, None)
        return f"{crash.seconds} until {part} answered, the page {page} s later; {ticks}"

    print(house.wait(play(), 280))
    house.wait(until_agreed(house, house.visitor("admin"), 200), 240)


@pytest.mark.proves("H08")
@pytest.mark.parametrize("part", PARTS)
def test_killed_while_a_server_stops(house: House, neighbour: str, part: str) -> None:
    """The server is stopped in the end, and nothing of it is left."""
    alice = house.visitor("alice")

    async def stopping() -> bool:
        user = await alice.call("GET", alice.hub("api/users/alice"))
        server = user["servers"].get("")
        return server is None or server["pending"] == "stop"

    async def play() -> str:
        await come_back(alice)
        stop = asyncio.create_task(leave(alice))
        await until(stopping)
        crash = await house.programs.kill(_names(part))
        await stop
        return f"{crash.slowest} s until {part} answered"

    print(house.wait(play(), 280))
    seconds = house.wait(until_agreed(house, house.visitor("admin"), 200), 240)
    print(f"nothing was left after {seconds} s more")
    assert house.sandbox("alice") is None
