"""Do people's pages work under the response policy: JupyterLab, Notebook 7, plots and widgets?

Law: what a page shows was computed by the kernel or drawn by a script of the page, and the browser that
showed it saw no violation, while a violation made on purpose is seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Page, TimeoutError, expect

from tests.browser.conftest import People, violations

Control = Callable[[str, bool], None]

CELLS = (
    "print('be' + 'gun')",
    "import matplotlib.pyplot as plt\nplt.plot([1, 4, 2])\nplt.show()",
    """import ipywidgets as widgets
slider, button, told = widgets.IntSlider(value=3, max=9), widgets.Button(description='Press'), widgets.Label()
slider.observe(lambda change: setattr(told, 'value', f'the kernel doubles it: {change.new * 2}'), 'value')
button.on_click(lambda _: setattr(slider, 'value', 7))
widgets.VBox([slider, button, told])""",
    """from IPython.display import HTML, SVG, Javascript, Math, display
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><circle r='9'/></svg>"))
display(Math(r'\\frac{a}{b}'))
display(HTML("<b id='bold'>bold</b><script>document.getElementById('bold').title = 'scripted'</script>"))
display(Javascript("element.append('written by a script')"))""",
)
SAVE = """async ({url, content}) => {
  const token = /_xsrf=([^;]+)/.exec(document.cookie)[1];
  const body = JSON.stringify({type: 'notebook', format: 'json', content: JSON.parse(content)});
  return (await fetch(url, {method: 'PUT', body, headers: {'X-XSRFToken': token}})).status;
}"""
# Something that the policy refuses; the page's own listener has heard of it when this is done.
BREAK = """() => new Promise((done) => {
  addEventListener('securitypolicyviolation', () => done(true), {once: true});
  fetch('http://elsewhere.localhost/').catch(() => null);
})"""


def notebook() -> str:
    """A notebook file of the cells above, not run yet."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    blank = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [{**blank, "id": f"cell{number}", "source": cell} for number, cell in enumerate(CELLS)]
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    )


@dataclass(frozen=True)
class Desk:
    """Alice's browser, its page of her server, and what her pages were refused by their policy."""

    context: BrowserContext
    page: Page
    refused: list[str]


@pytest.fixture(scope="module")
def desk(people: People) -> Iterator[Desk]:
    """Alice at her running server, with JupyterLab open."""
    with people.at_the_hub("alice") as (context, page):
        refused = violations(context)
        people.start(page, "alice")
        page.wait_for_selector(".jp-Launcher-content [data-category=Notebook]", timeout=60_000)
        yield Desk(context, page, refused)


def save(people: People, desk: Desk, name: str) -> None:
    """Put a notebook of this name into her home."""
    url = people.url(f"/user/alice/api/contents/{name}", "alice")
    status = desk.page.evaluate(SAVE, {"url": url, "content": notebook()})
    assert status in (200, 201), status


def run_all(page: Page) -> None:
    """Run the cells of the open notebook by the menu, and wait until none of them runs any more."""
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=90_000)
    begun = page.locator(".jp-OutputArea-output >> text=begun")
    for _ in range(10):
        # JupyterLab 4 loses a cell that is run in its first moment, also without a hub.
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
        page.get_by_text("Run All Cells", exact=True).click()
        try:
            begun.first.wait_for(timeout=6000)
            break
        except TimeoutError:
            continue
    page.wait_for_function(
        "count => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]"
        ".filter((prompt) => /\\[\\d+\\]/.test(prompt.textContent)).length === count",
        arg=len(CELLS),
        timeout=90_000,
    )


def check_plot(page: Page) -> None:
    """Matplotlib's picture is there, and the browser could decode it."""
    plot = page.locator(".jp-OutputArea-output img[src^='data:image/png']")
    assert plot.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100


def check_widgets(page: Page) -> None:
    """A slider that is moved is heard by the kernel, and one that the kernel moves is seen."""
    value = page.locator(".widget-readout")
    handle = page.locator(".noUi-handle")
    handle.hover()
    box = handle.bounding_box()
    assert box is not None
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    expect(value).not_to_have_text("3")
    found = int(value.inner_text())
    expect(page.locator(f".widget-label:has-text('the kernel doubles it: {found * 2}')")).to_be_visible()
    page.locator(".widget-button", has_text="Press").click()
    expect(value).to_have_text("7")
    expect(page.locator(".widget-label:has-text('the kernel doubles it: 14')")).to_be_visible()


def check_rich_outputs(page: Page) -> None:
    """A drawing, a formula, HTML with a script and a script of its own are shown."""
    shown = page.locator(".jp-OutputArea-output")
    assert shown.locator("img[src^='data:image/svg+xml'], svg").first.is_visible()
    expect(shown.locator("mjx-container")).to_have_count(1)
    expect(page.locator("#bold[title=scripted]")).to_be_visible()
    expect(shown.get_by_text("written by a script", exact=True)).to_be_visible()


def check_nothing_was_refused(desk: Desk, page: Page, control: Control) -> None:
    """No violation was seen by any of her pages, and one that is made now is."""
    assert desk.refused == []
    page.evaluate(BREAK)
    control("a violation is seen", any("connect-src" in line for line in desk.refused))
    desk.refused.clear()


def test_jupyterlab_works_under_the_policy(people: People, desk: Desk, control: Control) -> None:
    """JupyterLab runs a notebook with a plot, widgets, a formula and scripts; nothing is refused."""
    save(people, desk, "in-lab.ipynb")
    desk.page.goto(people.url("/user/alice/lab/tree/in-lab.ipynb", "alice"))
    run_all(desk.page)
    check_plot(desk.page)
    check_widgets(desk.page)
    check_rich_outputs(desk.page)
    check_nothing_was_refused(desk, desk.page, control)


def test_notebook_7_works_under_the_policy(people: People, desk: Desk, control: Control) -> None:
    """Notebook 7 lists the files, opens a notebook in a page of its own and runs it; nothing is refused."""
    save(people, desk, "in-notebook.ipynb")
    desk.page.goto(people.url("/user/alice/tree", "alice"))
    with desk.context.expect_page() as opened:
        desk.page.locator(".jp-DirListing-item", has_text="in-notebook.ipynb").dblclick(timeout=60_000)
    page = opened.value
    page.wait_for_url("**/user/alice/notebooks/in-notebook.ipynb**")
    run_all(page)
    check_plot(page)
    check_widgets(page)
    check_rich_outputs(page)
    check_nothing_was_refused(desk, page, control)
