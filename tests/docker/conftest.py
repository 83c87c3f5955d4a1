"""Which Docker daemon do the tests use? One a session, with the user image, ended with its containers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from .bench import DockerBench, open_bench
from .daemon import Daemon, run_daemon


@pytest.fixture(scope="session")
def daemon(evidence: Callable[[str, Callable[[], str]], Callable[[], None]]) -> Iterator[Daemon]:
    """The session's daemon; its log is printed with every failure."""
    with run_daemon() as running:
        forget = evidence("dockerd.log", running.log)
        yield running
        forget()


@pytest_asyncio.fixture
async def oci(daemon: Daemon) -> AsyncIterator[DockerBench]:
    """The Docker backend under the name that the tests of the local backend know."""
    directory = Path(tempfile.mkdtemp(prefix="jss-"))
    try:
        async with open_bench(directory, daemon) as bench:
            yield bench
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def docker(oci: DockerBench) -> DockerBench:
    """The Docker backend, for tests of its own."""
    return oci


@pytest.fixture
def backend(oci: DockerBench) -> DockerBench:
    """The Docker backend under the contract."""
    return oci


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All need the same lane; the first one may wait for the image to be built."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lane("docker"))
            item.add_marker(pytest.mark.timeout(480))
