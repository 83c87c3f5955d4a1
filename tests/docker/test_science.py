"""Do the packages of data scientists work in a container too, under Docker's handling of the same filter?

The image has none of them: the host's Debian packages are lent to the containers, read-only, by the site.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.backends.test_science import (
    test_learning,
    test_numbers_and_tables,
    test_processes_and_threads,
    test_the_tries_can_fail,
)

from .bench import DockerBench, open_bench
from .daemon import Daemon

__all__ = [
    "oci",
    "test_learning",
    "test_numbers_and_tables",
    "test_processes_and_threads",
    "test_the_tries_can_fail",
]

pytestmark = pytest.mark.lane("science")
# Image and host are the same release of Debian; libraries of linear algebra are chosen by links in /etc.
LENT = {place: place for place in ("/usr", "/etc/alternatives")}


@pytest_asyncio.fixture
async def oci(daemon: Daemon) -> AsyncIterator[DockerBench]:
    """The Docker backend whose site shares the host's packages."""
    directory = Path(tempfile.mkdtemp(prefix="jss-"))
    try:
        async with open_bench(directory, daemon, shared=LENT) as bench:
            yield bench
    finally:
        shutil.rmtree(directory)
