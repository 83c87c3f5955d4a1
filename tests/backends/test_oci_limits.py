"""Does the kernel hold a real sandbox to its limits, and does its neighbour notice nothing?"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.backends.oci.kernel import mounts_below
from jupyter_sandbox_spawner.backends.oci.logs import LOG_BYTES
from jupyter_sandbox_spawner.backends.oci.runtime import unfit
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.models import Resources
from jupyter_sandbox_spawner.ordinary import has_own_namespace
from tests.backends.tiny import UID_BASE, OciBench

pytestmark = pytest.mark.lane("hostuids", "runc")
Control = Callable[[str, bool], None]

INOTIFY = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
count = 0
while count < 4096 and libc.inotify_init1(0) >= 0:
    count += 1
print(json.dumps({"count": count}), flush=True)
HOLD
"""


@pytest.mark.proves("Q01")
async def test_fork_bomb(oci: OciBench, control: Control) -> None:
    """A sandbox gets no process beyond its pids limit, and says so as an error inside."""
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
    os._exit(0)
"""
    found = await oci.ask(body)
    control("some processes could be made", found["made"] > 30)
    assert found == {"made": 63, "errno": 11}


@pytest.mark.lane("cgroup")
@pytest.mark.proves("Q02")
async def test_out_of_memory(oci: OciBench, control: Control) -> None:
    """A sandbox that takes more than its memory is ended, and its status says how much it used."""
    body = "data = []\nfor _ in range(1000):\n    data.append(b'x' * (1 << 20))\n"
    status, _ = await oci.play(body)
    assert (status.value, status.exit_code) == ("stopped", 137)
    assert status.reason == "out of memory: used 256.0 MB of 256.0 MB"
    small, _ = await oci.play("data = b'x' * (64 << 20)")
    control("64 MB of 256 MB can be taken", small.exit_code == 0)


@pytest.mark.proves("Q03", "Q04")
async def test_tmpfs_is_full(oci: OciBench, control: Control) -> None:
    """/tmp ends at its bytes and at its inodes with ENOSPC."""
    body = """
import json, os
def fill():
    with open("/tmp/large", "wb") as stream:
        while True:
            stream.write(b"x" * 65536); stream.flush()
answer = {}
try:
    fill()
except OSError as error:
    answer["bytes"] = [os.stat("/tmp/large").st_size, error.errno]
os.unlink("/tmp/large")
count = 0
try:
    while True:
        open(f"/tmp/{count}", "w").close(); count += 1
except OSError as error:
    answer["files"] = [count, error.errno]
print(json.dumps(answer))
"""
    found = await oci.ask(body)
    control("what the profile promises can be written", found["bytes"][0] == 8 << 20)
    assert found["bytes"][1] == found["files"][1] == 28
    assert found["files"][0] < 500


@pytest.mark.proves("Q05")
async def test_output_is_bounded(oci: OciBench, control: Control) -> None:
    """A flood of output ends at the cap of the log, also between two looks of the launcher."""
    body = """
import os
line = b"x" * 1023 + b"\\n"
for _ in range(20000):
    try:
        os.write(1, line)
    except OSError:
        pass
"""
    spec = await oci.create(oci.spec(main=body))
    await oci.backend.start(spec.id)
    await oci.backend.ended(spec.id, 30)
    usage = await oci.backend.usage(spec.id)
    tail = await oci.backend.log_tail(spec.id)
    control("output can be written at all", tail.startswith("x"))
    assert usage.log_bytes is not None
    assert 0 < usage.log_bytes <= LOG_BYTES
    assert len(tail) <= 65536


@pytest.mark.proves("Q06")
async def test_open_files(oci: OciBench, control: Control) -> None:
    """A sandbox can open as many files as its profile says and no more."""
    body = """
import json, os
count = 0
try:
    while count < 10000:
        os.open("/dev/null", os.O_RDONLY); count += 1
except OSError as error:
    print(json.dumps({"count": count, "errno": error.errno}))
"""
    found = await oci.ask(body, resources=Resources(cpu=1.0, memory=256 << 20, files=200))
    control("nearly 200 files can be opened", found["count"] > 180)
    assert (found["count"] < 200, found["errno"]) == (True, 24)


@pytest.mark.proves("T7", "Q07")
async def test_inotify_is_counted_per_user(oci: OciBench, control: Control) -> None:
    """A user who takes every inotify instance leaves another user's sandbox all of its own."""
    greedy = oci.spec(main=INOTIFY.replace("HOLD", "import time; time.sleep(600)"))
    await oci.create(greedy)
    await oci.backend.start(greedy.id)
    await oci.said(greedy, "}")
    taken = json.loads(await oci.backend.log_tail(greedy.id))["count"]
    control("the greedy one took instances", taken > 0)
    other = await oci.ask(INOTIFY.replace("HOLD", ""), user="bob", host_uid=UID_BASE + 2)
    assert other["count"] == taken


