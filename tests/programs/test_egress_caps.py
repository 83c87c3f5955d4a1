"""How much of the egress door may one sandbox take: connections, rate, bytes, time for a head?"""

from __future__ import annotations

import asyncio

import pytest

from jupyter_sandbox_spawner.gateway.egress import Limits

from .egress_support import (
    LOOPBACK,
    Control,
    Door,
    RecordingResolver,
    account,
    allowed,
    code_of,
    connect_head,
    echo,
    get_head,
    open_door,
    private,
    serving,
    shut,
    web,
)


async def test_new_connections_a_second_are_capped(control: Control) -> None:
    """Past the rate of new connections a sandbox gets 429, also when they come at once."""
    async with web() as server:
        who = account(private("ok.test", server.port), new_connections_per_second=5.0)
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            raw = get_head(f"http://ok.test:{server.port}/")
            answers = await asyncio.gather(*(door.ask(raw) for _ in range(20)))
            assert sum(code_of(answer) == "egress.capped" for answer in answers) >= 10
            assert any(answer.startswith(b"HTTP/1.1 429 ") for answer in answers)
            control("five were served", sum(answer.endswith(b"hello") for answer in answers) >= 5)


async def test_open_connections_are_capped(control: Control) -> None:
    """Past its number of open connections a sandbox gets 429, and again a place when one closes."""
    async with serving(echo) as server:
        who = account(private("ok.test", server.port), max_connections=2)
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            target = f"ok.test:{server.port}"
            held = [await door.connect(target) for _ in range(2)]
            assert (await door.ask(connect_head(target))).startswith(b"HTTP/1.1 429 ")
            for one in held:
                one.close()
            await asyncio.wait(door.tasks, timeout=5)
            again = await door.connect(target)
            control("a place is free again", True)
            again.close()


async def test_bytes_of_the_day_are_capped(control: Control) -> None:
    """Once today's bytes are used up a new connection is refused and a running answer is cut."""
    body = b"x" * (1 << 20)
    async with web(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body) as server:
        who = account(private("ok.test", server.port))
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            raw = get_head(f"http://ok.test:{server.port}/")
            control("without a cap all of it comes", (await door.ask(raw)).endswith(body))
            who.allowance = 1 << 19
            cut = await door.ask(raw)
            assert len(cut) < len(body)
            refused = await door.ask(raw)
            assert refused.startswith(b"HTTP/1.1 403 ")
            assert code_of(refused) == "egress.capped"
    assert who.codes[-2:] == ["egress.capped", "egress.capped"]


@pytest.mark.proves("E19")
async def test_slow_and_huge_heads_are_capped(control: Control) -> None:
    """Slow heads end at the deadline and a 64 KiB head is refused, while another client is served."""
    async with web() as server:
        who = account(private("ok.test", server.port), max_connections=200)
        limits = Limits(head_seconds=2.0)
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)}), limits=limits) as door:
            slow = [asyncio.create_task(_drip(door)) for _ in range(100)]
            huge = await door.ask(get_head("http://ok.test/", "X: " + "a" * 65536))
            assert huge.startswith(b"HTTP/1.1 431 ")
            control("another client is served", await allowed(door, server.port))
            assert not any(task.done() for task in slow)
            answers = await asyncio.gather(*slow)
            assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)


async def _drip(door: Door) -> bytes:
    reader, writer = await asyncio.open_unix_connection(door.path)
    try:
        writer.write(b"GET http://ok.test/ HTTP/1.1\r\n")
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"X")
            # The pace of a slow client: this wait is the attack itself.
            await asyncio.wait({answer}, timeout=0.2)
        return answer.result()
    finally:
        await shut(writer)
