"""The product with subdomains and the profiles of the stories; alice and an admin at their browsers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import NEEDS, People, browser, hub_of_people

__all__ = ["admin", "alice", "browser", "people", "picture"]

PICTURES = os.environ.get("SANDBOX_PICTURES", "")


@pytest.fixture(scope="package")
def people(
    browser: Browser,
    clean_environ: None,
    evidence: Callable[[str, Callable[[], str]], Callable[[], None]],
) -> Iterator[People]:
    """Their hub."""
    with hub_of_people(browser, evidence, Path(__file__).with_name("profiles.yaml")) as found:
        yield found


@pytest.fixture
def alice(people: People) -> Iterator[Page]:
    """Alice, logged in."""
    with people.at_the_hub("alice") as (_, page):
        page.set_viewport_size({"width": 1280, "height": 900})
        yield page


@pytest.fixture
def admin(people: People) -> Iterator[Page]:
    """An admin, logged in."""
    with people.at_the_hub("admin") as (_, page):
        page.set_viewport_size({"width": 1280, "height": 900})
        yield page


def picture(page: Page, name: str) -> None:
    """A picture for the documentation, where somebody asks for pictures."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES, f"{name}.png"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each needs the same lanes."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lane(*NEEDS, "labext"))
            item.add_marker(pytest.mark.timeout(360))
