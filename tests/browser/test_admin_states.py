"""Does the admin page say what is known and since when, whatever control does? A stand-in tells it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.axe import findings
from tests.browser.conftest import violations
from tests.browser.stand_in import HOSTILE, StandIn, stand_in

Control = Callable[[str, bool], None]
VIEWS = ("sandboxes", "gpus", "network", "usage", "profiles&user=alice", "audit", "health")


@pytest.fixture
def control_stand_in() -> Iterator[StandIn]:
    """The page's other side."""
    with stand_in() as it:
        yield it


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser in UTC whose page breaks no policy and throws nothing."""
    with browser.new_context(timezone_id="UTC", viewport={"width": 1280, "height": 900}) as found:
        found.set_default_timeout(10_000)
        refused, thrown = violations(found), []
        found.on("weberror", lambda error: thrown.append(str(error.error)))
        yield found
        assert not refused
        assert not thrown


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page whose clock stands in the test's hand, as far as waiting goes."""
    return context.new_page()


def opened(page: Page, it: StandIn, query: str = "") -> Page:
    """The page, once it has drawn what it asked for."""
    page.goto(it.url + query)
    expect(page.locator("main[aria-busy=false]")).to_be_visible()
    return page


def test_filters_order_and_page_are_in_the_address(page: Page, control_stand_in: StandIn) -> None:
    """Each is asked of control, shared by the address, and gone back to by the back button."""
    control_stand_in.total = 120
    opened(page, control_stand_in)
    page.get_by_label("Search").fill("bo")
    expect(page).to_have_url(re.compile("search=bo"))
    page.get_by_role("button", name="Profile").click()
    expect(page.get_by_role("columnheader", name="Profile")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text(re.compile("^51.100 of 120"))).to_be_visible()
    asked = control_stand_in.asked("table")[-1]
    known = {"search": "bo", "sort": "profile", "order": "asc", "page": "2"}
    assert {name: asked[name] for name in known} == known
    page.go_back()
    expect(page.get_by_text(re.compile("^1.50 of 120"))).to_be_visible()
    page.go_back()
    expect(page.get_by_role("columnheader", name="Started")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_label("Search")).to_have_value("bo")


def test_it_is_asked_again_while_seen_and_takes_no_focus(page: Page, control_stand_in: StandIn) -> None:
    """After ten seconds there are new facts; the button that had the focus has it still."""
    page.clock.install()
    opened(page, control_stand_in)
    button = page.get_by_role("button", name="Stop bob")
    button.focus()
    before = len(control_stand_in.asked("table"))
    control_stand_in.names = ["zoe", "alice", "bob"]
    page.clock.run_for(10_500)
    expect(page.get_by_role("link", name="zoe")).to_be_visible()
    expect(button).to_be_focused()
    assert len(control_stand_in.asked("table")) > before


def test_a_hidden_page_asks_nothing(page: Page, control_stand_in: StandIn) -> None:
    """Nothing for five minutes, and at once when it is seen again."""
    page.clock.install()
    opened(page, control_stand_in)
    seen = "(how) => { Object.defineProperty(document, 'visibilityState', {value: how, configurable: true});"
    seen += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(seen, "hidden")
    before = len(control_stand_in.calls)
    page.clock.run_for(300_000)
    assert len(control_stand_in.calls) == before
    page.evaluate(seen, "visible")
    expect(page.locator("main[aria-busy=false]")).to_be_visible()
    assert len(control_stand_in.calls) > before


def test_a_stop_says_first_what_will_happen(page: Page, control_stand_in: StandIn) -> None:
    """Whom it hits, what they read, the command; a reason is needed; then what came of it."""
    opened(page, control_stand_in)
    page.get_by_role("button", name="Stop bob").click()
    dialog = page.get_by_role("dialog", name="Stop this server?")
    expect(dialog).to_contain_text("bob")
    dialog.get_by_role("button", name="Stop the server").click()
    expect(dialog.get_by_role("alert").filter(has_text="Reason is missing")).to_be_visible()
    assert not control_stand_in.asked("sandboxes/box-1/stop")
    dialog.get_by_label("Reason").fill("It's maintenance")
    expect(dialog).to_contain_text("bob reads: “It's maintenance”")
    expect(dialog.locator(".command")).to_have_text(
        "jupyter-sandbox-admin stop bob --why 'It'\\''s maintenance'"
    )
    dialog.get_by_role("button", name="Stop the server").click()
    expect(dialog).to_contain_text("The server of bob is stopped.")
    # What is outside an open dialog is inert: it is heard from inside.
    expect(dialog.get_by_role("status")).to_have_text("The server of bob is stopped.")
    assert control_stand_in.asked("sandboxes/box-1/stop") == [{"why": "It's maintenance"}]
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop bob")).to_be_focused()


