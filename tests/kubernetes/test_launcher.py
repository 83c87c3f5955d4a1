"""Does the launcher program serve a cluster: a user's place, a start, an end, and one launcher at a time?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.clients import unix_http
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.errors import AnswerError, BackendError, UnreachableError
from jupyter_sandbox_spawner.launcher import lease
from jupyter_sandbox_spawner.launcher.app import run_launcher
from jupyter_sandbox_spawner.launcher.claims import ClaimedHomes
from jupyter_sandbox_spawner.models import Doors, Mount, Resources, SandboxSpec, UserPlace
from jupyter_sandbox_spawner.settings import Site

from .premises_desk import Desk, desk

ID = "sb-" + "a" * 20


@asynccontextmanager
async def launcher(site: Site) -> AsyncIterator[tuple[LauncherClient, asyncio.Task[None]]]:
    """The program, and a client that answers once it serves."""
    running = asyncio.create_task(run_launcher(site))
    async with LauncherClient(site.launcher_socket) as client:
        try:
            yield client, running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, BackendError):
                await running


async def answers(client: LauncherClient, running: asyncio.Task[None]) -> None:
    """It serves now."""
    while True:
        assert not running.done(), running.exception()
        try:
            await client.inventory()
        except UnreachableError:
            await asyncio.sleep(0.05)
        else:
            return


@asynccontextmanager
async def cluster(monkeypatch: pytest.MonkeyPatch, closed: bool = True) -> AsyncIterator[Desk]:
    """A pretended cluster that launchers find by KUBECONFIG."""
    with tempfile.TemporaryDirectory(prefix="jss", dir="/tmp") as directory:
        async with desk(
            Path(directory), gpu_resource={"a100": "nvidia.com/gpu"}, gpu_counts={"a100": 1}
        ) as found:
            monkeypatch.setenv("KUBECONFIG", f"{directory}/kubeconfig")
            monkeypatch.setattr(lease, "RENEW", 0.1)
            here = found[0]
            here.site = replace(here.site, uid_base=10_000, uid_count=1000)
            if closed:
                here.close()
            yield here
            await here.drop_watches()


def spec(site: Site, place: UserPlace, **changes: Any) -> SandboxSpec:
    """A sandbox of this user's."""
    return replace(
        SandboxSpec(
            id=ID,
            user=place.user,
            server="",
            profile="small",
            profile_digest="0",
            environment_name="default",
            host_uid=place.host_uid,
            door_uid=site.carrier_uid,
            resources=Resources(cpu=1.0, memory=1 << 30),
            mounts=(Mount(kind="home", source=place.home, target="/home/jovyan", read_only=False),),
        ),
        **changes,
    )


def give_volume(here: Any, place: UserPlace) -> None:
    """As a cluster does for a claim that is used; one without a volume goes with its start."""
    here.kind("persistentvolumeclaims")[place.home]["spec"]["volumeName"] = "pv-1"


