"""Where do tests meet a real OPA? `opa` is one with the shipped policy and default settings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_config.policy.own_opa import OwnOpa
from jupyter_sandbox_spawner.rules.policy_settings import PolicySettings, settings_digest, settings_document
from tests.lanes import missing

Evidence = Callable[[str, Callable[[], str]], Callable[[], None]]


def data_of(settings: PolicySettings) -> dict[str, Any]:
    """What `policy data` prints of these settings, without its outermost key."""
    return {**settings_document(settings), "digest": settings_digest(settings)}


@pytest.fixture
def opa(evidence: Evidence) -> Iterator[OwnOpa]:
    """A real OPA that decides by the shipped policy."""
    if reason := missing("opa"):
        pytest.skip(f"lane opa: {reason}")
    with tempfile.TemporaryDirectory(prefix="opa") as directory:
        server = OwnOpa(Path(directory), unix=True)
        server.write(data_of(PolicySettings()), revision="first")
        server.start()
        forget = evidence("log of OPA", lambda: server.log[-3000:])
        try:
            yield server
        finally:
            forget()
            server.stop()
