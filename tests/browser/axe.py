"""Can everybody use this page? What axe finds on it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.lanes import CHECKOUT

__all__ = ["findings"]

_AXE = CHECKOUT / "labextension/ui-tests/node_modules/axe-core/axe.min.js"
# Without those that never end.
_SETTLED = """() => Promise.allSettled(
    document.getAnimations()
        .filter(one => Number.isFinite(one.effect.getComputedTiming().endTime))
        .map(one => one.finished)
)"""


def findings(page: Page) -> list[str]:
    """A line for each rule that is broken: its name, and where. The context must bypass the page's policy."""
    page.add_script_tag(path=_AXE)
    # A colour that is still changing to that of another theme is nobody's.
    page.evaluate(_SETTLED)
    found: Any = page.evaluate("async () => (await axe.run()).violations")
    return [f"{rule['id']}: {[node['html'][:200] for node in rule['nodes'][:3]]}" for rule in found]
