"""What becomes of a start that control recorded and never answered? It is told, or closed without a loss."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.admission import Admissions, _decide, close_interrupted
from jupyter_sandbox_spawner.control.parts import Parts
from jupyter_sandbox_spawner.control.waiting import waiting_now
from jupyter_sandbox_spawner.gpus import GpuWish

from .control_neighbours import asked, spec
from .control_street import parts_of, street
from .test_control_kills import DEVICES, POOL

ONE = GpuWish(count=1)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    """Control's parts beside a host with GPUs."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ci", dir="/tmp")))
        here = await stack.enter_async_context(street(place))
        here.launcher.devices = DEVICES
        yield await stack.enter_async_context(parts_of(here))


async def test_who_lost_a_device_to_a_crash_is_before_those_who_wait(parts: Parts) -> None:
    """A start with a GPU that died unanswered has its place again, before the one that waits."""
    desk = Admissions(parts, lambda sandbox: None)
    for number in range(len(POOL) - 1):
        assert (await desk.admit(asked(spec(f"h{number}"), gpu=ONE))).admitted
    await _decide(parts, asked(spec("unlucky"), gpu=ONE))
    assert (await desk.admit(asked(spec("waiting"), gpu=ONE))).code == "gpu.all_taken"
    await close_interrupted(parts)
    assert len(await parts.store.run(waiting_now)) == 2
    assert (await desk.admit(asked(spec("waiting", nonce="2"), gpu=ONE))).code == "gpu.all_taken"
    again = asked(spec("unlucky", nonce="2"), gpu=ONE)
    assert (await desk.admit(again)).admitted


async def test_a_start_that_is_repeated_is_in_the_audit(parts: Parts) -> None:
    """What was recorded by a commit that nobody heard of is announced when it is asked for again."""
    wanted = asked(spec())
    await _decide(parts, wanted)
    answer = await Admissions(parts, lambda sandbox: None).admit(wanted)
    assert (answer.admitted, answer.repeated) == (True, True)
    record = await parts.store.run(lambda db: records.by_id(db, wanted.spec.id))
    assert record is not None
    assert record.audited
    assert "admission" in {line["action"] for line in await parts.audit.lines()}
