"""Does a rule end at its end, by the gateway alone, whatever becomes of control and of the gateway itself?"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.models import EgressPolicy, EgressRule
from jupyter_sandbox_spawner.rules.egress import timed_digest
from tests.programs.egress_support import (
    LOOPBACK,
    RecordingResolver,
    account,
    connect_head,
    get_head,
    open_door,
    private,
)
from tests.programs.egress_support import serving as web_serving
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house
from tests.programs.streams import connected, serving

Control = Callable[[str, bool], None]
START = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
HOST = "pkg.sandbox.internal"


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\npackages")


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)


async def test_a_rule_ends_by_the_gateways_clock(control: Control) -> None:
    """One second before it lets a connection through; at its end it does not, nor asks DNS, with the code of
    a host that no rule names."""
    clock = [START]
    async with web_serving(_page) as server:
        who = account(private("ok.test", server.port))
        (rule,) = who.policy.rules
        who.policy = EgressPolicy(rules=(replace(rule, until=START + timedelta(hours=1)),))
        resolver = RecordingResolver({"ok.test": (LOOPBACK,)})
        async with open_door(who, resolver, now=lambda: clock[0]) as door:
            clock[0] = START + timedelta(seconds=3599)
            answer = await door.ask(get_head(f"http://ok.test:{server.port}/"))
            control("it is allowed before", answer.endswith(b"packages"))
            clock[0] = START + timedelta(hours=1)
            for head in (get_head(f"http://ok.test:{server.port}/"), connect_head(f"ok.test:{server.port}")):
                answer = await door.ask(head)
                assert answer.startswith(b"HTTP/1.1 403 Blocked by sandbox: ok.test")
    assert who.codes == ["egress.allowed", "egress.not_allowed", "egress.not_allowed"]
    assert len(resolver.lookups) == 1


async def test_an_open_tunnel_keeps_the_decision_it_began_with() -> None:
    """What is open when the rule ends goes on; the next connection does not."""
    clock = [START]
    async with web_serving(_echo) as server:
        who = account(private("ok.test", server.port))
        (rule,) = who.policy.rules
        who.policy = EgressPolicy(rules=(replace(rule, until=START + timedelta(hours=1)),))
        resolver = RecordingResolver({"ok.test": (LOOPBACK,)})
        async with open_door(who, resolver, now=lambda: clock[0]) as door:
            loop = asyncio.get_running_loop()
            with await door.connect(f"ok.test:{server.port}") as tunnel:
                clock[0] = START + timedelta(hours=2)
                await loop.sock_sendall(tunnel, b"still here")
                assert await asyncio.wait_for(loop.sock_recv(tunnel, 100), 10) == b"still here"
            answer = await door.ask(connect_head(f"ok.test:{server.port}"))
            assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.fixture
async def house() -> AsyncIterator[GatewayHouse]:
    """The gateway program, with a service of the site."""
    async with (
        serving(_page) as port,
        gateway_house(internal={f"{HOST}:80": f"127.0.0.1:{port}"}) as running,
    ):
        yield running


async def _answers(directory: str) -> bool:
    async with connected(f"{directory}/egress.sock") as (reader, writer):
        writer.write(f"GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        return (await asyncio.wait_for(reader.read(), 15)).endswith(b"packages")


def _until(moment: datetime) -> EgressPolicy:
    return EgressPolicy(rules=(EgressRule(pattern=HOST, ports=(80,), text="given", until=moment),))


async def test_a_killed_gateway_still_knows_the_end(house: GatewayHouse, control: Control) -> None:
    """After a kill it carries what was given for an hour, refuses what ended meanwhile, and tells control
    what it holds; nobody else runs."""
    now = datetime.now(timezone.utc)
    hour, ended = _until(now + timedelta(hours=1)), _until(now - timedelta(seconds=1))
    (kept, kept_doors), (gone, gone_doors) = await house.open(entry("ann")), await house.open(entry("bob"))
    await house.client.set_egress(kept, hour)
    control("it answers before", await _answers(kept_doors))
    await house.client.set_egress(gone, ended)
    house.end(signal.SIGKILL)
    await house.start()
    assert await _answers(kept_doors)
    assert not await _answers(gone_doors)
    held = {item.id: item.timed for item in await house.client.inventory()}
    assert held == {kept: timed_digest(hour), gone: timed_digest(ended)}


async def test_it_ends_while_nothing_else_runs(house: GatewayHouse, control: Control) -> None:
    """Two seconds later a connection is refused, without a word from anybody."""
    end = datetime.now(timezone.utc) + timedelta(seconds=2)
    name, doors = await house.open(entry("ann"))
    await house.client.set_egress(name, _until(end))
    answered = [await _answers(doors)]
    control("it answers before", answered[0] or datetime.now(timezone.utc) > end)
    while datetime.now(timezone.utc) < end:
        answered.append(await _answers(doors))
    assert not await _answers(doors)
