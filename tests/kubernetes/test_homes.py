"""Do users of a cluster get homes and uids of their own, and keep them?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.api import Cluster
from jupyter_sandbox_spawner.errors import BackendError, ConfigurationError, IsolationError
from jupyter_sandbox_spawner.launcher.claims import ClaimedHomes

from .premises_desk import Desk, desk


def homes(here: Desk, api: Any) -> ClaimedHomes:
    """The registry of a launcher that was started now."""
    return ClaimedHomes(api, here.cluster, 10_000, 1000)


@asynccontextmanager
async def insistent(kubeconfig: str) -> AsyncIterator[Cluster]:
    """A client that asks again where nobody answers."""
    api = Cluster("pods", kubeconfig, insist=5.0)
    try:
        yield api
    finally:
        await api.close()


def size_of(here: Desk, home: str) -> str:
    """What a claim asks for."""
    return str(here.kind("persistentvolumeclaims")[home]["spec"]["resources"]["requests"]["storage"])


async def test_a_place_is_kept(tmp_path: Path) -> None:
    """The first asking makes a claim; later ones, also of a new launcher, find it; zones share the uid."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        assert await users.find("alice") is None
        alice, bob = await users.place("alice"), await users.place("bob")
        assert (alice.host_uid, bob.host_uid) == (10_001, 10_002)
        assert await homes(here, api).place("alice") == alice
        secret = await users.place("alice", "pii")
        assert secret.host_uid == alice.host_uid
        assert secret.home != alice.home
        assert await users.find("alice", "pii") == secret
        assert {place.user for place in await users.everybody()} == {"alice", "bob"}
        assert len(here.kind("persistentvolumeclaims")) == 3


@pytest.mark.proves("O06")
async def test_a_deleted_users_home_is_nobodys(tmp_path: Path) -> None:
    """It stays, marked; a new user of the name gets another claim and another uid."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        old = await users.place("alice")
        assert await users.retire("alice")
        assert not await users.retire("alice")
        assert await users.find("alice") is None
        new = await users.place("alice")
        assert new.host_uid != old.host_uid
        assert new.home != old.home
        assert [(item.kind, item.name, item.user) for item in await users.strays()] == [
            ("home", old.home, "alice")
        ]


async def test_at_one_moment(tmp_path: Path) -> None:
    """Many who come at once get uids of their own, and one user two times the same."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        names = ["alice", "bob", "alice", "carol", "bob"]
        found = await asyncio.gather(*(users.place(name) for name in names))
        assert len({place.host_uid for place in found}) == 3
        assert found[0] == found[2]


async def test_two_launchers_take_one_uid(tmp_path: Path) -> None:
    """Where another launcher gave the same uid at the same moment, it is given back for another."""
    async with desk(tmp_path) as (here, api):
        users, other = homes(here, api), homes(here, api)
        theirs = await other.place("bob")
        rival = here.kind("persistentvolumeclaims").pop(theirs.home)

        def appear(_: Any) -> None:
            here.kind("persistentvolumeclaims")[theirs.home] = rival

        create = api.create

        async def and_rival(kind: Any, manifest: Any) -> Any:
            appear(None)
            return await create(kind, manifest)

        api.create = and_rival
        assert (await users.place("alice")).host_uid == theirs.host_uid + 1
        assert len(here.kind("persistentvolumeclaims")) == 2


async def test_a_home_grows(tmp_path: Path) -> None:
    """To what the profile promises, never smaller; where the cluster will not, the start is refused."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")
        (claim,) = here.kind("persistentvolumeclaims").values()
        claim["spec"]["volumeName"] = "pv-1"
        await users.prepare(place, 20 << 30)
        (claim,) = here.kind("persistentvolumeclaims").values()
        assert claim["spec"]["resources"]["requests"]["storage"] == str(20 << 30)
        await users.prepare(place, 1 << 30)
        await users.prepare(place, None)
        assert claim["spec"]["resources"]["requests"]["storage"] == str(20 << 30)
        here.refuse["PATCH", "persistentvolumeclaims"] = (
            403,
            "only dynamically provisioned pvc can be resized",
        )
        with pytest.raises(IsolationError) as refused:
            await users.prepare(place, 30 << 30)
        assert refused.value.code == "home.not_grown"


async def test_a_home_without_a_volume_is_made_anew(tmp_path: Path) -> None:
    """No cluster lets an unbound claim grow, and it holds nothing; the user keeps name and uid."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")
        here.refuse["PATCH", "persistentvolumeclaims"] = (422, "spec is immutable after creation")
        await users.prepare(place, 20 << 30)
        (claim,) = here.kind("persistentvolumeclaims").values()
        assert claim["spec"]["resources"]["requests"]["storage"] == str(20 << 30)
        assert await users.find("alice") == place