def test_a_refused_action_shows_code_message_and_remedy(page: Page, control_stand_in: StandIn) -> None:
    """In its dialog, where the reason that was written stays."""
    refusal = {"code": "policy.denied", "message": "Not at night.", "remedy": "Wait until six."}
    control_stand_in.refuse["sandboxes/box-1/extend"] = (409, refusal)
    opened(page, control_stand_in)
    page.get_by_role("button", name="Extend bob").click()
    page.get_by_label("Reason").fill("a deadline")
    page.get_by_role("button", name="Give more time").click()
    told = page.get_by_role("alert").filter(has_text="Not at night.")
    expect(told).to_contain_text("Wait until six.")
    expect(told).to_contain_text("policy.denied")
    expect(page.get_by_label("Reason")).to_have_value("a deadline")


def test_every_call_is_marked_as_the_pages_own(page: Page, control_stand_in: StandIn) -> None:
    """Control believes a cookie only beside this header, which no other page's form can send."""
    opened(page, control_stand_in)
    page.get_by_role("button", name="Stop alice").click()
    page.get_by_label("Reason").fill("x")
    page.get_by_role("button", name="Stop the server").click()
    expect(page.get_by_role("dialog")).to_contain_text("is stopped")
    assert {headers.get("X-Sandbox-Page") for headers in control_stand_in.headers} == {"1"}


def test_read_only_says_why_once(page: Page, control_stand_in: StandIn) -> None:
    """Buttons that would change something are off; the reason stands above."""
    control_stand_in.can_write = False
    opened(page, control_stand_in)
    expect(page.get_by_text("Read only.")).to_have_count(1)
    expect(page.get_by_role("button", name="Stop bob")).to_be_disabled()
    page.get_by_role("link", name="Network").click()
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    expect(page.get_by_role("button", name="Rule …")).to_be_enabled()


def test_while_control_is_away_the_last_rows_stay(page: Page, control_stand_in: StandIn) -> None:
    """It says so and since when, tries again by itself, and the note goes when control is back."""
    page.clock.install()
    opened(page, control_stand_in)
    control_stand_in.away = True
    page.clock.run_for(10_500)
    told = page.get_by_role("alert").filter(has_text="Control does not answer")
    expect(told).to_contain_text("What you see is from")
    expect(page.get_by_role("link", name="bob")).to_be_visible()
    control_stand_in.away = False
    page.clock.run_for(5_000)
    expect(told).to_have_count(0)


def test_an_ended_login_keeps_the_address(page: Page, control_stand_in: StandIn) -> None:
    """The way to log in again leads back to the same view, filters and all."""
    page.clock.install()
    opened(page, control_stand_in, "?search=bob&sort=user&order=asc")
    control_stand_in.session_ended = True
    page.clock.run_for(10_500)
    link = page.get_by_role("link", name="Log in again")
    expect(link).to_have_attribute("href", re.compile(r"\?search=bob&sort=user&order=asc$"))
    expect(page.get_by_role("link", name="bob")).to_be_visible()
    control_stand_in.session_ended = False  # in another tab
    page.clock.run_for(5_000)
    expect(link).to_have_count(0)


@pytest.mark.parametrize(("hours", "way"), [(1, "behind"), (-1, "ahead of")])
def test_a_wrong_clock_changes_no_time(page: Page, control_stand_in: StandIn, hours: int, way: str) -> None:
    """Distances go by the server's clock, and the page says that this computer's differs."""
    control_stand_in.skew = timedelta(hours=hours)
    opened(page, control_stand_in)
    expect(page.get_by_role("row").filter(has_text="alice")).to_contain_text("in 41 min")
    expect(page.get_by_text(f"1 h {way} the server")).to_be_visible()


def test_one_part_may_fail_alone(page: Page, control_stand_in: StandIn) -> None:
    """Its refusal is shown in its place, with the way out; the others are drawn."""
    refusal = {"code": "store.busy", "message": "Too much at once.", "remedy": "Ask again."}
    control_stand_in.refuse["denials"] = (429, refusal)
    opened(page, control_stand_in, "?view=network")
    expect(page.get_by_role("alert")).to_contain_text("Too much at once.")
    expect(page.get_by_role("button", name="Approve")).to_be_visible()


