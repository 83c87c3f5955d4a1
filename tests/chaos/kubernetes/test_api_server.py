"""Does anybody notice that the cluster's API is away or slow? Those who start are told, nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.cluster import Cluster

from .harbour import Harbour, words_of

pytestmark = pytest.mark.asyncio(loop_scope="package")
Control = Callable[[str, bool], None]
AWAY = 6.0  # seconds: less than a launcher's patience with its Lease
STALL = 1.5  # seconds that a slow etcd answers nobody, again and again
SLOW = 20.0  # seconds of a slow etcd


@pytest.mark.proves("H08")
async def test_api_server_killed(harbour: Harbour, control: Control) -> None:
    """Twenty pages tick on; a start meanwhile is refused with a sentence, and nothing of it is left."""
    cluster = harbour.quay.cluster
    refused_one, under_way = harbour.take(), harbour.take()
    async with harbour.watched() as sessions:
        starting = await harbour.begin(under_way)
        await asyncio.to_thread(cluster.stop, "kube-apiserver", signal.SIGKILL)
        began = time.monotonic()
        refused = await harbour.try_start(refused_one)
        took = time.monotonic() - began
        await asyncio.sleep(max(0.0, AWAY - took))  # that it is away for a while is the case here
        await asyncio.to_thread(cluster.start, "kube-apiserver")
        await asyncio.to_thread(cluster.wait_for_api)
        ended = await starting
        seen = words_of(list(sessions.values()))
        assert {session.cuts for session in sessions.values()} == {0}
    print(f"{seen}; a start meanwhile, {took:.1f} s: {refused}; the one under way: {ended or 'went well'}")
    assert refused.startswith("kubernetes.unreachable: "), refused
    assert ended.startswith(("kubernetes.", "sandbox.start_failed")) or not ended
    await harbour.start(refused_one)
    control("a start afterwards goes well", bool(refused_one.sandbox))
    await harbour.stop(*(seat for seat in (refused_one, under_way) if seat.sandbox))
    print(f"all agreed after {await harbour.agreed(150)} s; {harbour.quay.deaths}")


@contextlib.asynccontextmanager
async def slow_etcd(cluster: Cluster) -> AsyncIterator[None]:
    """A disk that stalls: etcd stands still for a while, goes on for a moment, and stands still again."""
    number = cluster.pid("etcd")

    async def stall() -> None:
        try:
            while True:
                os.kill(number, signal.SIGSTOP)
                await asyncio.sleep(STALL)
                os.kill(number, signal.SIGCONT)
                await asyncio.sleep(STALL / 5)
        finally:
            os.kill(number, signal.SIGCONT)

    task = asyncio.create_task(stall())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.proves("H08")
async def test_etcd_slow(harbour: Harbour, control: Control) -> None:
    """Everything that is written takes seconds: twenty pages tick on, a start and a stop end well."""
    cluster, seat, other = harbour.quay.cluster, harbour.take(), harbour.take()
    await harbour.start(other)
    before, deaths = await harbour.quay.active("launcher"), list(harbour.quay.deaths)
    async with harbour.watched() as sessions:
        began = time.monotonic()
        async with slow_etcd(cluster):
            stopping = asyncio.create_task(harbour.stop(other))
            ended = await harbour.try_start(seat)
            took = time.monotonic() - began
            await stopping
            await asyncio.sleep(max(0.0, SLOW - (time.monotonic() - began)))  # the case: it is slow for long
        seen = words_of(list(sessions.values()))
        assert {session.cuts for session in sessions.values()} == {0}
    print(f"{seen}; a start took {took:.1f} s: {ended or 'went well'}; deaths {harbour.quay.deaths}")
    assert ended == ""
    control("the same launcher works", await harbour.quay.active("launcher") == before)
    assert harbour.quay.deaths == deaths
    await harbour.stop(seat)
    print(f"all agreed after {await harbour.agreed(150)} s")


@pytest.mark.proves("H08")
async def test_etcd_stands_still(harbour: Harbour, control: Control) -> None:
    """Longer than a launcher may go without its Lease: it stops before another could work, one works again
    afterwards, and the twenty pages never knew."""
    cluster, seat = harbour.quay.cluster, harbour.take()
    number, deaths = cluster.pid("etcd"), len(harbour.quay.deaths)
    async with harbour.watched() as sessions:
        os.kill(number, signal.SIGSTOP)
        try:
            await harbour.until(lambda: len(harbour.quay.deaths) > deaths, 60)
            refused = await harbour.try_start(seat)
        finally:
            os.kill(number, signal.SIGCONT)
        await harbour.quay.answers()
        seen = words_of(list(sessions.values()))
        assert {session.cuts for session in sessions.values()} == {0}
    print(f"{seen}; a start meanwhile: {refused}; deaths {harbour.quay.deaths[deaths:]}")
    assert refused
    await harbour.start(seat)
    control("a start afterwards goes well", bool(seat.sandbox))
    await harbour.stop(seat)
    print(f"all agreed after {await harbour.agreed(150)} s")
