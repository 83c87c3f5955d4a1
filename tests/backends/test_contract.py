"""Does every backend keep the contract of backends/base.py?"""

from __future__ import annotations

from itertools import groupby

import pytest

from jupyter_sandbox_spawner.backends.memory import MemoryBackend
from jupyter_sandbox_spawner.errors import BackendError, IsolationError
from jupyter_sandbox_spawner.names import LABEL_OWNER
from tests.backends.tiny import Bench, MemoryBench


async def test_created_is_pending(backend: Bench) -> None:
    """A created sandbox is pending and its handle has id and host uid."""
    spec = backend.spec()
    handle = await backend.backend.create(spec, backend.doors(spec), {})
    status = await backend.backend.status(spec.id)
    assert (handle.id, handle.host_uid) == (spec.id, spec.host_uid)
    assert status is not None
    assert status.value == "pending"


async def test_create_is_idempotent(backend: Bench) -> None:
    """Creating the same spec twice gives the same handle and one sandbox."""
    spec = backend.spec()
    first = await backend.backend.create(spec, backend.doors(spec), {})
    assert await backend.backend.create(spec, backend.doors(spec), {}) == first
    assert [item.id for item in await backend.backend.inventory()] == [spec.id]


async def test_start_runs(backend: Bench) -> None:
    """After start the sandbox runs and says since when; a second start changes nothing."""
    spec = await backend.running()
    first = await backend.backend.status(spec.id)
    await backend.backend.start(spec.id)
    assert first is not None
    assert first.value == "running"
    assert first.started_at is not None
    assert await backend.backend.status(spec.id) == first


async def test_unknown_id(backend: Bench) -> None:
    """An unknown id has no status, is removed without complaint and cannot be started."""
    unknown = "sb-" + "a" * 20
    assert await backend.backend.status(unknown) is None
    await backend.backend.remove(unknown)
    with pytest.raises(BackendError) as refused:
        await backend.backend.start(unknown)
    assert (refused.value.code, refused.value.status) == ("sandbox.unknown", 404)


async def test_stop_is_idempotent(backend: Bench) -> None:
    """Stop ends a running sandbox with a reason; a second stop gives the same status."""
    spec = await backend.running()
    status = await backend.backend.stop(spec.id, 10)
    assert (status.value, status.exit_code, status.reason) == ("stopped", 143, "stopped on request")
    assert await backend.backend.stop(spec.id, 10) == status


async def test_stop_before_start(backend: Bench) -> None:
    """A sandbox that never ran can be stopped, and cannot be started afterwards."""
    spec = await backend.create(backend.spec())
    assert (await backend.backend.stop(spec.id, 0)).value == "stopped"
    with pytest.raises(BackendError) as refused:
        await backend.backend.start(spec.id)
    assert refused.value.code == "sandbox.over"


@pytest.mark.proves("T18")
async def test_own_end_is_told(backend: Bench) -> None:
    """A sandbox that ends by itself is stopped with its exit status, and everybody who waits learns it."""
    spec = await backend.running()
    assert await backend.backend.ended(spec.id, 0.05) is None
    await backend.end(spec, 7)
    status = await backend.backend.ended(spec.id, 10)
    assert status is not None
    assert (status.value, status.exit_code) == ("stopped", 7)
    assert await backend.backend.status(spec.id) == status


async def test_remove_running(backend: Bench) -> None:
    """Removing a running sandbox stops it and leaves nothing in the inventory; again is a no-op."""
    spec = await backend.running()
    await backend.backend.remove(spec.id)
    await backend.backend.remove(spec.id)
    assert await backend.backend.status(spec.id) is None
    assert await backend.backend.inventory() == ()


async def test_events_in_order(backend: Bench) -> None:
    """Events tell each change once, in order, and only those after the number asked for."""
    spec = await backend.running()
    await backend.backend.stop(spec.id, 10)
    events = await backend.backend.events(0, 1)
    # What waits is told again where its reason or its address is another one.
    kinds = [kind for kind, _ in groupby(event.kind for event in events if event.kind != "sandbox.stopping")]
    assert kinds == ["sandbox.pending", "sandbox.running", "sandbox.stopped"]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert {event.sandbox for event in events} == {spec.id}
    assert await backend.backend.events(events[-1].seq, 0.05) == ()


async def test_events_after_the_clock_went_back(backend: Bench) -> None:
    """A reader whose number is of a launcher with a later clock hears every event again."""
    spec = await backend.running()
    known = await backend.backend.events(0, 5)
    latest = known[-1].seq
    assert await backend.backend.events(latest + 3_600_000, 5) == known
    assert await backend.backend.events(latest, 0.1) == ()
    assert {event.sandbox for event in known} == {spec.id}


async def test_inventory_carries_labels(backend: Bench) -> None:
    """The inventory names owner, user and server of every sandbox; their homes are told besides."""
    spec = await backend.running()
    (item,) = await backend.backend.inventory()
    assert (item.id, item.user, item.server, item.labels["owner"]) == (spec.id, "alice", "", LABEL_OWNER)
    assert item.status.value == "running"
    homes = {mount.source for mount in spec.mounts if mount.kind == "home"}
    assert await backend.backend.homes() == homes
    await backend.backend.remove(spec.id)
    assert await backend.backend.homes() == set()


async def test_usage_and_log_of_unknown(backend: Bench) -> None:
    """Usage and log exist for a known sandbox and are refused for an unknown one."""
    spec = await backend.running()
    await backend.backend.usage(spec.id)
    await backend.backend.log_tail(spec.id)
    for question in (backend.backend.usage, backend.backend.log_tail):
        with pytest.raises(BackendError, match="There is no sandbox"):
            await question("sb-" + "b" * 20)


async def test_soft_host_refuses_hard() -> None:
    """A spec that demands hard isolation is refused where only soft can be enforced."""
    bench = MemoryBench(MemoryBackend(level="soft"))
    with pytest.raises(IsolationError) as refused:
        await bench.create(bench.spec(isolation="hard"))
    assert refused.value.code == "isolation.level"
    await bench.create(bench.spec(isolation="soft"))