async def test_a_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place, a proof, a pod with the user's own claim and uid, its address, an end, and nothing left."""
    async with cluster(monkeypatch) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        place = await client.place("alice")
        give_volume(here, place)
        doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
        asked = spec(here.site, place, gpu_devices=("a100/1",))
        await client.create(asked, doors, {"spec": {"nodeSelector": {"pool": "users"}}})
        status = await client.start(ID)
        assert (status.value, status.address) == ("running", "10.9.8.7")
        pod = here.kind("pods")[ID]
        assert pod["spec"]["nodeSelector"] == {"pool": "users"}
        limits = next(item for item in pod["spec"]["containers"])["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == "1"
        claims = [
            item["persistentVolumeClaim"]["claimName"]
            for item in pod["spec"]["volumes"]
            if len(item) == 2 and "persistentVolumeClaim" in item
        ]
        assert claims == [place.home]
        other = spec(here.site, place, id="sb-" + "b" * 20, gpu_devices=("a100/1",))
        with pytest.raises(AnswerError) as refused:
            await client.create(other, replace(doors, directory=f"{here.site.doors_dir}/{other.id}"))
        assert refused.value.code == "launcher.gpu_taken"
        await client.stop(ID, 0)
        await client.remove(ID)
        left = {name: sorted(things) for name, things in here.objects.items() if things}
        assert left == {
            "leases": ["launcher"],
            "networkpolicies": ["closed"],
            "persistentvolumeclaims": [place.home],
        }


@pytest.mark.proves("E21")
async def test_an_address_before_it_runs(
    monkeypatch: pytest.MonkeyPatch, control: Callable[[str, bool], None]
) -> None:
    """It is told while the program is still on its way, and not for a node that is open."""
    async with cluster(monkeypatch) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        place = await client.place("alice")
        give_volume(here, place)
        here.waits = {ID}
        doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
        await client.create(spec(here.site, place), doors)
        assert await client.address(ID, 0) == ""
        starting = asyncio.create_task(client.start(ID))
        asking = asyncio.create_task(client.address(ID, 30))
        async with here._news:
            await here._news.wait_for(lambda: ID in here.kind("pods"))
        here.kind("pods")[ID]["spec"]["nodeName"] = "n1"
        await here.set_status(ID, podIP="10.9.8.7")
        control("of a node that is closed it is told", await asking == "10.9.8.7" and not starting.done())
        here.kind("pods")[ID]["spec"]["nodeName"] = "n2"
        here.network = {"the cluster's API": "ok"}
        with pytest.raises(AnswerError) as refused:
            await client.address(ID, 30)
        assert refused.value.code == "isolation.unproved"
        await client.stop(ID, 0)
        with pytest.raises(AnswerError):
            await starting


async def test_why_a_start_failed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the home cannot be given back afterwards, since the cluster answers nothing any more."""
    async with cluster(monkeypatch) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        place = await client.place("alice")
        find, asked = ClaimedHomes.find, [0]

        async def once(self: ClaimedHomes, user: str, zone: str = "") -> UserPlace | None:
            asked[0] += 1
            if asked[0] > 1:
                raise BackendError("The cluster is away.", code="kubernetes.unreachable")
            return await find(self, user, zone)

        monkeypatch.setattr(ClaimedHomes, "find", once)
        here.refuse["POST", "secrets"] = (500, "first of all")
        doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
        with pytest.raises(AnswerError) as refused:
            await client.create(spec(here.site, place), doors)
        assert asked == [2]
        assert refused.value.code == "kubernetes.busy"


@pytest.mark.parametrize("question", ["GET", "DELETE"])
async def test_a_claim_that_could_not_be_given_back_goes_later(
    monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    """Nobody answers when its sandbox was removed: the regular look at leftovers finds and clears it."""
    async with cluster(monkeypatch) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        bob, place = await client.place("bob"), await client.place("alice")
        give_volume(here, bob)
        doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
        await client.create(spec(here.site, place), doors)
        assert await client.leftovers() == ()
        here.refuse[question, "persistentvolumeclaims"] = (403, "not now")
        await client.remove(ID)
        here.refuse.clear()
        assert set(here.kind("persistentvolumeclaims")) == {bob.home, place.home}
        monkeypatch.setattr("jupyter_sandbox_spawner.launcher.due_claims._START_TIME", 0.0)
        (left,) = await client.leftovers()
        assert (left.kind, left.name) == ("home_mount", place.home)
        assert await client.clear(left)
        assert set(here.kind("persistentvolumeclaims")) == {bob.home}
        assert await client.leftovers() == ()


async def test_a_home_that_another_start_asked_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server ends between another's two requests; that one starts all the same, or gives it back."""
    async with cluster(monkeypatch) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        place = await client.place("alice")
        one, other = spec(here.site, place), spec(here.site, place, id="sb-" + "b" * 20, server="b")
        doors = {
            asked.id: Doors(directory=f"{here.site.doors_dir}/{asked.id}", ticket="t" * 43)
            for asked in (one, other)
        }
        await client.create(one, doors[one.id])
        assert await client.place("alice") == place
        await client.remove(one.id)
        assert set(here.kind("persistentvolumeclaims")) == {place.home}
        await client.create(other, doors[other.id])
        await client.remove(other.id)
        assert not here.kind("persistentvolumeclaims")
        with pytest.raises(AnswerError) as refused:
            await client.create(other, doors[other.id])
        assert refused.value.code == "launcher.no_home"
        await client.place("alice")
        here.refuse["POST", "secrets"] = (403, "not now")
        with pytest.raises(AnswerError):
            await client.create(other, doors[other.id])
        assert not here.kind("persistentvolumeclaims")


async def test_a_broken_registry_of_one_user_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leftovers are found and cleared, and the home of the user's own sandbox is none of them."""
    async with cluster(monkeypatch) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        bob, carol = await client.place("bob"), await client.place("carol")
        doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
        await client.create(spec(here.site, bob), doors)
        broken = await client.place("bob", "pii")
        give_volume(here, broken)
        notes = here.kind("persistentvolumeclaims")[broken.home]["metadata"]["annotations"]
        notes[next(name for name in notes if name.endswith("/uid"))] = "10999"
        with pytest.raises(AnswerError, match="several uids"):
            await client.place("bob")
        monkeypatch.setattr("jupyter_sandbox_spawner.launcher.due_claims._START_TIME", 0.0)
        (left,) = await client.leftovers()
        assert (left.kind, left.name) == ("home_mount", carol.home)
        assert await client.clear(left)
        assert set(here.kind("persistentvolumeclaims")) == {bob.home, broken.home}


async def test_a_launcher_that_lost_its_lease_is_asked_again() -> None:
    """Another answers soon: whoever insists on an answer goes on, as with one that does not answer."""
    for code, kind in (("launcher.lease_lost", UnreachableError), ("launcher.disk_full", AnswerError)):
        told: dict[str, Any] = {"code": code, "message": "x"}
        assert type(unix_http._answer_error("launcher", 503, told)) is kind


async def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doors without a ticket, another's uid for the doors, another's claim, a device that there is not."""
    async with cluster(monkeypatch) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        place, bob = await client.place("alice"), await client.place("bob")
        give_volume(here, place)
        doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
        good = spec(here.site, place)
        foreign = replace(good.mounts[0], source=bob.home)
        for asked, by, code in (
            (good, replace(doors, ticket=""), "launcher.ticket"),
            (replace(good, door_uid=None), doors, "launcher.uid_foreign"),
            (replace(good, mounts=(foreign,)), doors, "launcher.mount_foreign"),
            (replace(good, gpu_devices=("a100/2",)), doors, "launcher.gpu_unknown"),
        ):
            with pytest.raises(AnswerError) as refused:
                await client.create(asked, by)
            assert refused.value.code == code
        with pytest.raises(AnswerError) as refused:
            await client.create(good, doors, {"spec": {"hostNetwork": True}})
        assert refused.value.code == "isolation.network"
        assert here.kind("pods") == {}
        assert here.kind("secrets") == {}


@pytest.mark.proves("E21")
async def test_an_open_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no policy closes the namespace nothing starts, and the metric is 0."""
    async with cluster(monkeypatch, closed=False) as here, launcher(here.site) as (client, running):
        await answers(client, running)
        place = await client.place("alice")
        doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
        with pytest.raises(AnswerError) as refused:
            await client.create(spec(here.site, place), doors)
        assert refused.value.code == "isolation.unproved"
        async with client.session().get("/metrics") as answer:
            assert 'isolation_proved{runtime="runc"} 0' in await answer.text()
        here.close()
        await client.canary(again=True)
        async with client.session().get("/metrics") as answer:
            assert 'isolation_proved{runtime="runc"} 1' in await answer.text()


async def test_one_launcher_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second serves as soon as the first has gone, and knows what the first has made."""
    async with cluster(monkeypatch) as here:
        second = replace(here.site, run_dir=f"{here.site.run_dir}/b")
        async with launcher(second) as (heir, waiting), launcher(here.site) as (client, running):
            # Whichever came first works; the other has no socket.
            first, after = await _working((client, running), (heir, waiting))
            place = await first[0].place("alice")
            doors = Doors(directory=f"{here.site.doors_dir}/{ID}", ticket="t" * 43)
            if first[0] is heir:
                doors = replace(doors, directory=f"{second.doors_dir}/{ID}")
            await first[0].create(spec(here.site, place), doors)
            await first[0].start(ID)
            first[1].cancel()
            await answers(*after)
            assert [item.id for item in await after[0].inventory()] == [ID]
            assert await after[0].place("alice") == place


async def _working(*both: tuple[LauncherClient, asyncio.Task[None]]) -> Any:
    """The one that serves, then the one that does not."""
    while True:
        for number, (client, running) in enumerate(both):
            assert not running.done(), running.exception()
            with suppress(UnreachableError):
                await client.inventory()
                other = both[1 - number]
                with pytest.raises(UnreachableError):
                    await other[0].inventory()
                return (client, running), other
        await asyncio.sleep(0.05)
