"""What do the tests of the hub's pages share? Profiles with everything on a card, axe, pictures, a login."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page

from tests.hub.hub_process import PASSWORD, HubProcess
from tests.lanes import CHECKOUT

__all__ = ["AXE", "PROFILES", "Theme", "at", "axe", "picture", "visiting"]

Theme = Literal["light", "dark"]
AXE = CHECKOUT / "labextension/ui-tests/node_modules/axe-core/axe.min.js"
WIDTHS = {400: 860, 1280: 900}
PROFILES = r"""
prices: {currency: EUR, cpu_hour: 0.04, memory_gb_hour: 0.005, gpu_hour: 2.5}
profiles:
- display_name: Small
  slug: small
  default: true
  description: For reading, writing and small tables.
  sandbox: {cpu: 1, memory: 768M, ttl: 8h, idle_timeout: 45m, egress: ["mirror.sandbox.internal:80"]}
- display_name: Data science
  slug: science
  description: Room for larger tables and models; choose its size.
  sandbox: {cpu: 2, memory: 1G, disk: 20G, ttl: 12h, idle_timeout: 1h}
  profile_options:
    size:
      display_name: Size
      choices:
        middle: {display_name: Middle, default: true}
        large: {display_name: Large, sandbox: {cpu: 8, memory: 32G}}
        lab: {display_name: Whole node, allowed_groups: [lab], sandbox: {cpu: 64, memory: 256G}}
    branch:
      display_name: Branch of the course
      unlisted_choice:
        pattern: '[a-z]\w*(?:[.-]\w+)?'
        variable: COURSE_BRANCH
        message: Letters, digits and one dash or dot, with a small letter first.
        longest: 20
- display_name: GPU
  slug: gpu
  description: One GPU of this site.
  sandbox: {cpu: 4, memory: 1G, gpu: 1, ttl: 4h}
- display_name: Clinical
  slug: clinical
  allowed_groups: [clinical]
  description: With the data of the clinic.
  sandbox: {cpu: 4, memory: 16G}
"""


@contextmanager
def visiting(
    browser: Browser, hub: HubProcess, name: str, theme: Theme = "light", width: int = 1280, **settings: Any
) -> Iterator[Page]:
    """A page of a person who is logged in, in a browser of this width that prefers this theme."""
    view: Any = {"width": width, "height": WIDTHS[width]}
    with browser.new_context(viewport=view, color_scheme=theme, **settings) as context:
        page = context.new_page()
        page.goto(f"{hub.base}hub/login")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", PASSWORD)
        page.click("[type=submit]")
        page.wait_for_url(lambda url: "/hub/login" not in url)
        yield page


def at(hub: HubProcess, path: str) -> str:
    """The address of a page of the hub."""
    return f"{hub.base}hub/{path}"


def axe(page: Page) -> list[str]:
    """What axe finds wrong on this page: rule, impact and the places."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("() => axe.run()")
    return [
        f"{item['id']} ({item['impact']}): {[node['html'][:160] for node in item['nodes']]}"
        for item in found["violations"]
    ]


def picture(page: Page, name: str) -> None:
    """A picture for the documentation, where somebody asks for pictures."""
    folder = os.environ.get("SANDBOX_PICTURES")
    if folder:
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


Asked = Callable[..., AbstractContextManager[HubProcess]]
