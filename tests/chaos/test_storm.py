"""Does all agree after many starts and stops at random, with programs killed at random?

CHAOS_SPAWNS says how many (default 8; a whole run takes 50), CHAOS_SEED which ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_config.demo.programs import PROGRAMS
from hub_config.demo.visitor import Visitor
from tests.chaos.person import leave, try_start
from tests.support.agreement import until_agreed
from tests.support.house import House

Control = Callable[[str, bool], None]
SPAWNS = int(os.environ.get("CHAOS_SPAWNS", "8"))
SEED = int(os.environ.get("CHAOS_SEED", "5"))
SERVERS = ("", "one", "two")


class Storm:
    """Two people who start and stop, and somebody who kills."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._left = SPAWNS
        self._chance = random.Random(SEED)
        self.seen: Counter[str] = Counter()

    async def play(self, *visitors: Visitor) -> None:
        """Until all starts were tried; then stop everything."""
        killing = asyncio.create_task(self._kill())
        people = [asyncio.create_task(self._act(visitor, server)) for visitor, server in self._all(visitors)]
        await asyncio.gather(*people)
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        for visitor, server in self._all(visitors):
            await leave(visitor, server)

    def _all(self, visitors: tuple[Visitor, ...]) -> list[tuple[Visitor, str]]:
        # As many at once as two cores can carry.
        return [(visitor, server) for visitor in visitors for server in SERVERS[:2]]

    async def _act(self, visitor: Visitor, server: str) -> None:
        while self._left > 0:
            self._left -= 1
            told = await try_start(visitor, "small", server)
            self.seen["refused" if told else "started"] += 1
            await asyncio.sleep(self._chance.random() * 2)
            if self._chance.random() < 0.8:
                await leave(visitor, server)
                self.seen["stopped"] += 1

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(1 + self._chance.random() * 5)
            some = self._chance.sample(PROGRAMS, self._chance.choice((1, 1, 1, 2, 5)))
            # What was begun is finished: a kill is awaited until its programs answer.
            await asyncio.shield(self._house.programs.kill(some))
            self.seen.update(f"killed {name}" for name in some)


@pytest.mark.proves("H08", "Q09")
@pytest.mark.timeout(60 + 40 * SPAWNS + 900)
def test_after_a_storm_all_agree(house: House, control: Control) -> None:
    """Inventories and routes agree, and no process, cgroup, mount, socket, directory or uid is left over."""
    alice, bob, admin = (house.visitor(name) for name in ("alice", "bob", "admin"))
    before = _uids(house)
    storm = Storm(house)
    house.wait(storm.play(alice, bob), 60 + 40 * SPAWNS)
    seconds = house.wait(until_agreed(house, admin, 800), 850)
    print(f"seed {SEED}: {dict(storm.seen)}; all agreed {seconds} s after the last stop")
    control("servers were started and stopped", min(storm.seen["started"], storm.seen["stopped"]) > 0)
    assert len(_uids(house).keys() - {"alice", "bob", "admin"}) == len(
        before.keys() - {"alice", "bob", "admin"}
    )
    assert all(_uids(house).get(name) == uid for name, uid in before.items())


def _uids(house: House) -> dict[str, int]:
    file = Path(house.site.state_dir, "uids.json")
    users: dict[str, int] = json.loads(file.read_text())["users"] if file.exists() else {}
    return users
