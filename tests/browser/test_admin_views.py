"""Do the admin page's views say all that control answers, and lead on to what it does not? By a stand-in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from jupyter_sandbox_spawner.control.page_files import PAGES
from tests.browser.stand_in import StandIn
from tests.browser.test_admin_states import context, control_stand_in, opened, page

__all__ = ["context", "control_stand_in", "page"]


@contextmanager
def answers(it: StandIn, **documents: Any) -> Iterator[None]:
    """It says these instead, for the block; `egress_requests` is the path `egress/requests`."""
    before = it.others
    known = {name.replace("_", "/"): document for name, document in documents.items()}
    it.others = lambda path, query: known.get(path) or before(path, query)  # type: ignore[method-assign]
    yield
    it.others = before  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("query", "drawn", "words"),
    [
        ("by=user", 1, "Server hours a day"),
        ("by=day", 1, "Server hours a day"),
        ("by=day&since=2026-11-10&until=2026-11-12", 1, "Server hours a day"),
        ("by=user&since=2020-01-01", 0, "366 days at most"),
    ],
)
def test_use_is_drawn_where_control_can(
    page: Page, control_stand_in: StandIn, query: str, drawn: int, words: str
) -> None:
    """By day from the sums themselves; of more than a year there are sums and a sentence."""
    opened(page, control_stand_in, f"?view=usage&{query}")
    expect(page.locator("#view")).to_contain_text(words)
    expect(page.locator("svg.plot")).to_have_count(drawn)
    expect(page.get_by_role("alert")).to_have_count(0)
    if "11-12" in query:
        expect(page.locator("svg.plot g")).to_have_count(3)


@pytest.mark.parametrize("view", ["gpus", "network"])
def test_a_name_leads_to_its_details_from_every_view(
    page: Page, control_stand_in: StandIn, view: str
) -> None:
    """The list opens where its row is, whether it has ended or not, with the details beside it."""
    opened(page, control_stand_in, f"?view={view}")
    page.get_by_role("link", name="alice", exact=True).first.click()
    expect(page.get_by_role("complementary", name="alice")).to_contain_text("Why it still runs")
    asked = control_stand_in.asked("table")[-1]
    assert (asked["status"], asked["search"]) == ("all", "alice")


def test_the_audit_leads_on_past_lines_that_do_not_fit(page: Page, control_stand_in: StandIn) -> None:
    """Control read back so far and found none: that is said, and older ones are a click away."""
    with answers(control_stand_in, audit={"items": [], "next": 4711}):
        opened(page, control_stand_in, "?view=audit&text=rare")
        expect(page.get_by_text("No such line in the newest lines; look further back")).to_be_visible()
        page.get_by_role("link", name="Older").click()
        expect(page.get_by_role("link", name="Newest")).to_be_visible()
        asked = control_stand_in.asked("audit")[-1]
        assert (asked["text"], asked["before"]) == ("rare", "4711")
    with answers(control_stand_in, audit={"items": [], "next": None}):
        page.reload()
        expect(page.get_by_text("No line is like that.")).to_be_visible()
        expect(page.get_by_role("link", name="Older")).to_be_hidden()


def test_more_requests_than_are_shown_are_not_hidden(page: Page, control_stand_in: StandIn) -> None:
    """It says so, and the older ones are a click away."""
    told = control_stand_in.others("egress/requests", {})
    with answers(control_stand_in, egress_requests={**told, "next": 7}):
        opened(page, control_stand_in, "?view=network")
        expect(page.get_by_text("These are 100; there are older ones.")).to_be_visible()
        page.get_by_role("navigation", name="Pages of requests").get_by_role("link", name="Older").click()
        expect(page.get_by_role("link", name="Newest")).to_be_visible()
        assert control_stand_in.asked("egress/requests")[-1]["before"] == "7"


def test_nothing_breaks_where_control_goes_with_the_details_open(
    page: Page, control_stand_in: StandIn
) -> None:
    """The banner says it once; afterwards the details are drawn again, and profiles are learned then."""
    page.clock.install()
    control_stand_in.refuse["profiles"] = (500, {"code": "x", "message": "x"})
    opened(page, control_stand_in, "?open=bob&of=box-1")
    details = page.get_by_role("complementary", name="bob")
    expect(details).to_contain_text("Why it still runs")
    expect(page.locator("select[name=profile] option")).to_have_count(1)
    control_stand_in.away = True
    page.clock.run_for(10_500)
    expect(page.get_by_role("alert").filter(has_text="Control does not answer")).to_be_visible()
    control_stand_in.away = False
    control_stand_in.refuse = {"why/bob/": (404, {"code": "sandbox.unknown", "message": "No such server."})}
    page.clock.run_for(5_000)
    expect(details).to_contain_text("No such server.")
    expect(page.locator("select[name=profile] option")).to_have_count(3)
    control_stand_in.refuse = {}
    page.clock.run_for(10_500)
    expect(details).to_contain_text("Why it still runs")
    expect(page.locator("#counts")).not_to_contain_text("broke")


def test_another_sandbox_of_the_same_server_is_told_apart(page: Page, control_stand_in: StandIn) -> None:
    """The address names which one is meant; where it is not the newest, that is said."""
    opened(page, control_stand_in, "?open=bob&of=box-1")
    details = page.get_by_role("complementary", name="bob")
    expect(details).to_contain_text("Why it still runs")
    note = details.get_by_text("This server was started again since")
    expect(note).to_have_count(0)
    page.evaluate("history.pushState(null, '', '?open=bob&of=box-old'); dispatchEvent(new Event('popstate'))")
    expect(note).to_be_visible()


def test_ordered_by_deadline_it_shows_the_deadline(page: Page, control_stand_in: StandIn) -> None:
    """The order and what is read agree; idleness may end it before, which stands below."""
    opened(page, control_stand_in)
    row = page.get_by_role("row").filter(has_text="alice")
    expect(row).to_contain_text("in 41 min")
    expect(row).not_to_contain_text("deadline")
    page.get_by_role("button", name="Ends").click()
    expect(row).to_contain_text(re.compile("deadline in 5 h"))
    expect(row).to_contain_text("in 41 min")


def test_details_hold_room_and_use(page: Page, control_stand_in: StandIn) -> None:
    """What the server may use and when it was used last are in its details and its dialogs."""
    opened(page, control_stand_in, "?open=bob&of=box-1")
    details = page.get_by_role("complementary", name="bob")
    expect(details).to_contain_text("4 GB")
    details.get_by_role("button", name="Extend").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 min ago")


def test_a_price_has_its_currency(page: Page, control_stand_in: StandIn) -> None:
    """The one of the profiles' own document."""
    told = control_stand_in.others("profiles", {})
    with answers(control_stand_in, profiles={**told, "currency": "CHF"}):
        opened(page, control_stand_in, "?view=profiles")
        expect(page.get_by_text("0.12 CHF").first).to_be_visible()


def test_what_the_first_rows_need_is_announced_by_the_shell(page: Page, control_stand_in: StandIn) -> None:
    """It is fetched at once, not one after the other as each script names the next."""
    needed, looked_at = {"main.js"}, set[str]()
    while left := needed - looked_at:
        looked_at |= left
        for name in left:
            needed |= set(re.findall(r"from '[.]/([a-z]+[.]js)'", Path(PAGES, name).read_text()))
    opened(page, control_stand_in)
    announced = (
        "[...document.querySelectorAll('link[rel=modulepreload]')].map((one) => one.href.split('/').pop())"
    )
    assert set(page.evaluate(announced)) == needed


def test_other_views_are_there_before_they_are_opened(page: Page, control_stand_in: StandIn) -> None:
    """Their scripts come behind the first rows, so that a view can be opened while control is away."""
    opened(page, control_stand_in)
    names = "performance.getEntriesByType('resource').map((one) => one.name.split('/').pop())"
    others = {"gpus.js", "network.js", "usage.js", "plot.js", "profiles.js", "audit.js", "health.js"}
    for _ in range(200):
        if others <= set(page.evaluate(names)):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"missing: {others - set(page.evaluate(names))}")
