"""What holds a sandbox that has a kernel of its own? The cgroup that we make, and a narrow file server."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.oci import passage as passage_program
from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from jupyter_sandbox_spawner.backends.oci.gvisor import Gvisor
from jupyter_sandbox_spawner.backends.oci.kernel import mounts_below
from jupyter_sandbox_spawner.backends.oci.passage import barriers
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.models import SandboxSpec
from tests.backends.conftest import open_oci
from tests.backends.test_oci_limits import test_inotify_is_counted_per_user, test_output_is_bounded
from tests.backends.tiny import WAITS_FOR_ITS_END, OciBench, open_door

__all__ = ["test_inotify_is_counted_per_user", "test_output_is_bounded"]

pytestmark = pytest.mark.lane("runsc", "cgroup")
Control = Callable[[str, bool], None]
KNOCKS = "import socket\nsocket.socket(socket.AF_UNIX).connect('/run/sandbox/doors/x.sock')\n"
CGROUPS = Path("/sys/fs/cgroup")


@pytest_asyncio.fixture
async def gvisor() -> AsyncIterator[OciBench]:
    """The local backend whose sandboxes run under gVisor."""
    async for bench in open_oci("runsc"):
        yield bench


@pytest_asyncio.fixture
async def oci(gvisor: OciBench) -> OciBench:
    """For the tests of `runc` that are the same here."""
    return gvisor


def zombies() -> list[str]:
    """Dead children of this process that nobody has asked for their exit status: names of gVisor's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it ended while we looked
            continue
        state, parent = rest.split()[:2]
        if (state, parent) == ("Z", str(os.getpid())) and name.startswith(("exe", "runsc")):
            found.append(name)
    return found


def processes_of(sandbox_id: str) -> dict[int, str]:
    """The living processes of the host in a sandbox's cgroup, by their command."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if sandbox_id in (path / "cgroup").read_text():
                found[int(path.name)] = (path / "cmdline").read_text().partition("\0")[0]
        except OSError:  # it ended while we looked
            continue
    return found


def told(pid: int, name: str) -> str:
    """What /proc says of a process."""
    return Path(f"/proc/{pid}/{name}").read_text()


def left_of(bench: OciBench, sandbox_id: str) -> list[str]:
    """State, mounts and cgroups of a sandbox that are still on the host."""
    return [
        *map(str, Path(bench.site.state, "runtime-runsc").iterdir()),
        *mounts_below(f"{bench.site.state}/sandboxes/{sandbox_id}"),
        *map(str, CGROUPS.glob(f"*/jupyter-sandbox-spawner-{sandbox_id}")),
    ]


async def test_its_kernel_is_another(gvisor: OciBench, control: Control) -> None:
    """The program meets gVisor's kernel and not the host's."""
    found = await gvisor.ask("import json, os\nprint(json.dumps({'release': os.uname().release}))")
    control("the host's is newer than what gVisor says it is", os.uname().release != "4.4.0")
    assert found == {"release": "4.4.0"}


@pytest.mark.proves("Q01")
async def test_too_many_processes_end_it(gvisor: OciBench, control: Control) -> None:
    """A fork bomb ends its own sandbox with the reason, and its neighbour goes on."""
    neighbour = await gvisor.running()
    few, _ = await gvisor.play("import os\nfor _ in range(20):\n    os.fork() or os._exit(0)\n")
    control("twenty processes can be made", few.exit_code == 0)
    bomb = "import os, time\nfor _ in range(500):\n    os.fork() or time.sleep(60)\n"
    room = replace(neighbour.resources, memory=1 << 30, pids=16)
    status, _ = await gvisor.play(bomb, resources=room)
    assert status.value == "stopped"
    assert status.reason == "too many processes for gVisor and a profile with pids: 16"
    found = await gvisor.backend.status(neighbour.id)
    assert found is not None
    assert found.value == "running"


@pytest.mark.proves("Q02")
async def test_out_of_memory(gvisor: OciBench, control: Control) -> None:
    """More than its memory ends it, and the status says how much it used."""
    small, _ = await gvisor.play("data = b'x' * (64 << 20)")
    control("64 MB of 256 MB can be taken", small.exit_code == 0)
    status, _ = await gvisor.play("data = [b'x' * (1 << 20) for _ in range(1000)]")
    assert (status.value, status.reason) == ("stopped", "out of memory: used 256.0 MB of 256.0 MB")


@pytest.mark.proves("Q03")
async def test_tmpfs_is_full(gvisor: OciBench, control: Control) -> None:
    """/tmp ends at its bytes with ENOSPC; how many files it has only its memory limits."""
    body = """
import json, os
written = 0
try:
    with open("/tmp/large", "wb") as stream:
        while True:
            written += stream.write(b"x" * 65536); stream.flush()
