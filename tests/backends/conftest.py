"""Which backends does the contract run against, and what is taken away afterwards?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.given import GpuSource, NoGpus
from jupyter_sandbox_spawner.backends.memory import MemoryBackend
from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from jupyter_sandbox_spawner.backends.oci.rootfs import rootfs_path
from tests.backends.tiny import Bench, MemoryBench, OciBench

OCI_LANES = pytest.mark.lane("hostuids", "runc")
CRUN = pytest.param("crun", marks=pytest.mark.lane("hostuids", "crun"))
RUNSC = pytest.param("runsc", marks=pytest.mark.lane("runsc", "cgroup"))
UNDER_EACH_RUNTIME = pytest.mark.parametrize(
    "oci", [pytest.param("runc", marks=OCI_LANES), RUNSC], indirect=True
)


async def open_oci(runtime: str = "runc", gpus: GpuSource | None = None) -> AsyncIterator[OciBench]:
    """The local backend on a directory of its own, on a host that has these GPUs."""
    directory = Path(tempfile.mkdtemp(prefix="jss-"))
    bench = OciBench(directory, runtime)
    bench.site = replace(bench.site, gpus=gpus or NoGpus())
    try:
        async with OciBackend.opened(bench.site) as backend:
            bench.backend = backend
            try:
                yield bench
            finally:
                for item in await backend.inventory():
                    await backend.remove(item.id)
        assert not rootfs_path(bench.site.state).exists()
    finally:
        bench.close()
        shutil.rmtree(directory)


@pytest_asyncio.fixture
async def oci(request: pytest.FixtureRequest) -> AsyncIterator[OciBench]:
    """The local backend on a directory of its own, under `runc` or the runtime that the test is given."""
    async for bench in open_oci(getattr(request, "param", "runc")):
        yield bench


@pytest_asyncio.fixture(params=["memory", pytest.param("oci", marks=OCI_LANES), CRUN, RUNSC])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Each backend under the same contract."""
    if request.param == "memory":
        yield MemoryBench(MemoryBackend())
        return
    async for bench in open_oci(request.param.replace("oci", "runc")):
        yield bench
