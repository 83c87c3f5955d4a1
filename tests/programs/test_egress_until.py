"""Does a rule end at its end, by the gateway alone, whatever becomes of control and of the gateway itself?"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.gateway.egress import Limits
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


@pytest.mark.parametrize("how", ["ended", "taken back"])
async def test_an_open_tunnel_ends_with_its_rule(how: str, control: Control) -> None:
    """Soon after the end, or after it was taken back, nothing is carried any more, and the audit says why."""
    clock = [START]
    async with web_serving(_echo) as server:
        who = account(private("ok.test", server.port))
        (rule,) = who.policy.rules
        who.policy = EgressPolicy(rules=(replace(rule, until=START + timedelta(hours=1)),))
        resolver, limits = RecordingResolver({"ok.test": (LOOPBACK,)}), Limits(sweep_seconds=0.05)
        async with open_door(who, resolver, limits=limits, now=lambda: clock[0]) as door:
            loop = asyncio.get_running_loop()
            with await door.connect(f"ok.test:{server.port}") as tunnel:
                await loop.sock_sendall(tunnel, b"here")
                heard = await asyncio.wait_for(loop.sock_recv(tunnel, 100), 10)
                control("it carries before", heard == b"here")
                if how == "ended":
                    clock[0] = START + timedelta(hours=1)
                else:
                    who.policy = EgressPolicy()
                assert await asyncio.wait_for(loop.sock_recv(tunnel, 100), 10) == b""
    assert who.codes == ["egress.allowed", "egress.grant_over"]


async def test_a_wildcard_for_a_time_opens_no_service_of_the_site(control: Control) -> None:
    """Its exact name does, and a wildcard of the profile; what else has the name is asked of DNS."""
    async with web_serving(_page) as server:
        services = {f"{HOST}:80": server.place}
        head, later = get_head(f"http://{HOST}/"), START + timedelta(hours=1)
        answered = {}
        for pattern, until in ((HOST, later), ("*.sandbox.internal", None), ("*.sandbox.internal", later)):
            rule = EgressRule(pattern=pattern, ports=(80,), until=until)
            who = account()
            who.policy = EgressPolicy(rules=(rule,))
            async with open_door(who, services=services, now=lambda: START) as door:
                answered[pattern, until is None] = (await door.ask(head)).endswith(b"packages")
        control("the exact name does", answered[HOST, False])
        control("one of the profile does", answered["*.sandbox.internal", True])
        assert not answered["*.sandbox.internal", False]
        assert who.codes == ["egress.unresolved"]


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


async def test_what_was_given_for_a_time_can_be_dropped_without_knowing_the_rest(house: GatewayHouse) -> None:
    """The profile's own rules stay."""
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    own = EgressRule(pattern=HOST, ports=(80,), text="own")
    given = EgressRule(pattern="x.test", ports=(80,), text="given", until=later)
    name, doors = await house.open(entry("ann"))
    await house.client.set_egress(name, EgressPolicy(rules=(own, given)))
    await house.client.drop_timed_egress(name)
    assert [item.timed for item in await house.client.inventory()] == [""]
    assert await _answers(doors)


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
