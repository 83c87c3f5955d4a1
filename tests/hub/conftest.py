"""Which hub does a test talk to? One of each JupyterHub version, kept for the module, or one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from .hub_process import HubProcess, run_hub

VERSIONS = [
    pytest.param("hub", marks=pytest.mark.lane("hub6"), id="hub6"),
    pytest.param("hub5", marks=pytest.mark.lane("hub5"), id="hub5"),
]
PROFILES = """
- display_name: CPU small
  slug: cpu-small
  default: true
  sandbox: {cpu: 1, memory: 1G, variables: {HINT: small}}
- display_name: CPU large
  slug: cpu-large
  allowed_groups: [research]
  sandbox: {cpu: 4, memory: 8G, egress: ["mirror.sandbox.internal:80"]}
- {display_name: Short, slug: short, sandbox: {cpu: 1, memory: 1G, ttl: 30m, idle_timeout: 20m}}
- {display_name: Closed, slug: closed, allowed_groups: [], sandbox: {cpu: 1, memory: 1G}}
"""


@pytest.fixture(scope="session")
def profiles_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four profiles: for everyone, for the group research, for nobody, and one with limits of time."""
    file = tmp_path_factory.mktemp("profiles") / "profiles.yaml"
    file.write_text(PROFILES)
    return file


@pytest.fixture(scope="module", params=VERSIONS)
def hub(
    request: pytest.FixtureRequest, venvs: Path, profiles_file: Path, evidence: Any
) -> Iterator[HubProcess]:
    """A running hub; its log is printed with every failure."""
    with run_hub(venvs / request.param / "bin/python", profiles_file) as running:
        forget = evidence("hub.log", lambda: running.log()[-8000:])
        yield running
        forget()


@pytest.fixture(params=VERSIONS)
def new_hub(
    request: pytest.FixtureRequest, venvs: Path, profiles_file: Path
) -> Callable[..., AbstractContextManager[HubProcess]]:
    """`with new_hub(limit=5) as hub`: a hub for this test alone."""

    def start(**settings: Any) -> AbstractContextManager[HubProcess]:
        return run_hub(venvs / request.param / "bin/python", profiles_file, **settings)

    return start


@pytest.fixture(autouse=True)
def without_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """No fault of one test reaches the next one on a shared hub."""
    yield
    if "hub" in request.fixturenames:
        running: HubProcess = request.getfixturevalue("hub")
        running.launcher.away = running.launcher.immortal = running.gateway.silent = False
        running.launcher.dies_with = None
        running.control.start()
