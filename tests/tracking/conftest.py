"""Which MLflow do these tests ask? One real server for the session; its start costs seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.lanes import missing
from tests.tracking.server import HubThatAnswers, MlflowServer


@pytest.fixture(scope="session")
def mlflow(
    clean_environ: None, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[MlflowServer]:
    """A running server; its log is the evidence of a failed test."""
    if missing("tracking"):
        pytest.skip(f"lane tracking: {missing('tracking')}")
    hub = HubThatAnswers()
    server = MlflowServer(hub)
    forget = evidence("MLflow's log", server.log)
    try:
        server.start()
        yield server
    finally:
        forget()
        server.close()
        hub.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each needs the server; the first one waits for its start."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lane("tracking"))
            item.add_marker(pytest.mark.timeout(240))
