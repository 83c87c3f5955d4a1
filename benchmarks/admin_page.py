"""How quick is the admin page with thousands of servers? A real browser on a real control.

The page is asked for with a token in each request, so that the login, which happens once a day, is not in the
numbers; hub, launcher and gateway are stand-ins. The other contestant is the same page with few servers.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from .cull_control import open_books, running_control
from .cull_hub import FullHub
from .figures import Goal, Measure
from .house import scratch
from .machine import LOOPBACK, free_port
from .row import BenchmarkError, Row, Take

__all__ = ["ROWS"]

_MANY, _FEW = "10 000 servers", "50 servers"
_SERVERS = {_MANY: 10_000, _FEW: 50}
_SCOPE = "custom:sandbox:admin"
_TIMES = 5
_FIRST = Measure("first rows", "ms", Goal("at most", 500), compare="ours")
_FEEDBACK = Measure("feedback", "ms", Goal("at most", 100), compare="ours")
_SEARCH = Measure("rows while typing", "ms", Goal("at most", 100), compare="ours")
_SORT = Measure("rows in another order", "ms", Goal("at most", 100), compare="ours")
_PAGE = Measure("rows of the next page", "ms", Goal("at most", 100), compare="ours")
# Milliseconds from the navigation's start to the first row.
_WATCH = """new MutationObserver((_, watcher) => {
  if (document.querySelector('tbody tr')) { window.firstRows = performance.now(); watcher.disconnect(); }
}).observe(document, {childList: true, subtree: true});"""
# Milliseconds from an event to the sign that it was heard, and to what control says to it.
_ACT = """async ([selector, value]) => {
  const target = document.querySelector(selector);
  const rows = () => document.querySelector('main .pager span').textContent +
    [...document.querySelectorAll('tbody th')].map((cell) => cell.textContent).join();
  const before = rows(), began = performance.now();
  let heard = 0;
  const done = new Promise((told, failed) => {
    const watcher = new MutationObserver(() => {
      heard ||= performance.now();
      if (rows() !== before) { watcher.disconnect(); told(performance.now()); }
    });
    watcher.observe(document, {childList: true, subtree: true, attributes: true, characterData: true});
    setTimeout(() => failed(new Error(`nothing came of ${selector}`)), 20000);
  });
  if (value === null) { target.click(); } else {
    target.value = value;
    target.dispatchEvent(new Event('input', {bubbles: true}));
  }
  const drawn = await done;
  return [heard - began, drawn - began];
}"""
_IDLE = "main[aria-busy=false]"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _act(page: Page, selector: str, value: str | None = None) -> tuple[float, float]:
    await page.wait_for_selector(_IDLE)
    found: Any = await page.evaluate(_ACT, [selector, value])
    return float(found[0]), float(found[1])


async def _measure(browser: Browser, url: str) -> Mapping[str, float]:
    """Open it in a browser without a cache, then use it as a person does."""
    headers = {"Authorization": "token bench"}
    async with await browser.new_context(extra_http_headers=headers) as context:
        page = await context.new_page()
        await page.add_init_script(_WATCH)
        await page.goto(url)
        await page.wait_for_selector("tbody tr", timeout=60_000)  # the page's policy lets no predicate run
        first = float(await page.evaluate("window.firstRows"))
        kinds: dict[str, list[tuple[float, float]]] = {"search": [], "sort": [], "page": []}
        for number in range(_TIMES):
            kinds["search"].append(await _act(page, "input[name=search]", f"user0000{number}"))
            await _act(page, "input[name=search]", "")
            kinds["sort"].append(await _act(page, "thead th:nth-child(1) button"))
        for _ in range(_TIMES):
            page_numbers = "main .pager button:nth-of-type(2):enabled"
            if await page.query_selector(page_numbers):
                kinds["page"].append(await _act(page, page_numbers))
        if not kinds["page"]:
            kinds["page"] = kinds["sort"]  # few servers have one page
        heard = [feedback for times in kinds.values() for feedback, _ in times]
        rows = {kind: statistics.median(drawn for _, drawn in times) for kind, times in kinds.items()}
    names = {_SEARCH.name: rows["search"], _SORT.name: rows["sort"], _PAGE.name: rows["page"]}
    return {_FIRST.name: first, _FEEDBACK.name: max(heard), **names}


async def _serve_hub(stack: AsyncExitStack) -> int:
    async def user(request: web.Request) -> web.Response:
        return web.json_response({"name": "admin", "kind": "user", "scopes": [_SCOPE]})

    app = web.Application()
    app.router.add_get("/hub/api/user", user)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    return port


async def _control(stack: AsyncExitStack, servers: int) -> str:
    """The address of the page of a control with so many servers."""
    directory = await stack.enter_async_context(scratch())
    hub = FullHub(
        servers=servers,
        process=0,
        port=await _serve_hub(stack),
        proxy_port=free_port(),
        servers_port=free_port(),
        token="control",
        culler="",
        ours=directory,
        boot=0.0,
        session=await stack.enter_async_context(aiohttp.ClientSession()),
    )
    books = await stack.enter_async_context(open_books(directory, hub, _say))
    await stack.enter_async_context(running_control(books, "looks"))
    return f"http://{LOOPBACK}:{books.site.control_port}/services/sandbox/"


@asynccontextmanager
async def _open() -> AsyncIterator[Take]:
    async with AsyncExitStack() as stack:
        program = shutil.which("chromium")
        if program is None:
            raise BenchmarkError("There is no chromium; run: apt-get install chromium")
        urls = {name: await _control(stack, servers) for name, servers in _SERVERS.items()}
        play = await stack.enter_async_context(async_playwright())
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await play.chromium.launch(executable_path=program, args=flags)
        stack.push_async_callback(browser.close)

        async def take(contestant: str) -> Mapping[str, float]:
            return await _measure(browser, urls[contestant])

        yield take


ROWS = (
    Row(
        "admin-page",
        "the admin page in a browser: first rows, and rows after typing, ordering and turning the page",
        (_MANY, _FEW),
        (_FIRST, _FEEDBACK, _SEARCH, _SORT, _PAGE),
        _open,
    ),
)
