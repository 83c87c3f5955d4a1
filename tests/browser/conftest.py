"""A real browser on a hub whose servers have host names of their own, as people in production have it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.sink import Sink, foreign_host
from tests.lanes import VENVS
from tests.support.house import PROFILES, House, open_house

NEEDS = ("browser", "sandboxes", "runc", "npm", "userenv", "hub6")
_HOST = "hub.localhost"  # browsers take every name below localhost to loopback


@dataclass(frozen=True)
class People:
    """A hub with subdomains, and browsers of the people on it."""

    house: House
    port: int
    browser: Browser

    def url(self, path: str, host: str = "") -> str:
        """The address of a page: the hub's, or that of one person's server."""
        name = f"{host}.{_HOST}" if host else _HOST
        return f"http://{name}:{self.port}{path}"

    @contextmanager
    def at_the_hub(self, name: str) -> Iterator[tuple[BrowserContext, Page]]:
        """A browser of this person, logged in by the form."""
        with self.browser.new_context() as context:
            page = context.new_page()
            page.goto(self.url("/hub/login"))
            page.fill("input[name=username]", name)
            page.fill("input[name=password]", self.house.running.passwords[name])
            page.click("[type=submit]")
            page.wait_for_url(lambda url: "/hub/login" not in url)
            yield context, page

    def start(self, page: Page, name: str, profile: str = "small") -> None:
        """Start this person's server by the form unless it runs, and wait for JupyterLab."""
        page.goto(self.url("/hub/spawn"))
        if "/hub/spawn" in page.url:
            page.check(f"input[name=profile][value={profile}]", force=True)
            page.click("form [type=submit]")
        page.wait_for_url(f"**/user/{name}/lab**", timeout=90_000)


def violations(context: BrowserContext) -> list[str]:
    """What pages of this browser are refused by their policy, by its event and by the console; it grows."""
    seen: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            seen.append(message.text)

    context.expose_binding("noteViolation", lambda _, text: seen.append(text))
    context.add_init_script(
        "addEventListener('securitypolicyviolation',"
        " (event) => noteViolation(`${event.effectiveDirective}: ${event.blockedURI}`));"
    )
    context.on("console", note)
    return seen


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium."""
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as play:
        program = play.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        yield program
        program.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A foreign host for one test."""
    with foreign_host() as server:
        yield server


@contextmanager
def hub_of_people(
    browser: Browser,
    evidence: Callable[[str, Callable[[], str]], Callable[[], None]],
    profiles: Path = PROFILES,
) -> Iterator[People]:
    """The whole product with subdomains, for the block."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    variables = {
        "SANDBOX_SUBDOMAIN_HOST": f"http://{_HOST}:{port}",
        "SANDBOX_PUBLIC_PORT": str(port),
        "SANDBOX_USER_ENV": str((VENVS / "browser").resolve()),
    }
    with ExitStack() as stack:
        house = stack.enter_context(open_house(profiles, variables=variables))
        stack.callback(evidence("the house's programs", house.running.log))
        yield People(house, port, browser)


@pytest.fixture(scope="package")
def people(
    browser: Browser, clean_environ: None, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[People]:
    """The hub of the tests here."""
    with hub_of_people(browser, evidence) as found:
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each needs the same lanes."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lane(*NEEDS))
            item.add_marker(pytest.mark.timeout(240))
