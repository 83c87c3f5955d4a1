"""Does the launcher program refuse what it must, and do sandboxes outlive it?"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.errors import AnswerError, UnreachableError
from jupyter_sandbox_spawner.models import Doors, Mount, Resources, SandboxSpec, UserPlace
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.settings import Environment, Site, write_site

pytestmark = pytest.mark.lane("root", "runc", "cgroup")
Control = Callable[[str, bool], None]
BASE = 3_300_000
CALLER = 3_399_999
# Stands for the user image: its pid 1 waits, and ends when a file appears in the home. The probe sandbox
# gets a real Python.
PID_ONE = """#!/bin/sh
[ -e /home/jovyan ] && [ ! -e /run/sandbox/doors/boot.sock ] || exec /usr/bin/python3 "$@"
trap 'exit 143' TERM
echo waiting
while ! [ -e /home/jovyan/end ]; do sleep 0.05; done
exit $(cat /home/jovyan/end)
"""


class House:
    """A site with a launcher that a test may kill and start again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        interpreter = directory / "env/bin/python"
        interpreter.parent.mkdir(parents=True)
        interpreter.write_text(PID_ONE)
        interpreter.chmod(0o755)
        (directory / "run").mkdir(mode=0o700)
        self.site = Site(
            run_dir=str(directory / "run"),
            state_dir=str(directory / "state"),
            profiles="profiles.yaml",
            public_port=0,
            hub_port=0,
            proxy_api_port=0,
            front_port=0,
            environments={"tiny": Environment(prefix=str(directory / "env"))},
            uid_base=BASE,
            uid_count=100,
            callers={"launcher": (CALLER,)},
        )
        write_site(directory / "site.json", self.site)
        self.client = LauncherClient(self.site.launcher_socket)
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the launcher and wait until it answers."""
        command = (sys.executable, "-m", "jupyter_sandbox_spawner.launcher", "--site", "site.json")
        self.process = launch(command, self.directory)
        for _ in range(1200):  # a busy machine imports slowly
            if self.process.poll() is not None:
                raise RuntimeError(log_of(self.directory))
            try:
                await self.client.capabilities()
            except UnreachableError:
                await asyncio.sleep(0.05)
            else:
                return
        raise TimeoutError(log_of(self.directory))

    async def end(self, number: signal.Signals) -> int:
        """Signal the launcher and wait for its end."""
        if self.process is None:
            raise RuntimeError("not started")
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 20)

    async def spec(self, place: UserPlace, **changes: Any) -> tuple[SandboxSpec, Doors]:
        """A request that the launcher admits, and its doors directory."""
        identity = sandbox_id(place.user, "", os.urandom(8).hex())
        doors = f"{self.site.doors_dir}/{identity}"
        os.makedirs(doors)
        spec = SandboxSpec(
            id=identity,
            user=place.user,
            server="",
            profile="small",
            profile_digest="0",
            environment_name="tiny",
            host_uid=place.host_uid,
            resources=Resources(cpu=1.0, memory=128 << 20, pids=32),
            mounts=(Mount(kind="home", source=place.home, target="/home/jovyan", read_only=False),),
        )
        return replace(spec, **changes), Doors(directory=doors)

    async def running(self, user: str) -> tuple[SandboxSpec, UserPlace]:
        """A running sandbox of a user that has said that it waits."""
        place = await self.client.place(user)
        spec, doors = await self.spec(place)
        await self.client.create(spec, doors)
        await self.client.start(spec.id)
        for _ in range(400):
            if "waiting" in await self.client.log_tail(spec.id):
                return spec, place
            await asyncio.sleep(0.05)
        raise TimeoutError(await self.client.log_tail(spec.id))


@pytest_asyncio.fixture
async def house() -> AsyncIterator[House]:
    """A house whose launcher runs; everything is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="jss-"))
    house = House(directory)
    await house.start()
    try:
        yield house
    finally:
        if house.process is None or house.process.poll() is not None:
            await house.start()
        for item in await house.client.inventory():
            await house.client.remove(item.id)
        code = await house.end(signal.SIGTERM)
        await house.client.close()
        shutil.rmtree(directory)
    assert code == 0


