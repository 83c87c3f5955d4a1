"""Do JupyterLab's routes of a real server serve its owner, and nobody else?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from hub_config.demo.visitor import Refusal
from tests.support.house import House

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.timeout(300)
WISH = {"host": "panel.example", "port": 443, "why": "asked from the panel"}


def _call(house: House, who: str, method: str, route: str, body: Any = None) -> Any:
    """As the page of JupyterLab on alice's server would, in this person's browser."""
    visitor = house.visitor(who)
    try:
        return house.wait(visitor.call(method, visitor.server(f"sandbox/{route}", "alice"), body))
    except Refusal as refusal:
        return refusal.status


async def _plain(house: House, method: str, route: str) -> tuple[int, str, Any]:
    """Without any login."""
    address = house.visitor("alice").server(f"sandbox/{route}")
    async with aiohttp.ClientSession() as session, session.request(method, address, json={}) as answer:
        return answer.status, answer.content_type, await answer.json()


@pytest.mark.proves("X04")
def test_x04_the_panels_routes_are_the_owners(house: House, control: Control) -> None:
    """Bob's browser and one without a login are refused by every route; alice's is served, and asks."""
    sandbox = house.server("alice")
    house.server("bob")
    view = _call(house, "alice", "GET", "view")
    control("the owner sees her sandbox", view["sandbox"]["id"] == sandbox)
    assert [view[part]["ok"] for part in ("control", "broker")] == [True, True], view
    assert view["sandbox"]["meters"]
    for method, route in (
        ("GET", "view"),
        *(("POST", name) for name in ("extend", "keep", "stop", "egress/ask", "egress/withdraw")),
    ):
        assert _call(house, "bob", method, route, {} if method == "POST" else None) == 403
        status, kind, document = house.wait(_plain(house, method, route))
        assert (status, kind) == (403, "application/json"), route
        assert document["code"].startswith("lab.")
    asked = _call(house, "alice", "POST", "egress/ask", WISH)
    assert (asked["status"], asked["host"]) == ("waiting", "panel.example")
    found = _call(house, "alice", "GET", "view")["egress"]["requests"]
    assert [item["why"] for item in found if item["id"] == asked["id"]] == [WISH["why"]]
    assert _call(house, "alice", "POST", "egress/withdraw", {"id": asked["id"]})["status"] == "withdrawn"
    running = house.sandbox("alice")
    assert running is not None
    assert running.id == sandbox
