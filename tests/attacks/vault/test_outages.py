"""What does everybody notice while Vault hangs, is sealed or away? Check 12: a sentence, soon, and a quick hub."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hub_config.demo.visitor import Refusal, Visitor
from tests.attacks.vault.place import VaultPlace

Control = Callable[[str, bool], None]
MANY = 50
SOON = 10.0  # seconds: the promise of a start that must fail
QUICK = 0.2  # seconds: the promise of the hub's p99
READ = "import jupyter_sandbox; print(jupyter_sandbox.secrets('warehouse/reader'))"
ONE_SENTENCE = "The profile 'needy' starts no server without warehouse/reader."


@dataclass
class Waiting:
    """How long each start took to fail and what it said; how long the hub took meanwhile, in seconds."""

    starts: list[tuple[float, str]] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    api: list[float] = field(default_factory=list)

    def told(self) -> str:
        """For people."""
        slowest = max(seconds for seconds, _ in self.starts)
        return f"{len(self.starts)} starts, the slowest {slowest:.1f} s; hub: health {_line(self.health)}, api {_line(self.api)}"


def _line(times: Sequence[float]) -> str:
    return f"p50 {1000 * statistics.median(times):.0f} ms, p99 {1000 * _p99(times):.0f} ms of {len(times)}"


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


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


async def _start(admin: Visitor, name: str, waiting: Waiting) -> None:
    begun = time.monotonic()
    said = "it started"
    try:
        await admin.call("POST", admin.hub(f"api/users/{name}/server"), {"profile": "needy"})
        async for event in _progress(admin, name):
            said = str(event.get("message"))
    except Refusal as refusal:
        said = refusal.reason
    waiting.starts.append((time.monotonic() - begun, said))


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


async def _measure(admin: Visitor, path: str, times: list[float], done: asyncio.Event) -> None:
    while not done.is_set():
        begun = time.monotonic()
        async with admin.session.get(admin.hub(path)) as answer:
            await answer.read()
            assert answer.status == 200
        times.append(time.monotonic() - begun)
        await asyncio.sleep(0.02)


async def _storm(admin: Visitor, names: Sequence[str]) -> Waiting:
    waiting, done = Waiting(), asyncio.Event()
    measures = [
        asyncio.create_task(_measure(admin, "health", waiting.health, done)),
        asyncio.create_task(_measure(admin, "api/", waiting.api, done)),
    ]
    await asyncio.gather(*(_start(admin, name, waiting) for name in names))
    done.set()
    await asyncio.gather(*measures)
    return waiting


@pytest.mark.parametrize("fault", ["hang", "refuse", "reset", "seal"])
@pytest.mark.proves("S12")
def test_fifty_starts_fail_soon(place: VaultPlace, crowd: list[str], fault: str, control: Control) -> None:
    admin = place.house.visitor("admin")
    if fault == "seal":
        place.server.seal()
    else:
        getattr(place.way, fault)()
    try:
        waiting = place.house.wait(_storm(admin, crowd))
    finally:
        if fault == "seal":
            place.server.unseal()
    print(fault, waiting.told())
    print({said for _, said in waiting.starts})
    assert 0
