"""Where do the attacks happen? In one house for the whole session, on the real local backend.

With SANDBOX_HOUSE=docker the same attacks meet the Docker backend.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.ordinary import has_own_namespace
from tests.support.backend_choice import ON_DOCKER, RUNTIME, chosen_backend
from tests.support.gpus import ThreeGpus
from tests.support.house import House, open_house

NEEDS = ("sandboxes", RUNTIME, "npm", "userenv", "hub6")
CANARY_VARIABLE = "HOUSE_CANARY"


@pytest.fixture(scope="session")
def canary(clean_environ: None) -> Iterator[str]:
    """A secret-looking value in the environment of every program of the house."""
    value = "canary-" + secrets.token_hex(16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CANARY_VARIABLE, value)
        yield value


@pytest.fixture(scope="session")
def gpus() -> Iterator[ThreeGpus | None]:
    """Three devices of this host for the house; None where nobody may make their nodes."""
    if os.geteuid() != 0 or has_own_namespace():
        yield None
        return
    directory = Path(tempfile.mkdtemp(prefix="jss-gpus-"))
    directory.chmod(0o755)
    yield ThreeGpus(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def house(
    canary: str,
    gpus: ThreeGpus | None,
    evidence: Callable[[str, Callable[[], str]], Callable[[], None]],
) -> Iterator[House]:
    """The whole product with alice, bob and admin; its programs' log is the evidence of a failed test."""
    cdi = {"SANDBOX_CDI": str(gpus.specs)} if gpus else {}
    with chosen_backend() as variables, open_house(variables={**variables, **cdi}) as opened:
        forget = evidence("the house's programs", opened.running.log)
        try:
            yield opened
        finally:
            forget()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every attack needs the same lanes; a first start and a bomb may take longer than a unit test."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lane(*NEEDS))
            item.add_marker(pytest.mark.timeout(480 if ON_DOCKER else 240))
            # A public address of this host is root's to give.
            if "sinks" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.lane("root"))
