"""What does anybody notice while Vault hangs, is sealed or away? A sentence, and no slow hub: check 12."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from hub_config.demo.visitor import Refusal, Visitor
from tests.attacks.vault.place import VaultPlace
from tests.support.house import House

Control = Callable[[str, bool], None]
MANY = 50
SOON = 10.0  # seconds: the promise of a start that must fail
PAUSE = 1.0  # seconds between two reads: a sandbox that asks more often is told to wait
QUICK = 0.2  # seconds: the promise of the hub's p99
READ = "%%sandbox secrets use warehouse/reader\nprint('it ran')"
SENTENCES = {
    "hang": "Vault did not answer in time.",
    "refuse": "Vault does not answer: nobody listens at its address.",
    "seal": "Vault is sealed, so it gives nothing to anybody until an operator unseals it.",
}


@contextmanager
def broken(place: VaultPlace, fault: str) -> Iterator[None]:
    """Vault is sealed, or the way to it is broken, for the block."""
    if fault == "seal":
        with place.server.sealed():
            yield
        return
    getattr(place.way, fault)()
    try:
        yield
    finally:
        place.way.pass_on()


@dataclass
class Storm:
    """What each start said, and when (by the clock) the hub was asked and for how many seconds it took."""

    said: list[str] = field(default_factory=list)
    health: list[tuple[float, float]] = field(default_factory=list)
    api: list[tuple[float, float]] = field(default_factory=list)


def during(asked: Sequence[tuple[float, float]], begin: float, end: float) -> list[float]:
    """How long the hub took for what it was asked in this time."""
    return [took for at, took in asked if begin <= at <= end]


def p99(times: Sequence[float]) -> float:
    """Of a hundred, the second slowest."""
    return sorted(times)[int(len(times) * 0.99)]


def line(times: Sequence[float]) -> str:
    """For people."""
    return f"p50 {1000 * statistics.median(times):.0f} ms, p99 {1000 * p99(times):.0f} ms of {len(times)}"


@pytest.fixture(scope="module")
def crowd(place: VaultPlace) -> Iterator[list[str]]:
    """Fifty people whom the admin has entered."""
    admin = place.house.visitor("admin")
    names = [f"person{number:02}" for number in range(MANY)]
    place.house.wait(admin.open(admin.hub("home")))
    place.house.wait(admin.call("POST", admin.hub("api/users"), {"usernames": names}))
    yield names
    for name in names:
        place.house.wait(admin.call("DELETE", admin.hub(f"api/users/{name}")))


async def _start(admin: Visitor, name: str, storm: Storm) -> None:
    said = "it started"
    try:
        await admin.call("POST", admin.hub(f"api/users/{name}/server"), {"profile": "needy"})
        async for event in _progress(admin, name):
            said = str(event.get("message"))
    except Refusal as refusal:
        said = refusal.reason
    storm.said.append(said.removeprefix("Spawn failed: "))


async def _progress(admin: Visitor, name: str) -> AsyncIterator[dict[str, Any]]:
    """What the waiting page of this person is told."""
    url = admin.hub(f"api/users/{name}/server/progress")
    headers = {"X-XSRFToken": admin.xsrf(url), "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    async with admin.session.get(url, headers=headers) as answer:
        if answer.status >= 400:
            raise Refusal(answer.status, await answer.text())
        async for line in answer.content:
            if line.startswith(b"data:"):
                event: dict[str, Any] = json.loads(line[5:])
                yield event
                if event.get("ready") or event.get("failed"):
                    return


async def _ask(admin: Visitor, path: str, asked: list[tuple[float, float]], done: asyncio.Event) -> None:
    while not done.is_set():
        at, begun = time.time(), time.monotonic()
        async with admin.session.get(admin.hub(path)) as answer:
            await answer.read()
            assert answer.status == 200
        asked.append((at, time.monotonic() - begun))
        await asyncio.sleep(0.02)


async def _play(house: House, admin: Visitor, names: Sequence[str]) -> Storm:
    """All start at once; control is held until the hub has sent all of them there: then all wait together."""
    storm, done = Storm(), asyncio.Event()
    asking = [asyncio.create_task(_ask(admin, path, asked, done)) for path, asked in _asked(storm)]
    await asyncio.sleep(3)  # what the hub takes with nothing to do, on this machine as busy as it is
    control = house.programs.pid("control")
    os.kill(control, signal.SIGSTOP)
    try:
        starts = [asyncio.create_task(_start(admin, name, storm)) for name in names]
        await _until_all_wait(admin, names)
    finally:
        os.kill(control, signal.SIGCONT)
    await asyncio.gather(*starts)
    done.set()
    await asyncio.gather(*asking)
    return storm


def _asked(storm: Storm) -> tuple[tuple[str, list[tuple[float, float]]], ...]:
    return ("health", storm.health), ("api/", storm.api)


async def _until_all_wait(admin: Visitor, names: Sequence[str]) -> None:
    """The hub says of all of them that their start is under way."""
    wanted = set(names)
    while True:
        users = await admin.call("GET", admin.hub("api/users?state=active&limit=200"))
        pending = {user["name"] for user in users if user["pending"] == "spawn"}
        if wanted <= pending:
            return
        await asyncio.sleep(0.2)


def _times(house: House, action: str, names: Sequence[str]) -> dict[str, float]:
    """By sandbox, when the audit says that it happened to one of these people."""
    found = house.ask_control(lambda client: client.audit(limit=500))["items"]
    return {
        item["subject"]["sandbox"]: datetime.fromisoformat(item["time"].replace("Z", "+00:00")).timestamp()
        for item in found
        if item["action"] == action and item["subject"]["user"] in names
    }


@pytest.mark.parametrize("fault", SENTENCES)
@pytest.mark.proves("S12")
def test_fifty_starts_fail_soon_and_the_hub_stays_quick(
    place: VaultPlace, crowd: list[str], fault: str, control: Control
) -> None:
    """A start that needs its secret ends within 10 s with one sentence; meanwhile the hub is quick."""
    house, admin = place.house, place.house.visitor("admin")
    before = set(_times(house, "admission", crowd))
    with broken(place, fault):
        begun = time.time()
        storm = house.wait(_play(house, admin, crowd), 200)
    admitted = {key: at for key, at in _times(house, "admission", crowd).items() if key not in before}
    released = _times(house, "sandbox.released", crowd)
    waits = [released[sandbox] - at for sandbox, at in admitted.items()]
    print(f"{fault}: {len(waits)} starts waited for Vault {min(waits):.1f} to {max(waits):.1f} s")
    control("all were admitted", len(waits) == MANY)
    assert max(waits) < SOON
    first = "The profile 'needy' starts no server without warehouse/reader. "
    assert {said[: len(first)] for said in storm.said} == {first}
    assert all(any(words in said for words in SENTENCES.values()) for said in storm.said), storm.said
    assert any(SENTENCES[fault] in said for said in storm.said)
    if fault != "hang":
        return
    idle = during(storm.health, begun, begun + 2.5)
    since, until = max(admitted.values()), min(released[sandbox] for sandbox in admitted)
    health, api = (during(asked, since, until) for asked in (storm.health, storm.api))
    print(f"while {MANY} wait: health {line(health)}; api {line(api)}; before: health {line(idle)}")
    control("they waited together", until - since > 1.0 and len(health) > 20)
    for times in (health, api):
        assert p99(times) < max(QUICK, 3 * p99(idle))


async def _watched_start(admin: Visitor, name: str, control: int) -> list[dict[str, Any]]:
    """What the waiting page is told; control is held until somebody looks, else a quick start is over."""
    await admin.open(admin.hub("home"))
    os.kill(control, signal.SIGSTOP)
    try:
        start = asyncio.create_task(
            admin.call("POST", admin.hub(f"api/users/{name}/server"), {"profile": "small"})
        )
        await _until_all_wait(admin, [name])
        told = []
        async for event in _progress(admin, name):
            os.kill(control, signal.SIGCONT)  # the hub's first one, that a server was asked for, needs nobody
            told.append(event)
    finally:
        os.kill(control, signal.SIGCONT)
    await start
    return told


@pytest.mark.parametrize("fault", SENTENCES)
@pytest.mark.proves("S33")
def test_who_needs_no_secret_starts_with_a_notice(place: VaultPlace, fault: str, control: Control) -> None:
    """The start goes on, says that secrets cannot be read, and a cell can read them when Vault is back."""
    house = place.house
    if house.sandbox("alice") is not None:
        house.stop("alice")
    with broken(place, fault):
        begun = time.monotonic()
        events = house.wait(_watched_start(house.visitor("admin"), "alice", house.programs.pid("control")))
        took = time.monotonic() - begun
        assert any("Secrets cannot be read at present" in str(event.get("message")) for event in events), (
            events
        )
        cell = house.run("alice", READ, 30)
        control("a cell cannot read meanwhile", not cell.ok)
        assert ("vault." in cell.error or "Vault" in cell.error, len(cell.traceback)) == (True, 1)
    print(f"{fault}: the server ran after {took:.1f} s")
    assert took < SOON
    recovered = place.seconds_until(lambda: house.run("alice", READ).ok, 20, PAUSE)
    print(f"{fault}: the helper read again {recovered} s after Vault was back")


@pytest.mark.parametrize("fault", SENTENCES)
def test_a_running_server_waits_it_out(place: VaultPlace, fault: str, control: Control) -> None:
    """Its kernels go on; a read fails within 10 s with one sentence, and works when Vault is back."""
    house = place.house
    house.fresh("alice")
    control("it reads before", house.run("alice", READ).ok)
    with broken(place, fault):
        begun = time.monotonic()
        cell = house.run("alice", READ, 30)
        took = time.monotonic() - begun
        assert not cell.ok
        assert (took < SOON, len(cell.traceback)) == (True, 1)
        listed = house.run("alice", "%sandbox secrets", 30)
        assert "warehouse/reader" in listed.result, listed
        assert house.run("alice", "print(1 + 1)").stdout == "2\n"
    recovered = place.seconds_until(lambda: house.run("alice", READ).ok, 20, PAUSE)
    print(f"{fault}: the read failed after {took:.1f} s and worked {recovered} s after Vault was back")
