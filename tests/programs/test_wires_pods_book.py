"""What do the gateway's wires know of pods, who counts no more, and how many connections has one?"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import BackendError, RefusedError, SandboxError, UnreachableError
from jupyter_sandbox_spawner.rules.pod_doors import DOORS, Room
from jupyter_sandbox_spawner.rules.wires import Shown, digest, judge_key, judge_ticket
from jupyter_sandbox_spawner.wires import app
from jupyter_sandbox_spawner.wires.counts import Counts
from jupyter_sandbox_spawner.wires.listener import open_unix
from jupyter_sandbox_spawner.wires.pod_book import PodBook
from jupyter_sandbox_spawner.wires.pod_connections import PodConnections
from jupyter_sandbox_spawner.wires.pods import Pods

pytestmark = pytest.mark.asyncio
Control = Callable[[str, bool], None]
A, B, C = ("sb-" + letter * 20 for letter in "abc")
DAY = 86_400.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where doors and records are."""
    (tmp_path / "doors").mkdir()
    return tmp_path


@pytest.fixture
def book(place: Path) -> Iterator[PodBook]:
    """An empty book."""
    made = PodBook(str(place / "pods"))
    yield made
    made.close()


@pytest.fixture
async def pods(book: PodBook, place: Path) -> Pods:
    """Three pods at addresses of their own, each with doors and a key that its ticket has bought."""
    made = Pods(book, str(place / "doors"), Room(nameless=10, carried=100))
    for number, name in enumerate((A, B, C)):
        (place / "doors" / name).mkdir()
        await made.register(name, digest("ticket" + name))
        await made.address(name, f"10.0.0.{number}")
        record = book.get(name)
        await book.save(
            name, judge_ticket(record, Shown(name, "ticket" + name), digest("key"), f"10.0.0.{number}")
        )
    return made


def let_in(book: PodBook, name: str, address: str) -> bool:
    """Does the key of a pod count from its address?"""
    try:
        judge_key(book.get(name), Shown(name, "key"), address)
    except SandboxError:
        return False
    return True


def full(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOSPC) -> None:
    """No file can be made any more."""

    def refuse(path: str, flags: int, mode: int = 0) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return real(path, flags, mode)

    real = os.open
    monkeypatch.setattr(os, "open", refuse)


async def test_an_id_that_was_forgotten_is_nobodys_again(pods: Pods, book: PodBook, control: Control) -> None:
    """With another ticket or the same one, also after a restart, while its doors are there."""
    await pods.forget(A)
    for ticket in ("another", "ticket" + A):
        with pytest.raises(RefusedError) as caught:
            await pods.register(A, digest(ticket))
        assert caught.value.code == "pods.differs"
    again = PodBook(str(book._path))
    with pytest.raises(RefusedError):
        await Pods(again, "/nowhere", Room(1, 1)).register(A, digest("another"))
    again.close()
    assert A not in pods.inventory()
    new = "sb-" + "d" * 20
    await pods.register(new, digest("x"))
    control("a new id is taken", new in pods.inventory())


async def test_a_forgotten_id_may_go_when_its_doors_are_gone(pods: Pods, book: PodBook, place: Path) -> None:
    """A minute after the doors nothing of it is left; while they are there it stays."""
    await pods.forget(A)
    await pods.sweep(0)
    await pods.sweep(1000)
    assert book.gone == {A}
    (place / "doors" / A).rmdir()
    await pods.sweep(2000)
    assert book.gone == {A}
    await pods.sweep(2060)
    assert book.gone == frozenset()
    assert sorted(item.name for item in (place / "pods").iterdir()) == [f"{B}.json", f"{C}.json"]


async def test_pods_without_doors_are_known_for_a_day(pods: Pods, book: PodBook, place: Path) -> None:
    """Whoever undoes a quarantine finds the pod as it was, hours later; what nobody ends goes after a day."""
    for name in (A, B):
        (place / "doors" / name).rmdir()
    await pods.sweep(0)
    await pods.sweep(DAY / 2)
    assert set(book) == {A, B, C}
    (place / "doors" / B).mkdir()
    await pods.sweep(DAY / 2 + 1)
    (place / "doors" / B).rmdir()
    await pods.sweep(DAY)
    assert set(book) == {B, C}


async def test_the_older_pod_at_an_address_is_over(pods: Pods, book: PodBook, control: Control) -> None:
    """An address is told of another pod: the one that had it is forgotten, with its key."""
    control("its key counts before", let_in(book, A, "10.0.0.0"))
    name = "sb-" + "d" * 20
    await pods.register(name, digest("t"))
    await pods.address(name, "10.0.0.0")
    assert not let_in(book, A, "10.0.0.0")
    assert set(pods.inventory()) == {B, C, name}
    control("others keep theirs", let_in(book, B, "10.0.0.1"))