except OSError as error:
    print(json.dumps({"bytes": os.stat("/tmp/large").st_size, "errno": error.errno}))
"""
    found = await gvisor.ask(body)
    control("what the profile promises can be written", found["bytes"] == 8 << 20)
    assert found["errno"] == 28


@pytest.mark.proves("Q06")
async def test_open_files(gvisor: OciBench, control: Control) -> None:
    """A program inside opens as many files as its profile says and no more."""
    body = """
import json, os
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    number = error.errno
for descriptor in held:
    os.close(descriptor)
print(json.dumps({"held": len(held), "errno": number}))
"""
    spec = gvisor.spec()
    found = await gvisor.ask(body, resources=replace(spec.resources, files=200))
    control("some files can be opened", found["held"] > 100)
    assert found["held"] < 200
    assert found["errno"] == 24


async def test_limits_are_those_of_its_cgroup(gvisor: OciBench) -> None:
    """Every process of it is in the cgroup whose files hold the profile's limits."""
    spec = await gvisor.running()
    assert isinstance(gvisor.backend, OciBackend)
    host = gvisor.backend._host
    name = host.cgroup_name(spec.id)
    host.cgroups.verify(name, host.runtime(spec).held(spec.resources), host.cgroups.probe().swap)
    usage = await gvisor.backend.usage(spec.id)
    assert usage.pids is not None
    assert 1 <= usage.pids <= 8  # of the profile's, of which the host's tasks are a multiple
    commands = set(processes_of(spec.id).values())
    assert {"runsc-sandbox", "runsc-gofer"} <= commands


@pytest.mark.proves("I11")
async def test_its_file_server_reaches_nothing_else(gvisor: OciBench, control: Control) -> None:
    """In its file server's view of the host there is its own home and no other's, and it is not root."""
    other = await gvisor.running(gvisor.spec(user="bob"))
    spec = await gvisor.running()
    (server,) = [pid for pid, name in processes_of(spec.id).items() if name == "runsc-gofer"]
    control("its own home is there", spec.mounts[0].source in told(server, "mountinfo"))
    assert other.mounts[0].source not in told(server, "mountinfo")
    assert f"Uid:\t{gvisor.site.root_uid}\t" in told(server, "status")


async def test_it_comes_to_its_doors_as_uid_0_of_its_namespace(gvisor: OciBench) -> None:
    """What connects to a door has the host uid that stands for 0 inside, as the gateway is told to expect."""
    spec = gvisor.spec(main=KNOCKS)
    with open_door(Path(gvisor.doors(spec).directory, "x.sock")) as door:
        await gvisor.create(spec)
        await gvisor.backend.start(spec.id)
        connection, _ = await asyncio.to_thread(door.accept)
        with connection:
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    assert struct.unpack("3i", raw)[1] == gvisor.site.root_uid


CHILDREN = """
import os, time
for _ in range(3):
    os.fork() or time.sleep(600)
print("hello from inside", flush=True)
time.sleep(600)
"""


async def test_remove_leaves_nothing(gvisor: OciBench, control: Control) -> None:
    """After remove there is no process, zombie, cgroup, mount or state of it; the home stays."""
    spec = await gvisor.running(gvisor.spec(main=CHILDREN))
    control("it had processes and a state", bool(processes_of(spec.id) and left_of(gvisor, spec.id)))
    await gvisor.backend.remove(spec.id)
    assert (processes_of(spec.id), left_of(gvisor, spec.id), zombies()) == ({}, [], [])
    assert "main.py" in os.listdir(spec.mounts[0].source)


async def test_a_file_server_that_does_not_end_is_killed(gvisor: OciBench) -> None:
    """What is no child of the sandbox's kernel ends with it, also where it cannot end by itself."""
    spec = await gvisor.running()
    (server,) = [pid for pid, name in processes_of(spec.id).items() if name == "runsc-gofer"]
    os.kill(server, signal.SIGSTOP)
    await gvisor.backend.remove(spec.id)
    assert (processes_of(spec.id), left_of(gvisor, spec.id), zombies()) == ({}, [], [])


