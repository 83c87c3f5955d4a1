"""How often does a page with the extension ask its server? Once in 30 s, and never while it is hidden.

The clock of the page is the test's; JupyterLab and Chromium are real ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Route

from benchmarks.house import scratch
from benchmarks.lab_server import VIEW, answer, chromium, open_lab, until_restored

# What a browser tells of a tab that is in the background or in front again.
SEEN = """(state) => {
    Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});
    Object.defineProperty(document, 'hidden', {value: state === 'hidden', configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
MINUTES = 5


@pytest.mark.lane("galata")
@pytest.mark.timeout(400)
async def test_a_page_asks_twice_a_minute_at_most_and_hidden_not_at_all(tmp_path: Path) -> None:
    """Five minutes in front: at most ten requests, and some; five minutes hidden: none; seen again: one."""
    asked: list[str] = []

    async def count(route: Route) -> None:
        asked.append(route.request.url)
        await answer(route)

    async with (
        scratch() as directory,
        open_lab(directory, True) as url,
        chromium() as browser,
        await browser.new_context() as context,
    ):
        await context.route(VIEW, count)
        page = await context.new_page()
        await page.clock.install()
        await until_restored(page, url)
        await page.clock.run_for(1000)
        assert len(asked) == 1  # the control: it does ask, and the page can count

        async def minutes(number: int) -> int:
            before = len(asked)
            for _ in range(number * 12):
                await page.clock.run_for(5000)
                await page.evaluate("new Promise((done) => queueMicrotask(done))")
            return len(asked) - before

        seen = await minutes(MINUTES)
        await page.evaluate(SEEN, "hidden")
        hidden = await minutes(MINUTES)
        await page.evaluate(SEEN, "visible")
        await page.clock.run_for(1000)
        again = len(asked) - 1 - seen - hidden
    assert 0 < seen <= 2 * MINUTES
    assert (hidden, again) == (0, 1)
