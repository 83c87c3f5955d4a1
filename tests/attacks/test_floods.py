"""Can a flood of starts or of denials pass the limits? Attacks Q09 and Q10, by bob and alice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub_config.demo.visitor import Refusal
from tests.support.agreement import until_agreed
from tests.support.house import House

Control = Callable[[str, bool], None]
NAMED_LIMIT = 3


@pytest.mark.proves("Q09")
def test_q09_a_loop_of_starts_ends_at_the_limit(house: House, control: Control) -> None:
    """Of a hundred servers asked for at once only as many as allowed exist; nothing stays of the rest."""
    bob, admin = house.visitor("bob"), house.visitor("admin")

    async def ask(server: str) -> int:
        try:
            await bob.call("POST", bob.hub(f"api/users/bob/servers/{server}"), {"profile": "small"})
        except Refusal as refusal:
            return refusal.status
        return 200

    async def flood() -> list[int]:
        return await asyncio.gather(*(ask(f"n{number}") for number in range(100)))

    async def end() -> int:
        stopped = 0
        for _ in range(300):
            user = await admin.call("GET", admin.hub("api/users/bob"))
            named = {name: found for name, found in user["servers"].items() if name}
            if not named:
                return stopped
            for name, found in named.items():
                if not found["pending"]:
                    await admin.call("DELETE", admin.hub(f"api/users/bob/servers/{name}"), {"remove": True})
                    stopped += 1
            await asyncio.sleep(0.3)
        raise AssertionError(named)

    statuses = house.wait(flood(), 200)
    allowed = [status for status in statuses if status < 400]
    control("servers within the limit start", len(allowed) >= 1)
    assert len(allowed) <= NAMED_LIMIT
    assert {status for status in statuses if status >= 400} <= {400, 403, 429}
    alive = [item for item in house.inventory() if item.user == "bob" and item.server]
    assert len(alive) <= NAMED_LIMIT
    house.wait(end(), 120)
    house.wait(until_agreed(house, admin, 200), 240)


@pytest.mark.proves("Q10", "T21")
def test_q10_a_flood_of_denials_cannot_fill_the_audit(house: House, control: Control) -> None:
    """Thousands of denials become a few lines with a count, and the neighbour's start is audited."""
    house.server("alice")
    before = _size(house)
    seen = house.attack(
        "alice",
        """
import http.client

def denied(number):
    connection = http.client.HTTPConnection("127.0.0.1", 3128, timeout=10)
    connection.request("GET", f"http://h{number}.flood.example/")
    status = connection.getresponse().status
    connection.close()
    return status

def flood():
    found, end = {}, time.monotonic() + 20
    for number in range(3000):
        if time.monotonic() > end:
            break
        status = denied(number)
        found[str(status)] = found.get(str(status), 0) + 1
    return found
attempt("one", lambda: denied(0))
attempt("flood", flood)
""",
        timeout=120,
    )
    control("a denial is a denial", seen["one"].get("value") == 403)
    counted: Any = seen["flood"].get("value") or {}
    grown = _size(house) - before
    print(f"flood {counted}, audit and spool grew by {grown} bytes")
    assert grown < 2 << 20
    health = house.ask_control(lambda client: client.call("GET", "/health"))
    assert health["ok"]
    if house.sandbox("bob") is not None:
        house.stop("bob")
    control("the neighbour is admitted, and that is audited", bool(house.server("bob")))
    last = house.ask_control(lambda client: client.audit(user="bob", limit=20))
    assert any(item["action"] == "admission" for item in last["items"])


def _size(house: House) -> int:
    state = Path(house.site.state_dir)
    places = [path for name in ("audit", "gateway", "control") for path in state.glob(f"*{name}*")]
    return sum(file.stat().st_size for place in places for file in _files(place) if "sqlite" not in file.name)


def _files(place: Path) -> list[Path]:
    return [file for file in place.rglob("*") if file.is_file()] if place.is_dir() else [place]
