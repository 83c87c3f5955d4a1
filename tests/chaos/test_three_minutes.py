"""What is a whole short life like? A cell prints each second, through restarts, until its time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from hub_config.demo.endings import ending
from hub_config.demo.kernel import Kernel
from hub_config.demo.visitor import Visitor
from hub_config.demo.working import insist
from tests.chaos.instants import instant, why_of
from tests.chaos.person import come_back, leave
from tests.support.house import House

Control = Callable[[str, bool], None]
TTL, IDLE = 180.0, 20.0
LATE = 5.0  # seconds by which a program that was just killed may be late
CELL = """
import os, pty, threading, time
home = os.path.expanduser("~/")
hook = home + ".config/jupyter-sandbox/before-stop"
os.makedirs(os.path.dirname(hook), exist_ok=True)
with open(hook, "w") as stream:
    stream.write("#!/bin/sh\\necho saved by $0 > ~/hooked\\n")
os.chmod(hook, 0o755)
terminal, _ = pty.openpty()

def listen():
    with open(home + "terminal", "wb", 0) as stream:
        while True:
            stream.write(os.read(terminal, 1000))
threading.Thread(target=listen, daemon=True).start()
with open(home + "each-second", "w") as stream:
    while True:
        print(time.time())
        print(time.time(), file=stream, flush=True)
        time.sleep(1)
"""


@dataclass(frozen=True)
class Life:
    """What control tells of it while it runs and afterwards, the page's reason, when the cell printed, what
    stood on a terminal, what the user's hook left, and what the next server says."""

    running: Any
    over: Any
    reason: str
    printed: list[float]
    terminal: str
    hooked: str
    status: str


async def _live(house: House, alice: Visitor) -> Life:
    await leave(alice)
    await come_back(alice, "three-minutes")
    kernel = await Kernel(alice).__aenter__()
    await kernel.submit(CELL)
    await kernel.disconnect()
    for name in ("hub", "gateway", "control"):
        await asyncio.sleep(IDLE)
        await house.programs.kill((name,))
    running = await insist(lambda: why_of(house, "alice"))
    reason = await ending(alice, TTL)
    over = await insist(lambda: why_of(house, "alice"))
    await come_back(alice, "small")
    text, terminal, hooked = [await _file(alice, name) for name in ("each-second", "terminal", "hooked")]
    async with Kernel(alice) as fresh:
        status = str(await fresh.execute("%sandbox status"))
    return Life(running, over, reason, [float(line) for line in text.split()], terminal, hooked, status)


async def _file(visitor: Visitor, name: str) -> str:
    url = visitor.server(f"api/contents/{name}")
    text: str = (await insist(lambda: visitor.call("GET", url)))["content"]
    return text


@pytest.mark.timeout(500)
def test_three_minutes_end_when_it_was_said(house: House, control: Control) -> None:
    """Neither idleness nor three restarts cut the cell before its time is up; the warnings are on time."""
    life = house.wait(_live(house, house.visitor("alice")), 420)
    began, end = instant(life.over["admitted_at"]), instant(life.over["deadline"])
    control("it had an idle timeout of a ninth of its life", life.running["idle_timeout"] == IDLE)
    assert abs(end - began - TTL) < 1
    assert [(item["kind"], item["detail"]["code"]) for item in life.over["events"]][-4:-1] == [
        ("warning", "warning.ttl"),
        ("save", "warning.ttl"),
        ("stopping", "stop.ttl"),
    ]
    told = {item["kind"]: end - instant(item["at"]) for item in life.over["events"]}
    assert 120 - LATE < told["warning"] <= 121
    assert 30 - LATE < told["save"] <= 31
    assert "time was up" in life.reason
    assert "time was up" in life.status
    assert "because its time is up then" in life.terminal
    assert life.hooked.startswith("saved by ")
    # From a few seconds after its start to its end, each second once.
    gaps = [after - before for before, after in pairwise(life.printed)]
    assert max(gaps) < LATE
    assert end - life.printed[-1] < LATE
    assert end - life.printed[0] > TTL - 30
