"""What becomes of sandboxes whose node's kubelet stands still? They go on; who starts waits, and why."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from .harbour import Harbour, words_of

pytestmark = pytest.mark.asyncio(loop_scope="package")
Control = Callable[[str, bool], None]


@pytest.mark.proves("H08")
async def test_kubelet_stopped(harbour: Harbour, control: Control) -> None:
    """Longer than the cluster's grace: its node is lost to the cluster and pages tick on. A start waits, says
    for what, and ends well when the kubelet is back; a stop says that nobody knows, and is made up for."""
    cluster, seat, other = harbour.quay.cluster, harbour.take(), harbour.take()
    await harbour.start(other)
    number = cluster.pid("kubelet")
    async with harbour.watched() as sessions:
        began = time.monotonic()
        os.kill(number, signal.SIGSTOP)
        try:
            await harbour.until(lambda: not cluster.node_is_ready(), 60)
            lost = time.monotonic() - began
            starting = await harbour.begin(seat)
            reason = await harbour.waits_for(seat, 30)
            await harbour.desk.stop(other)
            survived = dict(harbour.desk.seen)
        finally:
            os.kill(number, signal.SIGCONT)
        await harbour.until(cluster.node_is_ready, 60)
        ended = await starting
        seen = words_of(list(sessions.values()))
        assert {session.cuts for session in sessions.values()} == {0}
    print(f"not ready after {lost:.1f} s; {seen}; the start waited: {reason}; then {ended or 'went well'}")
    print(f"the stop: {survived}")
    assert reason
    assert ended == ""
    control("the start went well in the end", bool(seat.sandbox))
    await harbour.stop(*(item for item in (seat, other) if item.sandbox))
    print(f"all agreed after {await harbour.agreed(150)} s")
