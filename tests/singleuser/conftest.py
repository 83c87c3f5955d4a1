"""Which fixtures do the tests of the inside share?"""

from __future__ import annotations

import time
from collections.abc import Iterator

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
