"""Who notices that a program's pod is gone? Pages of the gateway, for as long as it is away; nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from .harbour import Harbour, words_of
from .quay import GATEWAY

pytestmark = pytest.mark.asyncio(loop_scope="package")
Control = Callable[[str, bool], None]
AWAY = 4.0  # seconds until a deleted pod is there again


@pytest.mark.proves("H08")
async def test_gateway_pod_deleted(harbour: Harbour, control: Control) -> None:
    """Both its containers are killed: each page is cut once or more, comes back to the same server, and so
    does a start that was under way."""
    quay, seat = harbour.quay, harbour.take()
    async with harbour.watched() as sessions:
        starting = await harbour.begin(seat)
        quay.end(*GATEWAY)
        began = time.monotonic()
        await asyncio.sleep(AWAY)  # the case: it is away
        await quay.bring(*GATEWAY)
        back = time.monotonic() - began
        await asyncio.gather(*(session.next(30) for session in sessions.values()))
        ticking = time.monotonic() - began
        ended = await starting
        seen = words_of(list(sessions.values()))
        control("every page was cut", all(session.cuts for session in sessions.values()))
    print(
        f"back after {back:.1f} s, all tick after {ticking:.1f} s; {seen}; the start: {ended or 'went well'}"
    )
    if ended:
        await harbour.start(seat)
    await harbour.stop(seat)
    print(f"all agreed after {await harbour.agreed(150)} s")
    assert ended == ""


@pytest.mark.proves("H08")
@pytest.mark.parametrize("program", ["launcher", "control"])
async def test_the_active_replica_is_killed(harbour: Harbour, control: Control, program: str) -> None:
    """The other takes over; pages tick on, a start and a stop that were under way end well."""
    quay, seat, other = harbour.quay, harbour.take(), harbour.take()
    await harbour.start(other)
    first = await quay.active(program)
    async with harbour.watched() as sessions:
        starting = await harbour.begin(seat)
        stopping = asyncio.create_task(harbour.desk.stop(other))
        quay.end(first)
        began = time.monotonic()
        await quay.answers()
        back = time.monotonic() - began
        second = await quay.active(program)
        ended = await starting
        took = time.monotonic() - began
        await stopping
        await quay.bring(first)
        seen = words_of(list(sessions.values()))
        assert {session.cuts for session in sessions.values()} == {0}
    control("the other works", second != first)
    print(f"{second} works after {back:.1f} s; {seen}; the start, {took:.1f} s: {ended or 'went well'}")
    print(f"the stop left {other.sandbox or 'nothing'}; {dict(harbour.desk.seen)}")
    await harbour.stop(*(item for item in (seat, other) if item.sandbox))
    print(f"all agreed after {await harbour.agreed(150)} s")
    assert ended == ""
