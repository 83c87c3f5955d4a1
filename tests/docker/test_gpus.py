"""Does a real container get exactly the devices that it was given? The local backend's tests, on Docker."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.docker.gpus import way_of
from tests.backends.test_gpus import (
    gpus,
    test_cgroup_refuses_the_others,
    test_closed_node_is_refused,
    test_hooks_are_refused,
    test_nothing_without_allocation,
    test_only_the_given_device_is_there,
    test_spinning_on_every_core,
    test_two_sandboxes_side_by_side,
    test_unknown_device_is_refused,
    test_what_comes_along,
)
from tests.support.gpus import ThreeGpus, gpu_id

from .bench import DockerBench, open_bench
from .daemon import Daemon

__all__ = [
    "gpus",
    "test_cgroup_refuses_the_others",
    "test_closed_node_is_refused",
    "test_hooks_are_refused",
    "test_nothing_without_allocation",
    "test_only_the_given_device_is_there",
    "test_spinning_on_every_core",
    "test_two_sandboxes_side_by_side",
    "test_unknown_device_is_refused",
    "test_what_comes_along",
]

Control = Callable[[str, bool], None]


@pytest_asyncio.fixture
async def oci(daemon: Daemon, gpus: ThreeGpus) -> AsyncIterator[DockerBench]:
    """The Docker backend on a host with the three."""
    directory = Path(tempfile.mkdtemp(prefix="jss-"))
    try:
        async with open_bench(directory, daemon, gpus=gpus.host()) as bench:
            yield bench
    finally:
        shutil.rmtree(directory)


@pytest.mark.proves("Q08")
async def test_image_that_asks_for_all(
    oci: DockerBench,
    gpus: ThreeGpus,
    control: Control,
) -> None:
    """An image with NVIDIA_VISIBLE_DEVICES=all in it gives a container no device more than its own."""
    dockerfile = f"FROM {oci.image}\nENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=all\n"
    (oci.directory / "image").mkdir()
    (oci.directory / "image/Dockerfile").write_text(dockerfile)
    oci.daemon.ask("build", "--quiet", "--tag", "jss-asks-for-all:test", str(oci.directory / "image"))
    baked = oci.inspect_named("jss-asks-for-all:test")["Config"]["Env"]
    control("the image asks for all", "NVIDIA_VISIBLE_DEVICES=all" in baked)
    images = oci.docker_site.environments
    assert isinstance(images, dict)
    images["tiny"] = replace(images["tiny"], image="jss-asks-for-all:test")
    found = await oci.ask(gpus.look, gpu_devices=(gpu_id(2),))
    assert (found["nodes"], found["open"]) == (["nvidia2"], ["ENOENT", "ENOENT", "ok"])
    assert found["visible"] == "void"


def test_this_daemon_is_given_nodes(
    daemon: Daemon,
    gpus: ThreeGpus,
) -> None:
    """Without CDI and NVIDIA's runtime, as Debian's Docker is, a daemon is given our own nodes."""
    info = json.loads(daemon.ask("info", "--format", "{{json .}}"))
    assert way_of(info, gpus.host().give((gpu_id(0),))) == "nodes"
