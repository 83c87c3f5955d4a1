"""Do the main stories go well, from the login on? Alice and an admin, each in a browser of their own."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Locator, Page, TimeoutError, expect

from tests.browser.conftest import People
from tests.stories.conftest import picture

HOST = "mirror.sandbox.internal"
CELL = f"""import urllib.request
try:
    print('it says', urllib.request.urlopen('http://{HOST}/', timeout=10).read().decode())
except Exception as error:
    print('it failed:', error)"""
SAVE = """async ({url, content}) => {
  const token = /_xsrf=([^;]+)/.exec(document.cookie)[1];
  const body = JSON.stringify({type: 'notebook', format: 'json', content: JSON.parse(content)});
  return (await fetch(url, {method: 'PUT', body, headers: {'X-XSRFToken': token}})).status;
}"""


def notebook() -> str:
    """A notebook file of the one cell, not run yet."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "id": "one"}
    metadata = {"kernelspec": kernel}
    return json.dumps(
        {"cells": [{**cell, "source": CELL}], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    )


def open_notebook(people: People, page: Page) -> None:
    """Put the notebook into alice's home and open it; its kernel has started when this returns."""
    url = people.url("/user/alice/api/contents/story.ipynb", "alice")
    assert page.evaluate(SAVE, {"url": url, "content": notebook()}) in (200, 201)
    # The indicator also says "idle" where there is no kernel yet, and who runs a cell then is asked for one.
    with page.expect_websocket(lambda socket: "/channels" in socket.url, timeout=90_000):
        page.goto(people.url("/user/alice/lab/tree/story.ipynb", "alice"))
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=90_000)


def run_cell(page: Page, says: str) -> None:
    """Run the cell by the menu until its output has these words; JupyterLab loses one run at its start."""
    for _ in range(10):
        try:
            page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        except TimeoutError as error:
            raise AssertionError(f"in the way: {page.locator('.jp-Dialog').all_inner_texts()}") from error
        page.get_by_text("Run All Cells", exact=True).click()
        try:
            page.locator(".jp-OutputArea-output", has_text=says).first.wait_for(timeout=6000)
            return
        except TimeoutError:
            continue
    raise AssertionError(page.locator(".jp-OutputArea-output").all_inner_texts())


def panel(page: Page, section: str) -> Locator:
    """A section of the panel, which is opened by the item of the status bar."""
    found = page.locator(f".jp-sandbox-panel [data-section={section}]")
    if not found.is_visible():
        page.locator(".jp-sandbox-status").click()
    found.wait_for(timeout=20_000)
    return found


def admin_page(people: People, page: Page, query: str = "") -> None:
    """The admin's page, drawn; it has a host name of its own, as every service."""
    page.goto(people.url("/services/sandbox/", "sandbox--service") + query)
    expect(page.locator("main[aria-busy=false]")).to_be_visible(timeout=30_000)


def no_server(people: People, page: Page) -> None:
    """Alice stops her server by the hub's page, if one runs."""
    page.goto(people.url("/hub/home"))
    if page.locator("#stop").is_visible():
        page.click("#stop")
        expect(page.locator("#start")).to_contain_text("Start", timeout=60_000)


def test_a_refused_host_is_asked_for_approved_and_works(people: People, alice: Page, admin: Page) -> None:
    """A cell is refused; the panel shows why and asks; an admin approves for a time; the same cell works."""
    people.start(alice, "alice", "walled")
    open_notebook(people, alice)
    run_cell(alice, "it failed:")
    network = panel(alice, "network")
    alice.get_by_role("button", name="Refresh", exact=True).last.click()
    expect(network).to_contain_text(f"{HOST}:80", timeout=40_000)
    expect(network).to_contain_text("No rule of your profile allows this host.")
    network.get_by_role("button", name=f"Ask for access to {HOST}:80").click()
    network.get_by_label("Why").fill("The course's data are there.")
    picture(alice, "lab-ask")
    network.get_by_role("button", name="Ask", exact=True).click()
    expect(network).to_contain_text("Asked. An admin decides")

    admin_page(people, admin, "?view=network")
    row = admin.get_by_role("row", name=HOST).filter(has_text="The course's data are there.")
    row.get_by_role("button", name="Approve").click()
    picture(admin, "admin-approve")
    dialog = admin.get_by_role("dialog")
    dialog.locator("button[type=submit], button.primary").first.click()
    expect(dialog.locator(".note.good")).to_be_visible(timeout=20_000)

    alice.get_by_role("button", name="Refresh", exact=True).last.click()
    expect(network.locator("[data-list=requests]").first).to_contain_text("approved", timeout=40_000)
    picture(alice, "lab-panel")
    run_cell(alice, "it says")


def test_an_end_is_warned_of_put_off_up_to_the_cap_and_explained(people: People, alice: Page) -> None:
    """A toast warns, Extend moves the end once, the panel says why not again, and the page afterwards why."""
    no_server(people, alice)
    people.start(alice, "alice", "brief")
    toast = alice.locator(".Toastify__toast", has_text="stop").first
    toast.wait_for(timeout=90_000)
    extend = toast.get_by_role("button", name=re.compile("^Extend"))
    extend.wait_for(timeout=60_000)  # it counts from now, so at first there is nothing to gain
    picture(alice, "lab-toast")
    extend.click()
    time = panel(alice, "time")
    expect(time.get_by_role("button", name=re.compile("^Extend"))).to_be_disabled(timeout=40_000)
    picture(alice, "lab-cap")

    trouble = alice.locator(".jp-sandbox-panel .jp-sandbox-trouble")
    expect(trouble).to_contain_text("This server has ended", timeout=180_000)
    expect(trouble).to_contain_text(re.compile("TTL|time was up"))
    expect(trouble.get_by_role("link", name="Start again")).to_have_attribute(
        "href", people.url("/hub/user/alice/lab")
    )
    picture(alice, "lab-ended")
    alice.goto(people.url("/user/alice/lab", "alice"))
    expect(alice.locator("main")).to_contain_text("Your server is not running", timeout=60_000)
    expect(alice.locator(".sandbox-ending")).to_contain_text("time")
    picture(alice, "hub-stopped")
    expect(alice.get_by_role("button", name="Start again")).to_be_visible()


def test_an_admin_stops_a_server_and_its_user_reads_why(people: People, alice: Page, admin: Page) -> None:
    """The admin's words stand on the page that the user comes to, and she starts again from there."""
    people.start(alice, "alice", "walled")
    admin_page(people, admin)
    admin.get_by_role("link", name="alice", exact=True).click()
    admin.get_by_role("complementary", name="alice").get_by_role("button", name="Stop").click()
    admin.get_by_label("Reason").fill("The disks are moved tonight.")
    admin.get_by_role("button", name="Stop the server").click()
    expect(admin.get_by_role("dialog").locator(".note.good")).to_be_visible(timeout=60_000)
    alice.goto(people.url("/user/alice/lab", "alice"))
    expect(alice.locator(".sandbox-ending")).to_contain_text("The disks are moved tonight.", timeout=60_000)
    alice.get_by_role("button", name="Start again").click()
    alice.wait_for_url("**/user/alice/lab**", timeout=90_000)
