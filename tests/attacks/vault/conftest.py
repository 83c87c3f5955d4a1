"""Where do secrets of a real Vault live? In one house for these tests; a proxy that fails stands before it.

With SANDBOX_HOUSE=docker the same happens on the Docker backend.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.attacks.vault.place import VaultPlace, open_place
from tests.support.backend_choice import chosen_backend
from tests.support.house import House


@pytest.fixture(scope="package")
def place(
    canary: str, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[VaultPlace]:
    """A house with alice, bob and admin, a Vault, the way to it, and a PostgreSQL."""
    with chosen_backend() as variables, open_place(variables) as opened:
        forget = evidence("the house's programs", opened.house.running.log)
        try:
            yield opened
        finally:
            forget()


@pytest.fixture(scope="package")
def house(place: VaultPlace) -> House:
    """The house itself, for the attacks that every house meets."""
    return place.house


@pytest.fixture(autouse=True)
def _a_way_to_vault(place: VaultPlace) -> Iterator[None]:
    """Whatever a test did to the way to Vault is over after it."""
    yield
    place.way.pass_on()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every one of them needs a Vault and a PostgreSQL."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lane("vault", "postgresql"))
