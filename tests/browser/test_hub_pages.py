"""Does a person get from the form to JupyterLab and back again, with scripts and without, in a real house?"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import People
from tests.browser.hub_look import axe, picture


def log_in(people: People, context: BrowserContext, name: str) -> Page:
    """A page of this person, by the login form."""
    page = context.new_page()
    page.goto(people.url("/hub/login"))
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", people.house.running.passwords[name])
    page.click("[type=submit]")
    page.wait_for_url(lambda url: "/hub/login" not in url)
    return page


STOP = """async (url) => {
  const headers = {'X-XSRFToken': window.jhdata.xsrf_token};
  return (await fetch(url, {method: 'DELETE', headers})).status;
}"""


def stop(people: People, page: Page) -> None:
    """End bob's server from a page of the hub, as its button does, and wait for its end."""
    page.goto(people.url("/hub/home"))
    assert page.evaluate(STOP, people.url("/hub/api/users/bob/server")) in (202, 204)
    page.goto(people.url("/hub/user/bob/"))
    while page.locator("#sandbox-stopped").count() == 0:
        page.goto(people.url("/hub/spawn-pending/bob"))


@pytest.fixture
def nobody_runs(people: People) -> None:
    """Bob has no server."""
    if people.house.sandbox("bob") is not None:
        with people.at_the_hub("bob") as (_, page):
            stop(people, page)


def test_from_the_form_to_the_server_and_back(people: People, nobody_runs: None) -> None:
    """Form, start with its stages, JupyterLab; stopped: why, files safe, and the same again by one button."""
    with people.browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = log_in(people, context, "bob")
        page.goto(people.url("/hub/spawn"))
        page.check("input[name=profile][value=small]")
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/user/bob/lab**", timeout=90_000)
        stop(people, page)
        page.goto(people.url("/hub/user/bob/"))
        expect(page.get_by_text("It was stopped at the hub.")).to_be_visible()
        expect(page.get_by_text("Your files are kept in your home")).to_be_visible()
        assert axe(page) == []
        picture(page, "after-a-stop-1280-light")
        page.get_by_role("button", name="Start again with Small").click()
        page.wait_for_url(re.compile("/user/bob/"), timeout=90_000)
        page.wait_for_url(lambda url: "/hub/" not in url, timeout=90_000)
        assert people.house.sandbox("bob") is not None


def test_a_server_is_started_without_scripts(people: People, nobody_runs: None) -> None:
    """With JavaScript off: login, form, a page that looks again by itself, and the server's own page."""
    with people.browser.new_context(java_script_enabled=False) as context:
        page = log_in(people, context, "bob")
        page.goto(people.url("/hub/spawn"))
        expect(page.locator("#noscript")).to_be_hidden()
        page.check("input[name=profile][value=small]")
        page.click("#spawn_form [type=submit]")
        page.wait_for_url(lambda url: "/user/bob/" in url and "/hub/" not in url, timeout=90_000)
        assert people.house.sandbox("bob") is not None
