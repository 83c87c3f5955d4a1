"""Which fixtures do the tests of the inside share?"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.singleuser.sandbox import Sandbox, sandbox
from tests.singleuser.selfapi import SelfApi


@pytest.fixture
def place() -> Iterator[Sandbox]:
    """A sandbox, not yet booted."""
    with sandbox() as made:
        yield made


@pytest.fixture
def api() -> Iterator[SelfApi]:
    """Control's answers about this very process, which is "inside" while the test runs."""
    server = SelfApi()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield server
    time.tzset()
    server.close()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in memory, which is the server's own runtime directory."""
    directory = tempfile.mkdtemp(dir="/dev/shm")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", directory)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield Path(directory)
    shutil.rmtree(directory)
