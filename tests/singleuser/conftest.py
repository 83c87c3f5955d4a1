"""Which fixtures do the tests of the inside share?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.singleuser.sandbox import Sandbox, sandbox


@pytest.fixture
def place() -> Iterator[Sandbox]:
    """A sandbox, not yet booted."""
    with sandbox() as made:
        yield made