async def test_a_broken_further_runtime_keeps_nobody(
    gvisor: OciBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further runtime that cannot be run is refused with the reason; the launcher starts, others run."""

    async def broken(_self: Gvisor) -> str:
        raise OSError(errno.ENOEXEC, "Exec format error")

    monkeypatch.setattr(Gvisor, "lacks", broken)
    site = replace(gvisor.site, state=f"{gvisor.directory}/broken", runtimes=("runc", "runsc"))
    async with OciBackend.opened(site) as backend:
        found = await backend.capabilities()
    assert (list(found.runtimes), "Exec format error" in found.refused["runsc"]) == (["runc"], True)


@asynccontextmanager
async def restarted(bench: OciBench, between: Callable[[SandboxSpec], None]) -> AsyncIterator[SandboxSpec]:
    """A launcher that starts anew, a sandbox that an earlier one had started, and what happened between."""
    site, own = replace(bench.site, state=f"{bench.directory}/again"), bench.backend
    async with OciBackend.opened(site) as bench.backend:
        spec = await bench.running()
    between(spec)
    async with OciBackend.opened(site) as bench.backend:
        yield spec
    bench.backend = own


async def test_it_outlives_the_launcher(gvisor: OciBench) -> None:
    """A launcher that starts anew knows it again, and ends it."""
    async with restarted(gvisor, lambda spec: None) as spec:
        found = await gvisor.backend.status(spec.id)
        assert found is not None
        assert found.value == "running"
        assert (await gvisor.backend.stop(spec.id, 10)).value == "stopped"
        await gvisor.backend.remove(spec.id)
    assert processes_of(spec.id) == {}


async def test_what_has_no_record_is_swept_up(gvisor: OciBench) -> None:
    """What a launcher has no record of is ended when it starts anew."""

    def forget(spec: SandboxSpec) -> None:
        assert processes_of(spec.id)
        Path(gvisor.directory, "again/sandboxes", spec.id, "record.json").unlink()

    async with restarted(gvisor, forget) as spec:
        assert await gvisor.backend.inventory() == ()
        assert processes_of(spec.id) == {}


async def test_one_site_has_several_runtimes(gvisor: OciBench) -> None:
    """Sandboxes of one launcher run each under the runtime that its profile names."""
    site = replace(gvisor.site, state=f"{gvisor.directory}/both", runtimes=("runc", "runsc"))
    body = WAITS_FOR_ITS_END.replace('from inside"', 'from inside", os.uname().release')
    async with OciBackend.opened(site) as both:
        gvisor.backend, first = both, gvisor.backend
        for runtime in site.runtimes:
            spec = await gvisor.running(replace(gvisor.spec(main=body), runtime=runtime))
            release = (await both.log_tail(spec.id)).split()[-1]
            assert release == ("4.4.0" if runtime == "runsc" else os.uname().release)
            await both.remove(spec.id)
        gvisor.backend = first


async def test_a_runtime_that_was_not_verified_starts_nothing(gvisor: OciBench) -> None:
    """A site that names a runtime which this host lacks starts the others, and refuses that one by name."""
    site = replace(gvisor.site, state=f"{gvisor.directory}/lacks", runtimes=("runsc", "no-such-runtime"))
    async with OciBackend.opened(site) as backend:
        spec = gvisor.spec()
        await backend.create(spec, gvisor.doors(spec), {})
        await backend.remove(spec.id)
        for name, why in (("no-such-runtime", "apt-get install no-such-runtime"), ("runc", "runs runsc")):
            other = replace(gvisor.spec(), runtime=name)
            with pytest.raises(IsolationError, match=why) as refused:
                await backend.create(other, gvisor.doors(other), {})
            assert (refused.value.code, refused.value.field) == ("isolation.runtime_unavailable", "runtime")


def test_barriers_are_what_others_may_not_pass(tmp_path: Path, control: Control) -> None:
    """The uppermost directory that only its owner may pass is the barrier; an open way has none."""
    top = Path(os.path.realpath(tmp_path))
    for directory in (top, *top.parents):
        if directory != Path("/") and not directory.stat().st_mode & 1:
            top = directory
    (tmp_path / "a/b").mkdir(parents=True)
    found = barriers([f"{tmp_path}/a/b", "/usr/bin"])
    control("pytest's own directory is closed", not top.stat().st_mode & 1)
    assert found == [str(top)]


def test_a_passage_shows_nothing_else(tmp_path: Path, control: Control) -> None:
    """Below a closed directory a command behind a passage finds the given paths alone, and passes to them."""
    top = Path(tempfile.mkdtemp(prefix="jss-", dir="/tmp"))
    try:
        for name in ("mine", "other"):
            (top / name).mkdir(mode=0o755)
        control("the directory has both, for root alone", top.stat().st_mode & 0o777 == 0o700)
        passage = [sys.executable, "-I", "-S", passage_program.__file__, f"{top}/mine", "--"]
        seen = "import os, sys; os.setuid(65534); print(os.path.isdir(sys.argv[1])); os.listdir(sys.argv[1])"
        listed = ["unshare", "--mount", "--", *passage, "/bin/ls", str(top)]
        assert subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split() == ["mine"]
        stranger = ["unshare", "--mount", "--", *passage, sys.executable, "-I", "-c", seen, f"{top}/mine"]
        assert subprocess.run(stranger, capture_output=True, text=True, check=True).stdout == "True\n"
    finally:
        shutil.rmtree(top)
