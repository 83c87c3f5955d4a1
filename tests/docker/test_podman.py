"""Is Podman refused by name where Docker is meant, and does it still do what it is refused for?"""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.docker.backend import DockerBackend
from jupyter_sandbox_spawner.backends.docker.engine import Engine
from jupyter_sandbox_spawner.backends.docker.render import render
from jupyter_sandbox_spawner.errors import BackendError, IsolationError
from tests.backends.docker_facts import DOORS, PLACE, SPEC

from .bench import DockerBench
from .daemon import Daemon
from .podman import NOTHING, run_podman
from .test_doctor import found

pytestmark = pytest.mark.lane("podman")
Control = Callable[[str, bool], None]
Request = dict[str, Any]


@pytest.fixture(scope="module")
def podman() -> Iterator[Daemon]:
    """A real Podman behind its Docker-compatible socket."""
    with run_podman() as daemon:
        yield daemon


@pytest_asyncio.fixture
async def engine(podman: Daemon) -> AsyncIterator[Engine]:
    """Podman asked as Docker is."""
    engine = Engine(podman.socket)
    try:
        yield engine
    finally:
        await engine.close()


async def test_refused_by_name(podman: Daemon, tmp_path: Path, control: Control) -> None:
    """Nothing starts on Podman; the sentence names it and what to use instead."""
    version = podman.ask("version", "--format", "{{.Server.APIVersion}}")
    control("it answers as a Docker that is new enough", version.strip() == "1.41")
    bench = DockerBench(tmp_path, podman, {})
    spec = bench.spec()
    async with DockerBackend.opened(bench.docker_site) as backend:
        assert re.search('is Podman 4.*backend="local"', " ".join((await backend.capabilities()).missing))
        with pytest.raises(IsolationError, match="is Podman") as refused:
            await backend.create(spec, bench.doors(spec), {})
        assert refused.value.code == "isolation.unavailable"
        assert await backend.inventory() == ()


def test_doctor_names_it(podman: Daemon) -> None:
    """Doctor's one finding is that this is not Docker."""
    (finding,) = found(podman.socket).values()
    assert not finding.fine
    assert "is Podman" in finding.seen
    assert finding.remedy


def request_for(directory: Path) -> Request:
    """Our own request, whose directories are there."""
    request = copy.deepcopy(render(SPEC, DOORS, PLACE))
    request["Image"] = NOTHING
    for mount in request["HostConfig"]["Mounts"]:
        mount["Source"] = str(directory)
    return request


def readable(request: Request) -> Request:
    """Without what Podman cannot read."""
    host = request["HostConfig"]
    host["SecurityOpt"] = ["no-new-privileges"]
    tmpfs = host["Tmpfs"].items()
    host["Tmpfs"] = {place: re.sub(r",(nr_inodes|uid|gid)=\d+", "", text) for place, text in tmpfs}
    return request


async def test_refuses_parts_of_our_request(engine: Engine, tmp_path: Path, control: Control) -> None:
    """Podman reads neither a seccomp profile that is given as text nor all options of a tmpfs."""
    with pytest.raises(BackendError, match="seccomp"):
        await engine.create("as-it-is", request_for(tmp_path))
    request = readable(request_for(tmp_path))
    request["HostConfig"]["Tmpfs"]["/tmp"] += ",nr_inodes=500"
    with pytest.raises(BackendError, match="nr_inodes"):
        await engine.create("inodes", request)
    made = await engine.create("readable", readable(request_for(tmp_path)))
    control("without both it makes a container", bool(made))
    await engine.remove(made)


async def test_leaves_out_what_closes_a_sandbox(engine: Engine, tmp_path: Path, control: Control) -> None:
    """What Podman says of our container: IPC is shared, nothing masked, two writable places endless."""
    request = readable(request_for(tmp_path))
    made = await engine.create("open", request)
    inspected = await engine.inspect(made)
    await engine.remove(made)
    assert inspected is not None
    host, asked = inspected["HostConfig"], request["HostConfig"]
    control("it keeps the network away", host["NetworkMode"] == asked["NetworkMode"] == "none")
    assert (asked["IpcMode"], host["IpcMode"]) == ("private", "shareable")
    assert "/sys" in asked["MaskedPaths"]
    assert not host["MaskedPaths"]
    added = {place: text for place, text in host["Tmpfs"].items() if place not in asked["Tmpfs"]}
    assert set(added) == {"/run", "/var/tmp"}
    assert not [text for text in added.values() if "size=" in text]
