"""Does a flood of connections at one sandbox's egress door reach descriptors or a neighbour?"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.gateway.door import Door, DoorPlan, Reserve
from jupyter_sandbox_spawner.models import GatewayEntry
from jupyter_sandbox_spawner.policies import EgressPolicy
from jupyter_sandbox_spawner.rules.egress_rules import compile_rules
from tests.programs.egress_support import connect_head, get_head, web
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house
from tests.programs.gateway_strangers import through, told

Control = Callable[[str, bool], None]
NAME = "source.sandbox.internal"
ATTEMPTS = 10_000
SECONDS = 4
BACKLOG = 1025  # what the kernel keeps for a door: one more than was asked for
# Opens connections, each with a whole request, and closes the oldest; tells how many the door's backlog took.
FLOOD = """
import collections, resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
path, request, attempts, seconds = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), float(sys.argv[4])
kept, tried, connected, begun = collections.deque(), 0, 0, time.monotonic()
print("begun", flush=True)
while tried < attempts or time.monotonic() - begun < seconds:
    tried += 1
    link = socket.socket(socket.AF_UNIX)
    link.setblocking(False)
    try:
        link.connect(path)
        connected += 1
        kept.append(link)
        link.send(request)
    except OSError:
        if link not in kept:
            link.close()
    if len(kept) > 500:
        kept.popleft().close()
print(tried, connected, time.monotonic() - begun, flush=True)
"""


def _entry(name: str) -> GatewayEntry:
    rules = compile_rules([f"{NAME}:80"], "egress")
    return replace(entry(name), egress=EgressPolicy(rules=rules))


@contextlib.asynccontextmanager
async def _flood(path: str) -> AsyncIterator[asyncio.StreamReader]:
    request = connect_head(f"{NAME}:80").decode()
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FLOOD, path, request, str(ATTEMPTS), str(SECONDS)), stdout=subprocess.PIPE
    )
    assert flood.stdout is not None
    try:
        yield flood.stdout
    finally:
        await flood.wait()


@pytest.mark.proves("E19", "T15")
async def test_ten_thousand_connections_stay_their_senders_trouble(control: Control) -> None:
    """While one sandbox opens and reopens 10 000, another's requests all succeed and descriptors stay few."""
    async with web() as server, gateway_house(internal={f"{NAME}:80": server.place}) as house:
        name, directory = await house.open(_entry("flood"))
        _, other = await house.open(_entry("calm"))
        control("a request is served before", await _served(other))
        most, before = 0, _descriptors(house)
        async with _flood(f"{directory}/egress.sock") as output:
            await output.readline()
            ended = asyncio.create_task(output.readline())
            while not ended.done():
                assert await _served(other)
                most = max(most, _descriptors(house))
                await asyncio.wait({ended}, timeout=0.03)  # its policy allows fifty a second
            tried, connected, seconds = (float(word) for word in ended.result().split())
        print(
            f"{tried:.0f} tried, {connected:.0f} connected in {seconds:.1f} s; descriptors {before}, {most}"
        )
        policy = EgressPolicy()
        control("there were ten thousand", tried >= ATTEMPTS)
        assert most - before <= 2 * (policy.max_connections + 64) + 16
        # Twice its rate passes the door, a second's worth of it at once; the rest waits outside.
        assert connected <= BACKLOG + 2 * policy.new_connections_per_second * (seconds + 1) + 10
        assert {event.detail["code"] for event in await told(house, "egress.denied", name)} == {
            "egress.capped"
        }


async def test_a_door_takes_few_connections_a_turn(tmp_path: Path, control: Control) -> None:
    """Of forty connections that wait, a door takes four in a turn of the loop: others' steps come between."""
    ended = asyncio.Event()

    async def hold(_: socket.socket) -> None:
        await ended.wait()

    plan = DoorPlan(
        name="egress",
        path=f"{tmp_path}/door",
        uid=os.geteuid(),
        connections=100,
        per_second=1000.0,
        handler=hold,
        on_foreign=lambda *_: None,
        on_capped=lambda _: None,
    )
    reserve = Reserve()
    door = Door(plan, reserve)
    with contextlib.ExitStack() as stack:
        stack.callback(reserve.close)
        door.open()
        for _ in range(40):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(plan.path)
        taken = [0]
        for _ in range(100):
            await asyncio.sleep(0)
            taken.append(door.connections)
        await door.close()
    assert max(now - before for before, now in itertools.pairwise(taken)) <= 4
    control("all forty were taken", taken[-1] == 40)


def _descriptors(house: GatewayHouse) -> int:
    assert house.process is not None
    return len(os.listdir(f"/proc/{house.process.pid}/fd"))


async def _served(directory: str) -> bool:
    answer = await through(f"{directory}/egress.sock", get_head(f"http://{NAME}/"), 10)
    return answer.endswith(b"hello")