def test_a_request_is_approved_for_a_time_and_a_scope(page: Page, control_stand_in: StandIn) -> None:
    """The dialog says both in words, sends them, and tells in how many servers it is in force."""
    opened(page, control_stand_in, "?view=network")
    page.get_by_role("button", name="Approve").click()
    page.get_by_label("For", exact=True).select_option("1 day")
    page.get_by_label("Who").select_option("everybody in research")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".command")).to_have_text(
        "jupyter-sandbox-admin egress approve 7 --for 1d --scope group --group research --sandbox box-0"
    )
    dialog.get_by_role("button", name="Approve").click()
    expect(dialog).to_contain_text("in force in 1 running server")
    wanted = {"for": 86400, "scope": "group", "name": "research", "sandbox": "box-0"}
    assert control_stand_in.asked("egress/requests/7/approve") == [wanted]


@pytest.mark.proves("H06")
@pytest.mark.parametrize("kind", HOSTILE)
def test_h06_hostile_names_are_text_in_every_view(
    page: Page, control_stand_in: StandIn, control: Control, kind: str
) -> None:
    """No element comes of a name, no title changes, no row grows; a terminal's codes are seen as signs."""
    name = HOSTILE[kind]
    control_stand_in.names = [name, "bob"]
    for view in VIEWS:
        opened(page, control_stand_in, f"?view={view}")
        expect(page.locator("main").get_by_text(shown(name)).filter(visible=True).first).to_be_visible()
        assert page.locator("main :is(img, script, iframe)").count() == 0, view
        assert "hit" not in page.title(), view
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, (view, wide)
    opened(page, control_stand_in)
    page.locator("tbody tr").first.get_by_role("button", name="Stop").click()
    page.get_by_label("Reason").fill(name[:300])
    expect(page.get_by_role("dialog")).to_contain_text(shown(name))
    control("an element of another name is found", page.locator("dialog button").count() > 0)


def shown(name: str) -> str:
    """How the page begins to show a name."""
    return re.sub(r"[\x00-\x1f]", lambda sign: chr(0x2400 + ord(sign[0])), name)[:12]


@pytest.mark.proves("H06")
@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "long"])
def test_h06_a_copied_command_holds_a_name_as_one_word(
    page: Page, control_stand_in: StandIn, kind: str
) -> None:
    """A shell reads the name back from it, and a terminal is sent no control character."""
    opened(page, control_stand_in)
    quoted: str = page.evaluate(
        "async (name) => (await import('/services/sandbox/static/command.js')).quoted(name)", HOSTILE[kind]
    )
    assert not re.search(r"[\x00-\x1f\u202e]", quoted)
    command = ["bash", "-c", f"printf %s {quoted}"]
    environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    read = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert read.stdout.decode() == HOSTILE[kind]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_nothing(browser: Browser, control_stand_in: StandIn, theme: Any, width: int) -> None:
    """In no view, no drawer and no dialog, in both themes and at both widths."""
    viewport: Any = {"width": width, "height": 900}
    with browser.new_context(color_scheme=theme, viewport=viewport, bypass_csp=True) as context:
        page = context.new_page()
        for view in (*VIEWS, "sandboxes&open=alice"):
            opened(page, control_stand_in, f"?view={view}")
            assert findings(page) == [], view
        opened(page, control_stand_in, "?view=network")
        page.get_by_role("button", name="Approve").click()
        assert findings(page) == []


def test_everything_by_keyboard(page: Page, control_stand_in: StandIn) -> None:
    """From the top to a server's details and back, and to a stop, with Tab, Enter and Escape only."""
    opened(page, control_stand_in)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    reach(page, "alice")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="alice")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="alice")).to_be_focused()
    reach(page, "Stop alice/gpu-work")
    page.keyboard.press("Enter")
    page.keyboard.type("Bye")
    reach(page, "Stop the server")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("is stopped")


def reach(page: Page, text: str) -> None:
    """Press Tab until this has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == text:
            return
    raise AssertionError(f"Tab does not come to {text!r}")


def test_the_theme_is_kept_and_shared_by_two_tabs(context: BrowserContext, control_stand_in: StandIn) -> None:
    """What is chosen in one holds in the other at once, and after a reload."""
    one, other = context.new_page(), context.new_page()
    opened(one, control_stand_in)
    opened(other, control_stand_in)
    one.get_by_role("button", name="Theme: system").click()
    one.get_by_role("button", name="Theme: light").click()
    expect(other.locator("html[data-theme=dark]")).to_be_visible()
    other.reload()
    expect(other.get_by_role("button", name="Theme: dark")).to_be_visible()
