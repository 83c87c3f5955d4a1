"""What does an admin see and do on the admin page? The real hub, control, gateway and sandboxes.

Pictures of it are written to the directory that SANDBOX_PICTURES names, for the docs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.axe import findings
from tests.browser.conftest import People, violations

PATH = "/services/sandbox/"
HOST = "sandbox--service"  # each service has a host name of its own
PICTURES = os.environ.get("SANDBOX_PICTURES", "")


def admin_page(people: People, page: Page, query: str = "") -> None:
    """Open it as an admin does who has logged in at the hub, and wait until it is drawn."""
    page.goto(people.url(PATH, HOST) + query)
    if "/oauth2/authorize" in page.url:
        page.click("[type=submit]")
    page.wait_for_url(f"**{PATH}**")
    expect(page.locator("main[aria-busy=false]")).to_be_visible(timeout=20_000)


@pytest.fixture
def admin(people: People) -> Iterator[tuple[BrowserContext, Page]]:
    """An admin's browser, whose page breaks no policy."""
    with people.at_the_hub("admin") as (context, page):
        page.set_viewport_size({"width": 1280, "height": 900})
        yield context, page


@pytest.fixture
def alice(people: People) -> Iterator[Page]:
    """Alice with a running server."""
    with people.at_the_hub("alice") as (_, page):
        people.start(page, "alice")
        yield page


def picture(page: Page, name: str) -> None:
    """At both widths and in both themes; the one for the docs is the wide light one."""
    if not PICTURES:
        return
    for width in (1280, 400):
        for theme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=theme)
            suffix = "" if (width, theme) == (1280, "light") else f"-{width}-{theme}"
            page.screenshot(path=Path(PICTURES, f"{name}{suffix}.png"))
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")


@pytest.fixture
def timed(people: People) -> Iterator[Page]:
    """Alice with a new server whose profile ends it after some hours."""
    with people.at_the_hub("alice") as (_, page):
        if people.house.sandbox("alice") is not None:
            people.house.stop("alice")
        people.start(page, "alice", "boxed")
        yield page


def test_an_admin_gives_a_server_more_time_and_stops_it(
    people: People, admin: tuple[BrowserContext, Page], timed: Page
) -> None:
    """From the hub's menu to her row: why it runs, a later end, and an end whose reason she reads."""
    context, page = admin
    refused = violations(context)
    page.goto(people.url("/hub/home"))
    expect(page.locator(f"a[href$='{PATH}']").first).to_be_attached()
    admin_page(people, page)
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="alice", exact=True))
    expect(row).to_contain_text("running")
    picture(page, "admin-sandboxes")

    page.get_by_role("link", name="alice", exact=True).click()
    details = page.get_by_role("complementary", name="alice")
    expect(details).to_contain_text("Why it still runs")
    picture(page, "admin-details")
    details.get_by_role("button", name="Extend").click()
    page.get_by_label("Ends, from now, in").select_option("1 day")
    page.get_by_role("button", name="Give more time").click()
    said = page.get_by_role("dialog").locator(".note")
    expect(said).to_contain_text(re.compile(r"The server of alice ends at .* now\."), timeout=20_000)
    page.get_by_role("button", name="Close", exact=True).click()

    details.get_by_role("button", name="Stop").click()
    page.get_by_label("Reason").fill("The disks are moved tonight.")
    picture(page, "admin-stop")
    page.get_by_role("button", name="Stop the server").click()
    expect(page.get_by_role("dialog").locator(".note.good")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="running")).to_have_count(0, timeout=60_000)
    timed.goto(people.url("/hub/home"))
    expect(timed.get_by_text("The disks are moved tonight.").first).to_be_visible(timeout=20_000)

    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("cell", name="admin admin").first).to_be_visible()
    picture(page, "admin-audit")
    assert not refused


def test_every_view_is_drawn_without_a_refusal(
    people: People, admin: tuple[BrowserContext, Page], alice: Page
) -> None:
    """What control really answers is what the views read; nobody is told to wait or to try again."""
    context, page = admin
    refused = violations(context)
    for view in ("gpus", "network", "usage", "profiles&user=alice", "audit", "health"):
        admin_page(people, page, f"?view={view}")
        expect(page.locator("#view h2").first).to_be_visible()
        assert page.get_by_role("alert").all_inner_texts() == [], view
        picture(page, f"admin-{view.split('&')[0]}")
    expect(page.locator("#counts")).to_contain_text("1 open")
    assert not refused


def test_axe_finds_nothing_on_the_real_page(people: People, alice: Page) -> None:
    """With a server in the table, in both themes."""
    with people.at_the_hub("admin") as (context, _):
        state = context.storage_state()
    with people.browser.new_context(bypass_csp=True, storage_state=state) as context:
        page = context.new_page()
        admin_page(people, page)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            assert findings(page) == [], theme


def test_nobody_else_reads_the_page(people: People, alice: Page) -> None:
    """Alice is told that she may not; her browser gets no document of the API."""
    alice.goto(people.url(PATH, HOST))  # the hub itself lets her go no further
    expect(alice.locator("table")).to_have_count(0)
    alice.set_extra_http_headers({"X-Sandbox-Page": "1"})
    asked = alice.goto(people.url(f"{PATH}api/table", HOST))
    assert asked is not None
    assert asked.status in (401, 403)
    assert "items" not in asked.text()