async def test_a_suspended_pod_comes_back_as_it_was(pods: Pods, book: PodBook, control: Control) -> None:
    """Its key is told to ask again, across a restart, until it is resumed; then the same key counts."""
    control("its key counts before", let_in(book, A, "10.0.0.0"))
    await pods.suspend(A)
    again = PodBook(str(book._path))
    for known in (book, again):
        with pytest.raises(UnreachableError) as caught:
            judge_key(known.get(A), Shown(A, "key"), "10.0.0.0")
        assert caught.value.code == "pods.suspended"
    again.close()
    assert pods.inventory()[A]["suspended"]
    await pods.resume(A)
    assert let_in(book, A, "10.0.0.0")
    for name in ("sb-" + "z" * 20, "../x"):
        await pods.suspend(name)
        await pods.resume(name)
    assert set(pods.inventory()) == {A, B, C}


@pytest.mark.parametrize("verb", ["suspend", "forget"])
async def test_a_pod_is_shut_out_although_the_disk_is_full(
    pods: Pods, book: PodBook, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Its connections end and its key counts no more before anything is written; the caller is told to try
    again, and then it is on disk."""
    carrying = asyncio.create_task(hold(pods, A))
    await asyncio.sleep(0)
    with monkeypatch.context() as broken:
        full(broken)
        with pytest.raises(BackendError) as caught:
            await getattr(pods, verb)(A)
        assert (caught.value.code, caught.value.status) == ("wires.disk_full", 503)
        assert carrying.done()
        assert not let_in(book, A, "10.0.0.0")
    await getattr(pods, verb)(A)
    again = PodBook(str(book._path))
    assert not let_in(again, A, "10.0.0.0")
    again.close()


async def hold(pods: Pods, name: str) -> None:
    """Carry a connection of a pod until cancelled."""
    with pods._held(name, "boot"):
        await asyncio.Event().wait()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
async def test_a_record_that_cannot_be_written_has_a_remedy(
    pods: Pods, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The hub reads that the volume is full and what to do; nothing of the new pod counts."""
    full(monkeypatch, number)
    with pytest.raises(BackendError) as caught:
        await pods.register("sb-" + "d" * 20, digest("x"))
    assert caught.value.code == "wires.disk_full"
    assert "df -h" in caught.value.remedy
    assert len(pods) == 3


async def test_a_sweep_that_fails_ends_nothing(
    pods: Pods, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a descriptor, or with a sick disk, a look is left out with a word, and the next one is made."""
    looks = asyncio.Semaphore(0)
    failures: list[Exception] = [OSError(errno.EMFILE, "Too many open files"), BackendError("sick")]

    async def sweep(_: float) -> None:
        looks.release()
        if failures:
            raise failures.pop()

    monkeypatch.setattr(app, "_SWEEP", 0.01)
    monkeypatch.setattr(pods, "sweep", sweep)
    counts = Counts(asyncio.get_running_loop().time)
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), str(place / "g.sock"))
    sweeping = asyncio.create_task(app._keep_sweeping(pods, str(place / "g.sock"), counts))
    for _ in range(4):
        await asyncio.wait_for(looks.acquire(), 20)
    assert not sweeping.done()
    assert "were not looked for" in caplog.text
    sweeping.cancel()
    server.close()


async def test_no_descriptor_is_no_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no socket can be made nobody is connected, and nothing breaks."""

    def none(*_: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("jupyter_sandbox_spawner.wires.listener.socket.socket", none)
    assert open_unix("/tmp/x.sock") is None


async def test_a_door_has_a_cap_and_a_pod_its_share(control: Control) -> None:
    """Over the cap of a door, and over its share while others need the room, one is refused."""
    connections = PodConnections(Room(nameless=1, carried=40))

    async def carry(name: str, door: str) -> None:
        with connections.hold(name, door):
            await asyncio.Event().wait()

    carrying = [asyncio.create_task(carry(A, "boot")) for _ in range(DOORS["boot"])]
    await asyncio.sleep(0)
    refusals = []
    for door, others in (("boot", 0), ("egress", 20)):
        carrying += [asyncio.create_task(carry(B, "egress")) for _ in range(others)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as caught:
            connections.check(A, door, 4)
        refusals.append((caught.value.code, caught.value.status))
    assert refusals == [("pods.too_many", 429)] * 2
    connections.check(C, "egress", 4)
    control("who has none gets one", connections.of(C) == 0)
    await connections.end(A)
    await connections.end(B)
    assert all(task.done() for task in carrying)