async def test_one_sandbox_over_http(house: House) -> None:
    """Place, create, start, status, usage, log, stop and remove work over the socket."""
    spec, place = await house.running("alice")
    status = await house.client.status(spec.id)
    usage = await house.client.usage(spec.id)
    assert status is not None
    assert (status.value, place.host_uid) == ("running", BASE + 1)
    assert usage.pids is not None
    assert usage.pids >= 1
    assert await house.client.ended(spec.id, 0.05) is None
    assert [item.id for item in await house.client.inventory()] == [spec.id]
    stopped = await house.client.stop(spec.id, 10)
    assert (stopped.value, stopped.exit_code) == ("stopped", 143)
    await house.client.remove(spec.id)
    await house.client.remove(spec.id)
    assert await house.client.status(spec.id) is None
    kinds = [event.kind for event in await house.client.events(0, 1)]
    assert kinds[0] == "sandbox.pending"
    assert kinds[-1] == "sandbox.stopped"


@pytest.mark.proves("E21")
async def test_without_a_proof_nothing_starts(house: House) -> None:
    """Once the probe fails, new sandboxes are refused with the reason and running ones are listed."""
    spec, _ = await house.running("alice")
    interpreter = house.directory / "env/bin/python"
    right = interpreter.read_text()
    interpreter.write_text("#!/bin/sh\necho out of order; exit 1\n")
    found = await house.client.canary(again=True)
    assert (found["proved"], [item["id"] for item in found["running"]]) == (False, [spec.id])
    assert "out of order" in found["why"]
    place = await house.client.place("bob")
    with pytest.raises(AnswerError) as refused:
        await house.client.create(*await house.spec(place))
    assert refused.value.code == "isolation.unproved"
    assert await metric(house, 'jupyter_sandbox_isolation_proved{runtime="runc"}') == "0"
    interpreter.write_text(right)
    assert (await house.client.canary(again=True))["proved"]
    await house.running("bob")
    assert await metric(house, 'jupyter_sandbox_isolation_proved{runtime="runc"}') == "1"


async def metric(house: House, name: str) -> str:
    """A value of the launcher's metrics."""
    async with house.client.session().get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name} "))


@pytest.mark.proves("H08")
async def test_sandbox_survives_kill_of_launcher(house: House) -> None:
    """After kill -9 the sandbox runs on; the next launcher knows it, measures it and tells its end."""
    spec, place = await house.running("alice")
    before = await house.client.status(spec.id)
    await house.end(signal.SIGKILL)
    assert Cgroups().processes(f"jupyter-sandbox-spawner-{spec.id}")
    await house.start()
    assert await house.client.status(spec.id) == before
    assert (await house.client.usage(spec.id)).pids
    assert "waiting" in await house.client.log_tail(spec.id)
    end_inside(place, 5)
    status = await house.client.ended(spec.id, 20)
    assert status is not None
    assert status.value == "stopped"


@pytest.mark.proves("H08")
async def test_end_while_the_launcher_is_away(house: House) -> None:
    """A sandbox that ends while the launcher is away is stopped afterwards and can be removed."""
    spec, place = await house.running("alice")
    await house.end(signal.SIGKILL)
    end_inside(place, 5)
    for _ in range(400):
        if not Cgroups().processes(f"jupyter-sandbox-spawner-{spec.id}"):
            break
        await asyncio.sleep(0.05)
    await house.start()
    status = await house.client.status(spec.id)
    assert status is not None
    assert status.value == "stopped"
    assert "while the launcher was away" in status.reason
    await house.client.remove(spec.id)


async def test_restart_keeps_sandboxes(house: House) -> None:
    """SIGTERM ends the launcher within seconds with status 0 and leaves its sandboxes running."""
    spec, _ = await house.running("alice")
    assert await asyncio.wait_for(house.end(signal.SIGTERM), 10) == 0
    await house.start()
    status = await house.client.status(spec.id)
    assert status is not None
    assert status.value == "running"
    assert (await house.client.stop(spec.id, 5)).value == "stopped"


@pytest.mark.proves("H08")
@pytest.mark.parametrize("delay", [0.0, 0.03, 0.08, 0.15])
async def test_killed_in_the_middle_of_a_start(house: House, delay: float) -> None:
    """Killed at any moment of a start, the launcher finds a running sandbox or none, never half of one."""
    place = await house.client.place("alice")
    spec, doors = await house.spec(place)
    await house.client.create(spec, doors)
    start = asyncio.create_task(house.client.start(spec.id))
    await asyncio.sleep(delay)
    await house.end(signal.SIGKILL)
    await asyncio.gather(start, return_exceptions=True)
    await house.start()
    status = await house.client.status(spec.id)
    assert status is not None
    assert status.value in ("pending", "running", "failed")
    await house.client.remove(spec.id)
    assert not Cgroups().processes(f"jupyter-sandbox-spawner-{spec.id}")


