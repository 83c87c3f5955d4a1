"""Does one launcher work and the other wait, whatever happens to the first?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.api import Cluster
from jupyter_sandbox_spawner.errors import BackendError
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


async def test_one_that_forgets_a_cancellation(tmp_path: Path) -> None:
    """As wait_for before Python 3.12, where an answer comes in that moment: the Lease is given back."""

    class Forgetful(Lease):
        async def _keep(self) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            await asyncio.sleep(3600)

    async def hold() -> None:
        async with Forgetful(api, "one").held():
            await asyncio.sleep(0)

    async with desk(tmp_path) as (here, api):
        await asyncio.wait_for(hold(), 20)
        assert not here.kind("leases")["launcher"]["spec"].get("holderIdentity")


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


async def test_nothing_is_changed_without_it(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """From the moment it may be another's nothing is written, whatever still runs on; looking is free."""
    async with desk(tmp_path) as (here, api):
        now = [100.0]
        mine = Lease(api, "mine", lambda: now[0])
        assert await mine._turn()
        writer = Cluster("pods", str(tmp_path / "kubeconfig"), mine.left)
        secret = {"metadata": {"name": "a", "labels": {}}}
        try:
            await writer.create("secrets", secret)
            control("while it is held", "a" in here.kind("secrets"))
            now[0] += 11.9
            assert 0 < mine.left() < 1
            now[0] += 0.2
            for change in (
                writer.patch("secrets", "a", {}),
                writer.delete("secrets", "a"),
                writer.create("pods", secret),
            ):
                with pytest.raises(BackendError) as refused:
                    await change
                assert refused.value.code == "launcher.lease_lost"
            assert await writer.get("secrets", "a") is not None
            now[0] -= 5
            mine._lost.set()
            assert mine.left() == 0
        finally:
            await writer.close()


async def test_a_change_ends_with_it(tmp_path: Path) -> None:
    """One that is on its way waits no longer than the Lease is surely ours."""
    async with desk(tmp_path) as (here, _):
        here.slow = 60.0
        writer = Cluster("pods", str(tmp_path / "kubeconfig"), lambda: 0.3)
        try:
            with pytest.raises(BackendError) as late:
                await asyncio.wait_for(writer.create("secrets", {"metadata": {"name": "a"}}), 20)
            assert late.value.code == "kubernetes.timeout"
        finally:
            await writer.close()