async def test_a_claim_that_never_got_a_volume_goes(tmp_path: Path) -> None:
    """It would wait for the storage class of its day; one that has a volume, or is used, stays."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        bound, unbound = await users.place("alice"), await users.place("bob")
        here.kind("persistentvolumeclaims")[bound.home]["spec"]["volumeName"] = "pv-1"

        async def used() -> set[str]:
            return {unbound.home}

        await users.release(unbound.home)  # whoever asked for it may be on the way
        with users.starting(unbound.home):
            await users.release(unbound.home)
        await users.release(unbound.home, used)
        await users.release(bound.home)
        assert set(here.kind("persistentvolumeclaims")) == {bound.home, unbound.home}
        await users.release(unbound.home)
        await users.release(unbound.home)
        assert set(here.kind("persistentvolumeclaims")) == {bound.home}


@pytest.mark.proves("O06")
async def test_a_claim_that_gets_a_volume_meanwhile_stays(tmp_path: Path) -> None:
    """While its release waits for its turn, and between its last look and the deletion."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")
        async with users._turn:
            release = asyncio.create_task(users.release(place.home))
            await asyncio.sleep(0)
            await api.patch("persistentvolumeclaims", place.home, {"spec": {"volumeName": "pv-1"}})
        await release
        assert set(here.kind("persistentvolumeclaims")) == {place.home}
        late = await users.place("bob")

        async def used() -> set[str]:
            await api.patch("persistentvolumeclaims", late.home, {"spec": {"volumeName": "pv-2"}})
            return set()

        await users.release(late.home, used)
        assert set(here.kind("persistentvolumeclaims")) == {place.home, late.home}


async def test_a_claim_that_could_not_go_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster was away when it was to go; one that a start has, or that has a volume, is not due."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        alice, bob = await users.place("alice"), await users.place("bob")
        here.kind("persistentvolumeclaims")[bob.home]["spec"]["volumeName"] = "pv-1"
        await users.retire((await users.place("carol")).user)
        here.kind("persistentvolumeclaims")["broken"] = broken = json.loads(
            json.dumps(here.kind("persistentvolumeclaims")[alice.home])
        )
        broken["metadata"].update(name="broken", annotations={})
        users = homes(here, api)
        assert await users.mounted() == set()  # whoever asked an earlier launcher for it may be on the way
        with monkeypatch.context() as later:
            later.setattr("jupyter_sandbox_spawner.launcher.due_claims._START_TIME", 0.0)
            assert await users.mounted() == {alice.home}  # a launcher that was started now looks at all
        del here.kind("persistentvolumeclaims")["broken"]
        for _ in range(2):  # the start that asked, and the one that may have
            with users.starting(alice.home):
                pass
        here.refuse["DELETE", "persistentvolumeclaims"] = (500, "not now")
        await users.release(alice.home)
        assert await users.mounted() == {alice.home}
        assert await users.place("alice") == alice
        assert await users.mounted() == set()  # a start that asked for it is on its way
        with users.starting(alice.home):
            pass
        assert await users.mounted() == {alice.home}
        with users.starting(alice.home):
            assert await users.mounted() == set()
        here.refuse.clear()
        await users.release(alice.home)
        assert alice.home not in here.kind("persistentvolumeclaims")
        before = len(here.asked)
        assert await users.mounted() == set()
        assert len(here.asked) == before


async def test_a_claim_of_a_start_that_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sandbox was made, so nobody gives it back: it is due once no start can be on its way any more."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        assert await users.mounted() == set()
        place = await users.place("alice")
        assert await users.mounted() == set()
        monkeypatch.setattr("jupyter_sandbox_spawner.launcher.due_claims._START_TIME", 0.0)
        assert await users.mounted() == {place.home}
        await users.release(place.home)
        assert await users.mounted() == set()
        assert not here.kind("persistentvolumeclaims")


async def test_a_claim_that_another_start_asked_for_stays(tmp_path: Path) -> None:
    """Each start that comes gives back for itself alone, also where the cluster was away in between."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")
        assert await users.place("alice") == place
        with users.starting(place.home):
            pass
        await users.release(place.home)
        assert set(here.kind("persistentvolumeclaims")) == {place.home}
        here.refuse["GET", "persistentvolumeclaims"] = (500, "not now")
        await users.release(place.home)
        here.refuse.clear()
        assert await users.mounted() == set()
        with users.starting(place.home):
            pass
        await users.release(place.home)
        assert not here.kind("persistentvolumeclaims")


@pytest.mark.proves("O06")
async def test_a_claim_that_is_due_and_gets_a_volume_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gave it one may have files there by now."""
    monkeypatch.setattr("jupyter_sandbox_spawner.launcher.due_claims._START_TIME", 0.0)
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")
        users = homes(here, api)
        assert await users.mounted() == {place.home}
        await api.patch("persistentvolumeclaims", place.home, {"spec": {"volumeName": "pv-1"}})
        await users.release(place.home)
        assert await users.mounted() == set()
        assert set(here.kind("persistentvolumeclaims")) == {place.home}