async def test_all_usages_at_once_and_the_last_of_one_that_went(house: House) -> None:
    """Both sandboxes are there; the one that is gone still has what it had used when it went."""
    gone, _ = await house.running("alice")
    stays, _ = await house.running("bob")
    before = (await house.client.usages())[gone.id].cpu_seconds
    alone = (await house.client.usage(stays.id)).cpu_seconds
    await house.client.stop(gone.id, 5)
    await house.client.remove(gone.id)
    after = await house.client.usages()
    assert before is not None
    assert 0 < before <= (after[gone.id].cpu_seconds or 0)
    assert alone is not None
    assert alone <= (after[stays.id].cpu_seconds or 0)


async def test_second_launcher_is_refused(house: House) -> None:
    """A second launcher on the same state ends with status 1 and one line that says why."""
    second = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "jupyter_sandbox_spawner.launcher", "--site", "site.json"),
        cwd=house.directory,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(second.communicate(), 20)
    assert second.returncode == 1
    assert b"launcher.running" in said
    assert await house.client.inventory() == ()


@pytest.mark.proves("X05")
async def test_other_uid_is_refused(house: House, control: Control) -> None:
    """Another uid cannot use the socket, even where its file mode would let it; a named caller can."""
    os.chmod(house.site.launcher_socket, 0o777)
    os.chmod(house.directory, 0o755)
    os.chmod(house.site.run_dir, 0o755)
    control(
        "a uid that the site names is served", "200 OK" in await ask_as(CALLER, house.site.launcher_socket)
    )
    answer = await ask_as(CALLER - 1, house.site.launcher_socket)
    assert "403 Forbidden" in answer
    assert "caller.not_allowed" in answer


@pytest.mark.proves("H04")
async def test_overlay_and_doors_are_checked(house: House) -> None:
    """An overlay that opens the sandbox, foreign doors and linked doors are refused over the socket."""
    place = await house.client.place("alice")
    spec, doors = await house.spec(place)
    with pytest.raises(AnswerError) as opened:
        await house.client.create(spec, doors, {"process": {"noNewPrivileges": False}})
    assert opened.value.code == "isolation.new_privileges"
    with pytest.raises(AnswerError) as foreign:
        await house.client.create(spec, Doors(directory=house.site.run_dir))
    assert foreign.value.code == "launcher.doors_foreign"
    os.rmdir(doors.directory)
    os.symlink("/root", doors.directory)
    await house.client.create(spec, doors)
    with pytest.raises(AnswerError) as linked:
        await house.client.start(spec.id)
    assert linked.value.code == "isolation.mount_source"


async def test_malformed_requests(house: House) -> None:
    """A body that is no request, an id that is none and a time that is none are refused by name."""
    for method, path, body in (
        ("PUT", "/sandboxes/sb-x", {"spec": 1}),
        ("GET", "/events?after=x", None),
        ("GET", "/events?after=0&timeout=1e9", None),
        ("PUT", "/users/..%2Froot", None),
    ):
        with pytest.raises(AnswerError) as refused:
            await house.client.call(method, path, body)
        assert refused.value.status == 400
    with pytest.raises(AnswerError) as unknown:
        await house.client.call("GET", "/sandboxes/..%2F..%2Fetc")
    assert unknown.value.code == "sandbox.unknown"


def launch(command: tuple[str, ...], directory: Path) -> subprocess.Popen[bytes]:
    """The launcher as a child of the test, its log beside its site."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with open(directory / "launcher.log", "ab") as log:
        return subprocess.Popen(command, cwd=directory, stderr=log, env=environment)


def log_of(directory: Path) -> str:
    """What the launcher wrote."""
    return (directory / "launcher.log").read_text()


def end_inside(place: UserPlace, code: int) -> None:
    """Let the program in this user's sandbox end with a status."""
    Path(place.home, "end").write_text(str(code))


async def ask_as(uid: int, path: str) -> str:
    """`GET /health` by a process of another uid; the raw answer."""
    question = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(b'GET /health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n');"
        "print(b''.join(iter(lambda: s.recv(4096), b'')).decode())"
    )
    process = await asyncio.create_subprocess_exec(
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-I", "-c"),
        *(question, path),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    return said.decode()
