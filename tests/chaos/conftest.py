"""Where are programs killed? In one house for all of these tests, on the real local backend.

With SANDBOX_HOUSE=docker the same happens on the Docker backend.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.backend_choice import ON_DOCKER, RUNTIME, chosen_backend
from tests.support.house import House, open_house

NEEDS = ("chaos", "root", RUNTIME, "cgroup", "npm", "userenv", "hub6")
PROFILES = Path(__file__).with_name("profiles.yaml")


@pytest.fixture(scope="package")
def house(
    clean_environ: None, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[House]:
    """The whole product with alice, bob and admin; nothing of it may be left at its end."""
    with chosen_backend() as variables, open_house(PROFILES, variables) as opened:
        forget = evidence("the house's programs", opened.running.log)
        try:
            yield opened
        finally:
            forget()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every one of them needs the same lanes, and patience; those on a cluster say so themselves."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here) and "/kubernetes/" not in str(item.path)[len(here) :]:
            item.add_marker(pytest.mark.lane(*NEEDS))
            item.add_marker(pytest.mark.timeout(600 if ON_DOCKER else 300))