async def test_a_start_that_comes_while_a_claim_goes_waits_for_it(tmp_path: Path) -> None:
    """It is told that the home is gone, or keeps it: never a pod whose claim is deleted under it."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")
        begun: list[asyncio.Task[None]] = []

        async def start() -> None:
            with users.starting(place.home):
                await users.prepare(place, None)

        async def used() -> set[str]:
            begun.append(asyncio.create_task(start()))
            await asyncio.sleep(0)
            return set()

        await users.release(place.home, used)
        await begun[0]
        assert set(here.kind("persistentvolumeclaims")) == {place.home}
        await users.release(place.home)
        assert not here.kind("persistentvolumeclaims")


async def test_a_home_that_another_server_waits_for_is_not_made_anew(tmp_path: Path) -> None:
    """Its pod would lose the claim under its feet; once nobody waits it is made anew."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")
        before = here.kind("persistentvolumeclaims")[place.home]["metadata"]["uid"]

        async def used() -> set[str]:
            return {place.home}

        both = (users.starting(place.home), users.starting(place.home))
        with both[0], both[1], pytest.raises(IsolationError) as refused:
            await users.prepare(place, 20 << 30)
        assert refused.value.code == "home.being_made"
        with users.starting(place.home), pytest.raises(IsolationError, match="Another of your servers"):
            await users.prepare(place, 20 << 30, used)
        assert here.kind("persistentvolumeclaims")[place.home]["metadata"]["uid"] == before
        with users.starting(place.home):
            await users.prepare(place, 20 << 30)
        assert here.kind("persistentvolumeclaims")[place.home]["metadata"]["uid"] != before


async def test_a_home_that_gets_its_volume_while_it_is_made_larger_grows(tmp_path: Path) -> None:
    """The claim that was read as empty has files by now: it is not deleted."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")

        async def used() -> set[str]:
            await api.patch("persistentvolumeclaims", place.home, {"spec": {"volumeName": "pv-1"}})
            return set()

        await users.prepare(place, 20 << 30, used)
        (claim,) = here.kind("persistentvolumeclaims").values()
        assert claim["spec"]["volumeName"] == "pv-1"
        assert claim["spec"]["resources"]["requests"]["storage"] == str(20 << 30)


async def test_a_home_whose_deletion_was_not_heard_is_made_anew(tmp_path: Path) -> None:
    """The answer was lost, or it is still on its way out: no start goes on with a claim that goes."""
    async with (
        desk(tmp_path) as (here, api),
        insistent(str(tmp_path / "kubeconfig")) as stubborn,
    ):
        users = homes(here, stubborn)
        place = await users.place("alice")
        here.lost.append(("DELETE", "persistentvolumeclaims", "done"))
        await users.prepare(place, 20 << 30)
        assert not here.lost
        assert size_of(here, place.home) == str(20 << 30)
        create = stubborn.create

        async def used() -> set[str]:
            await api.patch("persistentvolumeclaims", place.home, {"metadata": {"deletionTimestamp": "now"}})
            here.refuse["PATCH", "persistentvolumeclaims"] = (422, "spec is immutable after creation")
            return set()

        async def until_it_is_gone(kind: Any, manifest: Any) -> Any:
            try:
                return await create(kind, manifest)
            except BackendError:
                await here.drop(kind, place.home)
                raise

        stubborn.create = until_it_is_gone  # type: ignore[method-assign]
        await users.prepare(place, 30 << 30, used)
        assert size_of(here, place.home) == str(30 << 30)
        assert "deletionTimestamp" not in here.kind("persistentvolumeclaims")[place.home]["metadata"]


async def test_a_home_that_goes_or_is_another_while_it_grows_is_told(tmp_path: Path) -> None:
    """No pod waits for a claim that is not there, or has less than was promised."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        place = await users.place("alice")

        async def used() -> set[str]:
            known = here.kind("persistentvolumeclaims")[place.home]
            known["metadata"]["uid"] = "another's"
            return set()

        with pytest.raises(IsolationError) as small:
            await users.prepare(place, 20 << 30, used)
        assert small.value.code == "home.not_grown"
        here.kind("persistentvolumeclaims")[place.home]["spec"]["volumeName"] = "pv-1"
        patch = api.patch

        async def too_late(kind: Any, name: str, change: Any) -> Any:
            await here.drop(kind, name)
            return await patch(kind, name, change)

        api.patch = too_late  # type: ignore[method-assign]
        with pytest.raises(ConfigurationError, match="Start the server again") as gone:
            await users.prepare(place, 20 << 30)
        assert gone.value.code == "users.home_foreign"


async def test_bad_input(tmp_path: Path) -> None:
    """A name that is no name, and a zone that nobody knows, make nothing."""
    async with desk(tmp_path) as (here, api):
        users = homes(here, api)
        for user, zone in (("Alice", ""), ("../x", ""), ("alice", "nowhere")):
            with pytest.raises(ConfigurationError):
                await users.place(user, zone)
        assert here.kind("persistentvolumeclaims") == {}