PIPES = """
import ctypes, fcntl, json, os
held, last = [], 0
try:
    for _ in range(PAIRS):
        held.append(os.pipe())
        last = fcntl.fcntl(held[-1][0], 1032)  # F_GETPIPE_SZ
except OSError as error:
    last = -error.errno
queues = ctypes.CDLL("librt.so.1", use_errno=True)
made = 0
while made < QUEUES and queues.mq_open(b"/q%d" % made, os.O_CREAT | os.O_RDWR, 0o600, None) >= 0:
    made += 1
print(json.dumps({"last": last, "queues": made}), flush=True)
HOLD
"""


@pytest.mark.proves("Q07")
async def test_pipes_and_queues_are_counted_per_user(oci: OciBench, control: Control) -> None:
    """A user who fills what the kernel counts for pipes and message queues takes nothing from another."""
    room = Resources(cpu=1.0, memory=256 << 20, pids=64, files=4096)
    body = (
        PIPES.replace("PAIRS", "1900")
        .replace("QUEUES", "1000")
        .replace("HOLD", "import time; time.sleep(600)")
    )
    greedy = await oci.create(oci.spec(main=body, resources=room))
    await oci.backend.start(greedy.id)
    await oci.said(greedy, "}")
    taken = json.loads(await oci.backend.log_tail(greedy.id))
    control(
        "the greedy one's last pipes are small, and it has queues",
        taken["last"] < 65536 and taken["queues"] > 0,
    )
    body = PIPES.replace("PAIRS", "10").replace("QUEUES", str(taken["queues"])).replace("HOLD", "")
    other = await oci.ask(body, user="bob", host_uid=UID_BASE + 2, resources=room)
    assert other["last"] == 65536
    if not has_own_namespace():  # an ordinary user's sandboxes share the bytes that this user has for queues
        assert other["queues"] == taken["queues"]


@pytest.mark.lane("cgroup")
async def test_limits_are_read_back(oci: OciBench) -> None:
    """The kernel's own files hold the spec's limits; other limits are noticed."""
    spec = await oci.running()
    name = f"jupyter-sandbox-spawner-{spec.id}"
    assert isinstance(oci.backend, OciBackend)
    cgroups = oci.backend._host.cgroups
    cgroups.verify(name, spec.resources, cgroups.probe().swap)
    for lower in ({"memory": 128 << 20}, {"pids": 63}, {"cpu": 0.5}):
        with pytest.raises(IsolationError) as refused:
            cgroups.verify(name, replace(spec.resources, **lower), cgroups.probe().swap)
        assert refused.value.code == "isolation.limit_not_applied"


async def test_usage_is_measured(oci: OciBench) -> None:
    """CPU seconds, memory, processes and log bytes of a running sandbox are numbers that make sense."""
    spec = await oci.running()
    usage = await oci.backend.usage(spec.id)
    assert usage.cpu_seconds is not None
    assert 0 < usage.cpu_seconds < 30
    assert usage.memory is not None
    assert 1 << 20 < usage.memory < 256 << 20
    assert (usage.pids, usage.oom_kills or 0) == (1, 0)
    assert usage.log_bytes == len("hello from inside\n")


async def test_soft_where_nothing_is_enforced(tmp_path: Path, oci: OciBench) -> None:
    """On a host without cgroups the level is soft, and a spec that demands hard is refused."""
    site = replace(oci.site, state=str(oci.directory / "l2"), cgroup_root=str(tmp_path))
    async with OciBackend.opened(site) as soft:
        assert (await soft.capabilities()).level == "soft"
        spec = oci.spec(isolation="hard")
        with pytest.raises(IsolationError) as refused:
            await soft.create(spec, oci.doors(spec), {})
        assert refused.value.code == "isolation.level"


@pytest.mark.lane("cgroup")
async def test_hard_where_everything_is_enforced(oci: OciBench) -> None:
    """On a host with cgroups of ours the level is hard, and a spec that demands it is taken."""
    assert (await oci.backend.capabilities()).level == "hard"
    await oci.create(oci.spec(isolation="hard"))


async def test_no_runtime_no_sandbox(oci: OciBench) -> None:
    """Without the runtime nothing is created, and the refusal names the command that helps."""
    site = replace(oci.site, state=str(oci.directory / "l3"), runtimes=("no-such-runtime",))
    async with OciBackend.opened(site) as broken:
        spec = oci.spec()
        with pytest.raises(IsolationError, match="apt-get install no-such-runtime") as refused:
            await broken.create(spec, oci.doors(spec), {})
    assert refused.value.code == "isolation.unavailable"


@pytest.mark.parametrize("runtime", ["kata-runtime"])
async def test_an_unfit_runtime_is_refused_by_name(
    oci: OciBench, runtime: str, control: Callable[[str, bool], None]
) -> None:
    """A runtime that cannot hold our sandboxes is refused with the reason, and no other takes its place."""
    control("runc is fit", unfit("runc") == "")
    site = replace(oci.site, state=str(oci.directory / "l4"), runtimes=(runtime,))
    async with OciBackend.opened(site) as broken:
        spec = oci.spec()
        with pytest.raises(IsolationError, match="Set runtime to runc") as refused:
            await broken.create(spec, oci.doors(spec), {})
        assert (await broken.capabilities()).runtimes == {}
    assert refused.value.code == "isolation.unavailable"


