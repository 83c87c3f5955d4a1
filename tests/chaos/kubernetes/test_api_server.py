"""Does anybody notice that the cluster's API is away? Those who run do not; those who start are told."""

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


async def test_api_server_killed(harbour: Harbour, control: Control) -> None:
    """Twenty pages tick on; a start meanwhile is refused with a sentence; the one under way ends well."""
    cluster = harbour.quay.cluster
    under_way, meanwhile = harbour.take(), harbour.take()
    async with harbour.watched() as sessions:
        starting = asyncio.create_task(harbour.try_start(under_way))
        while under_way.key not in harbour.desk.api.servers:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(cluster.stop, "kube-apiserver", signal.SIGKILL)
        began = time.monotonic()
        refused = await harbour.try_start(meanwhile)
        print(f"meanwhile: {refused} after {time.monotonic() - began:.1f} s")
        await asyncio.sleep(max(0.0, AWAY - (time.monotonic() - began)))  # that it is away, is the case
        await asyncio.to_thread(cluster.start, "kube-apiserver")
        await asyncio.to_thread(cluster.wait_for_api)
        print(f"under way: {await starting}")
        seen = words_of(list(sessions.values()))
    print(seen, harbour.quay.deaths)
