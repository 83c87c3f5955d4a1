"""Do ends come when they were promised although every program was killed meanwhile, and never too early?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from hub_config.demo.endings import ending
from hub_config.demo.kernel import Kernel
from hub_config.demo.programs import PROGRAMS
from hub_config.demo.working import LongCell, insist, until_page_answers
from tests.chaos.instants import instant, why_of
from tests.chaos.person import come_back, leave, sandboxes_of
from tests.support.house import House

Control = Callable[[str, bool], None]
SETTLE = 60.0  # seconds after control's start before anything is stopped for idleness
IDLE = 20.0


def test_a_ttl_survives_the_death_of_every_program(house: House, control: Control) -> None:
    """The deadline is the same after all programs were killed, and is met with its reason on the page."""
    alice = house.visitor("alice")

    async def play() -> tuple[str, str, str, float]:
        await leave(alice)
        await come_back(alice, "short")
        before = (await why_of(house, "alice"))["deadline"]
        await house.programs.kill(PROGRAMS)
        after = (await insist(lambda: why_of(house, "alice")))["deadline"]
        why = await ending(alice, 90)
        return before, after, why, time.time()

    before, after, why, ended = house.wait(play(), 240)
    control("the server had a deadline", bool(before))
    assert before == after
    assert "time was up" in why
    assert -1 < ended - instant(before) < 20


def test_idleness_survives_restarts_and_spares_a_running_cell(house: House, control: Control) -> None:
    """After control and gateway were killed an unused server still ends, one with a quiet cell does not."""
    alice, bob = house.visitor("alice"), house.visitor("bob")

    async def play() -> tuple[str, float, list[str]]:
        for visitor in (alice, bob):
            await leave(visitor)
            await come_back(visitor, "watched")
        # It computes nothing: only what the server says of its kernel can keep it.
        kernel = await Kernel(alice).__aenter__()
        await kernel.submit("import time; time.sleep(3600)")
        await kernel.disconnect()
        await asyncio.sleep(IDLE / 4)
        await house.programs.kill(("control", "gateway"))
        start = time.monotonic()
        why = await ending(bob, SETTLE + 4 * IDLE)
        culled = time.monotonic() - start
        kept = [item.id for item in await sandboxes_of(house, "alice")]
        return why, culled, kept

    why, culled, kept = house.wait(play(), 280)
    control("the unused server of the same profile ends", "not used" in why)
    print(f"bob's unused server ended {culled:.0f} s after the kill")
    assert len(kept) == 1
    house.stop("alice")


def test_a_cell_outlives_several_idle_timeouts(house: House, control: Control) -> None:
    """A ticking cell without a browser goes on for several idle timeouts, though control is killed twice."""
    alice = house.visitor("alice")

    async def play() -> float:
        await leave(alice)
        await come_back(alice, "watched")
        kernel = await Kernel(alice).__aenter__()
        cell = LongCell(kernel)
        await cell.start()
        await kernel.disconnect()
        for _ in range(2):
            await asyncio.sleep(1.5 * IDLE)
            await house.programs.kill(("control",))
        await until_page_answers(kernel)
        return (await cell.finish()).seconds

    seconds = house.wait(play(), 240)
    control("the cell ran for several idle timeouts", seconds > 2 * IDLE)
    house.stop("alice")
