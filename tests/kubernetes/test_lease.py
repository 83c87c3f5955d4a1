"""Does one launcher work and the other wait, whatever happens to the first?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.launcher import lease as module
from jupyter_sandbox_spawner.launcher.lease import Lease

from .premises_desk import desk


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs come often, so that no test waits for seconds."""
    monkeypatch.setattr(module, "RENEW", 0.02)
    monkeypatch.setattr(module, "GIVE_UP", 3.0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing announces."""
    deadline = asyncio.get_running_loop().time() + 60
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


async def test_one_works_and_the_other_waits(tmp_path: Path) -> None:
    """The second gets it when the first leaves, at once."""
    async with desk(tmp_path) as (here, api):
        first, second = Lease(api, "first"), Lease(api, "second")
        began = asyncio.Event()

        async def work() -> None:
            async with second.held():
                began.set()

        async with first.held():
            waiting = asyncio.create_task(work())
            await until(lambda: here.asked.count("GET leases") > 10)
            assert not began.is_set()
            assert here.kind("leases")["launcher"]["spec"]["holderIdentity"] == "first"
        await asyncio.wait_for(waiting, 20)
        assert began.is_set()


async def test_a_dead_one_is_followed(tmp_path: Path) -> None:
    """A holder that gives no sign is replaced after the time that its Lease says, by our own clock."""
    async with desk(tmp_path) as (here, api):
        async with Lease(api, "dead").held():
            kept = dict(here.kind("leases")["launcher"])
        here.kind("leases")["launcher"] = kept  # as if it had been killed: not given back
        now = [0.0]
        heir = Lease(api, "heir", lambda: now[0])
        assert not await heir._turn()
        now[0] = 14.9
        assert not await heir._turn()
        now[0] = 15.1
        assert await heir._turn()
        assert here.kind("leases")["launcher"]["spec"]["holderIdentity"] == "heir"


async def test_a_cluster_that_is_away_ends_the_work(tmp_path: Path) -> None:
    """Who cannot renew stops by itself; one that can goes on."""
    async with desk(tmp_path) as (here, api):
        mine = Lease(api, "mine")
        async with mine.held():
            losing = asyncio.create_task(mine.lost())
            await until(lambda: here.asked.count("PUT leases") > 5)
            assert not losing.done()
            here.refuse["*", "*"] = (500, "etcd is away")
            await asyncio.wait_for(losing, 20)


async def test_a_thief_ends_the_work(tmp_path: Path) -> None:
    """A Lease that somebody else has written over is lost at once."""
    async with desk(tmp_path) as (here, api):
        mine = Lease(api, "mine")
        async with mine.held():
            losing = asyncio.create_task(mine.lost())
            taken = here.kind("leases")["launcher"]
            taken["spec"] = {**taken["spec"], "holderIdentity": "thief"}
            taken["metadata"]["resourceVersion"] = "999999"
            await asyncio.wait_for(losing, 20)
        assert here.kind("leases")["launcher"]["spec"]["holderIdentity"] == "thief"
