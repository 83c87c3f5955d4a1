"""What holds a sandbox where the kernel gives no cgroups? A limit of its own namespace, and a watchdog."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.oci import host
from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from jupyter_sandbox_spawner.models import Resources
from tests.backends.tiny import OciBench

pytestmark = pytest.mark.lane("hostuids", "runc")
Control = Callable[[str, bool], None]
SMALL = Resources(cpu=1.0, memory=96 << 20, pids=40, tmpfs=64 << 20)
TAKE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
HOLD
print("hello from inside", flush=True)
time.sleep(600)
"""


@pytest_asyncio.fixture
async def soft(oci: OciBench, tmp_path: Path) -> AsyncIterator[OciBench]:
    """The local backend where there is no cgroup at all."""
    site = replace(oci.site, state=str(oci.directory / "soft"), cgroup_root=str(tmp_path))
    hard = oci.backend
    async with OciBackend.opened(site) as backend:
        oci.backend = backend
        try:
            yield oci
        finally:
            for item in await backend.inventory():
                await backend.remove(item.id)
            oci.backend = hard


async def test_it_says_so(soft: OciBench) -> None:
    """The level is soft, and each limit is called what it is."""
    found = await soft.backend.capabilities()
    assert found.level == "soft"
    assert found.limits == {"memory": False, "pids": True, "cpu": False}
    assert any("memory is soft" in text for text in found.missing)


async def test_swap_without_a_limit_is_soft(
    oci: OciBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """Where there is swap and no limit of it, swap is among the limits that are not held."""
    site = replace(oci.site, state=str(oci.directory / "swap"), cgroup_root=str(tmp_path))
    async with OciBackend.opened(site) as backend:
        control("without swap it is not named", "swap" not in (await backend.capabilities()).limits)
    monkeypatch.setattr(host, "has_swap", lambda: True)
    async with OciBackend.opened(site) as backend:
        found = await backend.capabilities()
    assert (found.level, found.limits["swap"]) == ("soft", False)
    assert any("swapoff" in text for text in found.missing)


@pytest.mark.proves("Q01")
async def test_fork_bomb(soft: OciBench, control: Control) -> None:
    """Without cgroups too a sandbox gets no process beyond its limit; a neighbour of its uid has its own."""
    body = """
import json, os, time
made = 0
try:
    for _ in range(500):
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        made += 1
except OSError as error:
    print(json.dumps({"made": made, "errno": error.errno}), flush=True)
HOLD
"""
    greedy = await soft.create(soft.spec(main=body.replace("HOLD", "time.sleep(60)"), resources=SMALL))
    await soft.backend.start(greedy.id)
    await soft.said(greedy, "errno")
    other = await soft.ask(body.replace("HOLD", "os._exit(0)"), resources=SMALL)
    control("some processes could be made", other["made"] > 20)
    assert other == {"made": 39, "errno": 11}


@pytest.mark.proves("Q02")
@pytest.mark.parametrize(
    "take",
    [
        pytest.param("held = bytearray(os.urandom(1 << 20) * 200)", id="one process"),
        pytest.param(
            "[os.fork() or (bytearray(os.urandom(1 << 20) * 50), time.sleep(600)) for _ in range(4)]",
            id="four processes",
        ),
        pytest.param(
            "open('/tmp/large', 'wb').write(bytes(60 << 20)); held = bytearray(os.urandom(1 << 20) * 60)",
            id="files in memory",
        ),
        pytest.param(
            "f = os.memfd_create('m'); [os.write(f, bytes(1 << 20)) for _ in range(200)]",
            id="a file without a name",
        ),
    ],
)
async def test_out_of_memory(soft: OciBench, take: str) -> None:
    """What a sandbox's processes and its files in memory add up to ends it, with the numbers and 'soft'."""
    status, text = await soft.play(TAKE.replace("HOLD", take), resources=SMALL)
    assert (status.value, status.exit_code) == ("stopped", 137), text
    assert status.reason.startswith("out of memory: used ")
    assert status.reason.endswith(" of 96.0 MB (soft limit)")


async def test_within_its_limits_it_goes_on(soft: OciBench) -> None:
    """Memory that forked processes share counts once: below the limit nobody is ended."""
    take = "held = bytearray(os.urandom(1 << 20) * 40)\nfor _ in range(5):\n    if os.fork() == 0: break"
    spec = await soft.running(soft.spec(main=TAKE.replace("HOLD", take), resources=SMALL))
    assert await soft.backend.ended(spec.id, 2.0) is None
    usage = await soft.backend.usage(spec.id)
    assert usage.pids == 6
    assert usage.memory is not None
    assert 40 << 20 < usage.memory < 96 << 20
    assert usage.cpu_seconds is not None
    assert usage.cpu_seconds > 0


async def test_a_stop_keeps_its_own_reason(soft: OciBench) -> None:
    """A sandbox that is stopped on request is not said to have passed a limit."""
    spec = await soft.running(soft.spec(main=TAKE.replace("HOLD", ""), resources=SMALL))
    status = await soft.backend.stop(spec.id, 10)
    assert (status.reason, status.exit_code) == ("stopped on request", 143)
