"""Does anybody notice that the cluster's API is away? Those who start are told, nobody else."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import pytest

from .harbour import Harbour, words_of

pytestmark = pytest.mark.asyncio(loop_scope="package")
Control = Callable[[str, bool], None]
AWAY = 6.0  # seconds: less than a launcher's patience with its Lease


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
