"""Does a real sandbox get exactly the devices and cores that it was given, whatever image and user say?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.errors import IsolationError, RefusedError
from tests.backends.conftest import open_oci
from tests.backends.tiny import OciBench
from tests.support.gpus import ThreeGpus, from_cgroup, gpu_id

pytestmark = pytest.mark.lane("root", "runc", "cgroup")
Control = Callable[[str, bool], None]


SPIN = """
import json, os, resource, time
start = time.monotonic()
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        while time.monotonic() < start + 3:
            pass
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"cores": (used.ru_utime + used.ru_stime) / (time.monotonic() - start)}))
"""


@pytest.fixture
def gpus() -> Iterator[ThreeGpus]:
    """Three devices of this host."""
    directory = Path(tempfile.mkdtemp(prefix="jss-gpus-"))
    directory.chmod(0o755)
    yield ThreeGpus(directory)
    shutil.rmtree(directory)


@pytest_asyncio.fixture
async def oci(gpus: ThreeGpus) -> AsyncIterator[OciBench]:
    """The local backend on a host with the three."""
    async for bench in open_oci(gpus=gpus.host()):
        yield bench


@pytest.mark.proves("Q08", "I08")
async def test_only_the_given_device_is_there(oci: OciBench, gpus: ThreeGpus, control: Control) -> None:
    """Of three devices a sandbox sees the one it was given; it opens no other, and makes none."""
    found = await oci.ask(gpus.look, gpu_devices=(gpu_id(1),))
    control("the given device can be opened", found["open"][1] == "ok")
    assert found["nodes"] == ["nvidia1"]
    assert found["open"] == ["ENOENT", "ok", "ENOENT"]
    assert set(found["mknod"]) == {"EPERM"}
    assert found["visible"] == "void"


async def test_what_comes_along(oci: OciBench, gpus: ThreeGpus) -> None:
    """A device's library is there and cannot be written, and its variables are set."""
    found = await oci.ask(gpus.look, gpu_devices=(gpu_id(0),))
    assert (found["library"], found["flavour"]) == (True, "yes")
    assert found["writable"] in ("EROFS", "EACCES")


async def test_nothing_without_allocation(oci: OciBench, gpus: ThreeGpus, control: Control) -> None:
    """A sandbox without an allocation has no device, no library and nothing visible."""
    control("one with an allocation has one", (await oci.ask(gpus.look, gpu_devices=(gpu_id(2),)))["library"])
    found = await oci.ask(gpus.look)
    assert (found["nodes"], found["open"], found["visible"]) == ([], ["ENOENT"] * 3, "void")
    assert (found["library"], found["flavour"]) == (False, "")


@pytest.mark.proves("Q08")
async def test_cgroup_refuses_the_others(oci: OciBench, gpus: ThreeGpus, control: Control) -> None:
    """Even root with the nodes at hand opens, inside the sandbox's cgroup, the given device alone."""
    spec = await oci.running(oci.spec(gpu_devices=(gpu_id(1),)))
    before, after = from_cgroup(oci.first_process(spec), gpus.nodes)
    control("outside of it every device opens", before == ["ok"] * 3)
    assert after == ["EPERM", "ok", "EPERM"]


async def test_two_sandboxes_side_by_side(oci: OciBench, gpus: ThreeGpus) -> None:
    """Two sandboxes have a device each, and neither cgroup lets the other's through."""
    one = await oci.running(oci.spec(gpu_devices=(gpu_id(0),)))
    two = await oci.running(oci.spec("bob", gpu_devices=(gpu_id(1), gpu_id(2))))
    assert from_cgroup(oci.first_process(one), gpus.nodes)[1] == ["ok", "EPERM", "EPERM"]
    assert from_cgroup(oci.first_process(two), gpus.nodes)[1] == ["EPERM", "ok", "ok"]
    held = {item.id: item.labels["gpus"] for item in await oci.backend.inventory()}
    assert held == {one.id: gpu_id(0), two.id: f"{gpu_id(1)} {gpu_id(2)}"}


async def test_hooks_are_refused(oci: OciBench, gpus: ThreeGpus) -> None:
    """A device whose spec wants programs run as root of the host is refused with that reason."""
    document = gpus.document()
    document["containerEdits"]["hooks"] = [
        {"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook"}
    ]
    gpus.write(document)
    with pytest.raises(IsolationError, match="nvidia-cdi-hook") as refused:
        await oci.create(oci.spec(gpu_devices=(gpu_id(0),)))
    assert refused.value.code == "gpu.hooks"


async def test_unknown_device_is_refused(oci: OciBench) -> None:
    """An id that no spec has is refused, and so is the name of all of them."""
    for name in ("all", f"{gpu_id(0)},{gpu_id(1)}", "test.example/gpu=all"):
        with pytest.raises(RefusedError) as refused:
            await oci.create(oci.spec(gpu_devices=(name,)))
        assert refused.value.code == "launcher.gpu_unknown"


async def test_closed_node_is_refused(oci: OciBench, gpus: ThreeGpus) -> None:
    """A node that users may not open is told before a server starts that could not use it."""
    gpus.nodes[0].chmod(0o660)
    with pytest.raises(IsolationError, match="closed to users") as refused:
        await oci.create(oci.spec(gpu_devices=(gpu_id(0),)))
    assert refused.value.code == "gpu.unusable"


@pytest.mark.proves("Q08")
async def test_spinning_on_every_core(oci: OciBench, control: Control) -> None:
    """Four processes that spin get together no more of the processors than the profile's share."""
    resources = replace(oci.spec().resources, cpu=0.25)
    found = await oci.ask(SPIN, resources=resources)
    wide = await oci.ask(SPIN, resources=replace(resources, cpu=2.0))
    control("with a larger share they get more", wide["cores"] > 1.5 * 0.25)
    assert found["cores"] <= 1.15 * 0.25


@pytest.mark.lane("runsc")
@pytest.mark.proves("Q08")
async def test_gvisor_gives_none(gpus: ThreeGpus, control: Control) -> None:
    """Under gVisor a sandbox with a device does not start, and it says why."""
    async for bench in open_oci("runsc", gpus=gpus.host()):
        control("without a device it starts", (await bench.ask(gpus.look))["nodes"] == [])
        with pytest.raises(IsolationError, match="nvproxy") as refused:
            await bench.create(bench.spec(gpu_devices=(gpu_id(0),)))
        assert refused.value.code == "gpu.gvisor"
