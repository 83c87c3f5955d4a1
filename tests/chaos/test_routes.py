"""Does the proxy get its routes back, whoever removed them?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.chaos.person import come_back
from tests.support.agreement import Proxy
from tests.support.house import House

Control = Callable[[str, bool], None]
WITHIN = 30.0


def test_a_route_deleted_by_hand_comes_back(house: House, control: Control) -> None:
    """A route that was removed behind everybody's back is there again within 30 seconds."""
    alice = house.visitor("alice")

    async def play() -> tuple[bool, bool, float]:
        await come_back(alice)
        proxy = Proxy(house)
        before = "/user/alice" in {path.rstrip("/") for path in await proxy.routes()}
        await proxy.delete("/user/alice")
        start = time.monotonic()
        gone = "/user/alice" not in {path.rstrip("/") for path in await proxy.routes()}
        while "/user/alice" not in {path.rstrip("/") for path in await proxy.routes()}:
            assert time.monotonic() - start < WITHIN
            await asyncio.sleep(0.2)
        seconds = time.monotonic() - start
        await come_back(alice, within=10)
        return before, gone, seconds

    before, gone, seconds = house.wait(play())
    control("the route existed and was removed", before and gone)
    print(f"the route was back after {seconds:.1f} s")