def test_crun_needs_one_kind_of_cgroups(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """crun is refused where cgroup v2 has controllers beside v1, and only there."""
    control("without a unified tree beside v1 it is fit", unfit("crun", str(tmp_path)) == "")
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.controllers").write_text("hugetlb\n")
    assert "side by side" in unfit("crun", str(tmp_path))


async def test_failed_start_leaves_nothing(oci: OciBench) -> None:
    """A sandbox that cannot start is failed with the reason; nothing stays after remove."""
    spec = oci.spec()
    await oci.create(spec)
    break_root(oci, spec.id)
    with pytest.raises(Exception, match="runc"):
        await oci.backend.start(spec.id)
    status = await oci.backend.status(spec.id)
    assert status is not None
    assert status.value == "failed"
    await oci.backend.remove(spec.id)
    assert_nothing_left(oci, spec.id)


async def test_remove_leaves_nothing(oci: OciBench) -> None:
    """After remove there is no process, cgroup, mount or bundle; the home stays."""
    spec = await oci.running()
    assert mounts_below(f"{oci.site.state}/sandboxes/{spec.id}")
    await oci.backend.remove(spec.id)
    assert_nothing_left(oci, spec.id)
    assert "main.py" in os.listdir(spec.mounts[0].source)


async def test_stop_kills_what_ignores_term(oci: OciBench) -> None:
    """A sandbox whose processes ignore SIGTERM is dead after the grace, its children too."""
    body = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork(); os.setsid() if os.getpid() != 1 else None
print("hello from inside", flush=True)
time.sleep(600)
"""
    spec = await oci.running(oci.spec(main=body))
    status = await oci.backend.stop(spec.id, 0.2)
    assert (status.value, status.exit_code) == ("stopped", 137)
    assert Cgroups().processes(f"jupyter-sandbox-spawner-{spec.id}") == ()


async def test_starts_at_once(oci: OciBench) -> None:
    """Five sandboxes started at the same moment all run."""
    specs = [oci.spec() for _ in range(5)]
    await asyncio.gather(*(oci.running(spec) for spec in specs))
    values = [item.status.value for item in await oci.backend.inventory()]
    assert values == ["running"] * 5


@pytest.mark.timeout(300)
async def test_fifty_start_and_stop_at_once(oci: OciBench) -> None:
    """Fifty sandboxes that start at the same moment all run; stopped at the same moment none is left."""
    specs = [oci.spec() for _ in range(50)]
    await asyncio.gather(*(oci.running(spec) for spec in specs))
    assert {item.status.value for item in await oci.backend.inventory()} == {"running"}
    ends = await asyncio.gather(*(oci.backend.stop(spec.id, 30) for spec in specs))
    assert {(end.value, end.reason) for end in ends} == {("stopped", "stopped on request")}
    await asyncio.gather(*(oci.backend.remove(spec.id) for spec in specs))
    assert await oci.backend.inventory() == ()


def break_root(oci: OciBench, sandbox_id: str) -> None:
    """Let config.json name a root file system that does not exist."""
    config = Path(oci.site.state, "sandboxes", sandbox_id, "config.json")
    document = json.loads(config.read_text())
    document["root"]["path"] = "/run/no-such-root"
    config.write_text(json.dumps(document))


def assert_nothing_left(oci: OciBench, sandbox_id: str) -> None:
    """No trace of the sandbox on the host."""
    assert not mounts_below(f"{oci.site.state}/sandboxes/{sandbox_id}")
    assert os.listdir(f"{oci.site.state}/sandboxes") == []
    assert not Path(oci.site.state, "runtime", sandbox_id).exists()
    places = ["/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in os.listdir("/sys/fs/cgroup"))]
    assert not any(Path(place, f"jupyter-sandbox-spawner-{sandbox_id}").exists() for place in places)


async def test_stop_meets_an_end_that_is_still_being_told(oci: OciBench) -> None:
    """A stop that comes while a sandbox's own end is being told waits for it and keeps its exit status."""
    spec = await oci.running()
    assert isinstance(oci.backend, OciBackend)
    async with oci.backend._events._news:  # nothing can be told meanwhile
        await oci.end(spec, 3)
        for _ in range(2000):
            found = await oci.backend.status(spec.id)
            if found is None or found.value != "running":
                break
            await asyncio.sleep(0.01)  # the status changes before it is told
        stopping = asyncio.create_task(oci.backend.stop(spec.id, 5))
        await asyncio.sleep(0.05)
        assert not stopping.done()
    status = await stopping
    assert (status.value, status.exit_code) == ("stopped", 3)
