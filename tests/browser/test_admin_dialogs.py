"""Can a dialog of the admin page be used by keyboard and by ear, whatever control answers? By a stand-in."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.stand_in import StandIn
from tests.browser.test_admin_states import context, control_stand_in, opened, page

__all__ = ["context", "control_stand_in", "page"]

REFUSAL = {"code": "policy.denied", "message": "Not at night.", "remedy": "Wait until six."}


def test_a_refusal_leaves_the_focus_in_the_dialog(page: Page, control_stand_in: StandIn) -> None:
    """Enter on the button asks; after the refusal Enter asks again."""
    control_stand_in.refuse["sandboxes/box-1/extend"] = (409, REFUSAL)
    opened(page, control_stand_in)
    page.get_by_role("button", name="Extend bob").click()
    button = page.get_by_role("button", name="Give more time")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Not at night.")
    expect(button).to_be_focused()
    control_stand_in.refuse = {}
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("ends at")


@pytest.mark.parametrize(
    ("button", "field", "key"),
    [
        ("Extend bob", "Ends, from now, in", "Enter"),
        ("Extend bob", "Reason", "Control+Enter"),
        ("Stop bob", "Reason", "Control+Enter"),
    ],
)
def test_the_keyboard_sends_from_every_field(
    page: Page, control_stand_in: StandIn, button: str, field: str, key: str
) -> None:
    """From a list with Enter, from a field of several lines with Ctrl and Enter."""
    opened(page, control_stand_in)
    page.get_by_role("button", name=button).click()
    place = page.get_by_label(field)
    if field == "Reason":
        place.fill("Enough")
    place.focus()
    page.keyboard.press(key)
    said = page.get_by_role("dialog").locator(".note.good")
    expect(said).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text(said.inner_text())


@pytest.mark.parametrize("how", ["Escape", "Hide"])
def test_a_refusal_after_the_dialog_was_hidden_shows_it_again(
    page: Page, control_stand_in: StandIn, how: str
) -> None:
    """Nobody goes away believing that a server was stopped which still runs."""
    control_stand_in.refuse["sandboxes/box-1/stop"] = (409, REFUSAL)
    held: list[Route] = []
    page.route("**/sandboxes/*/stop", lambda route: held.append(route))  # noqa: PLW0108 - Playwright needs a function
    opened(page, control_stand_in)
    page.get_by_role("button", name="Stop bob").click()
    page.get_by_label("Reason").fill("Enough")
    with page.expect_request("**/stop"):
        page.get_by_role("button", name="Stop the server").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Asking control")
    if how == "Escape":
        page.keyboard.press("Escape")
    else:
        dialog.get_by_role("button", name="Hide").click()
    expect(dialog).to_have_count(0)
    held[0].continue_()
    expect(dialog).to_contain_text("Not at night.")
    expect(dialog.get_by_label("Reason")).to_have_value("Enough")
    expect(dialog.get_by_role("button", name="Stop the server")).to_be_focused()


def test_one_wish_is_asked_once(page: Page, control_stand_in: StandIn) -> None:
    """A second click while control is asked does nothing."""
    held: list[Route] = []
    page.route("**/sandboxes/*/extend", lambda route: held.append(route))  # noqa: PLW0108 - Playwright needs a function
    opened(page, control_stand_in)
    page.get_by_role("button", name="Extend bob").click()
    button = page.get_by_role("button", name="Give more time")
    with page.expect_request("**/extend"):
        button.click()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    held[0].continue_()
    expect(page.get_by_role("dialog").locator(".note.good")).to_be_visible()
    assert len(held) == 1
