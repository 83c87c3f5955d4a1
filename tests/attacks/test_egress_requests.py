"""Does what an admin gives reach a running server without a restart, and does it end by itself?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from hub_config.demo.upstream import MIRROR_HOST
from tests.support.house import House

from .test_egress import PROXY
from .test_lifetime import ASK

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.timeout(300)
EGRESS = "services/sandbox/api/self/egress"
HOSTILE = "<script>alert(1)</script> \x1b]0;owned\x07 \u202e" + "\U0001f4a9"


def _ask(house: House, path: str, body: dict[str, Any] | None = None) -> Any:
    method = "GET" if body is None else "POST"
    code = f"""
answer = ask({method!r}, {EGRESS + path!r}, {body!r})
attempt("answer", lambda: {{"status": answer["status"], "body": json.loads(answer["body"])}})
"""
    return house.attack("bob", ASK + code)["answer"]["value"]


def _answers(house: House) -> str:
    """The status line of a host that the profile does not open, as a program inside sees it."""
    code = f'attempt("get", lambda: get("http://{MIRROR_HOST}/", "{MIRROR_HOST}"))'
    return str(house.attack("bob", f"{PROXY}\n{code}")["get"]["value"]).splitlines()[0]


@pytest.mark.proves("H06")
def test_a_refused_host_is_asked_for_given_and_ends(house: House, control: Control) -> None:
    """Refused, asked for, approved for a minute: it answers in the same kernel, a minute later no more."""
    if house.sandbox("bob") is not None:
        house.stop("bob")
    sandbox = house.server("bob", "guarded")
    control("it is refused before", "403 Blocked" in _answers(house))
    asked = _ask(house, "/ask", {"host": MIRROR_HOST, "port": 80, "why": HOSTILE})
    assert asked["status"] == 200, asked
    request = asked["body"]
    assert (request["status"], request["why"]) == (
        "waiting",
        "<script>alert(1)</script> \ufffd]0;owned\ufffd \ufffd\U0001f4a9",
    )
    assert "403 Blocked" in _answers(house)
    terms = {"for": 60, "scope": "user", "why": "For the tests."}
    given = house.ask_control(lambda client: client.approve_egress(request["id"], terms))
    end = time.monotonic() + 60
    assert given["applied"] == 1, given
    assert " 200 " in _answers(house)
    seen = _ask(house, "")["body"]
    assert [item["status"] for item in seen["requests"] if item["id"] == request["id"]] == ["approved"]
    assert any("(request" in rule for rule in seen["allowed"])

    house.stop("bob")
    assert house.server("bob", "guarded") != sandbox
    assert time.monotonic() < end, "this machine is too slow for the minute"
    control("the next server has it from its start", " 200 " in _answers(house))
    time.sleep(max(end - time.monotonic() + 1, 0))  # the minute itself is what is shown
    assert "403 Blocked" in _answers(house)
    seen = _ask(house, "")["body"]
    assert [item["status"] for item in seen["requests"] if item["id"] == request["id"]] == ["expired"]
    assert not any("(request" in rule for rule in seen["allowed"])


def test_what_is_taken_back_is_refused_at_once(house: House, control: Control) -> None:
    """The next connection of a running server is refused; the audit has every step."""
    house.server("bob", "guarded")
    request = _ask(house, "/ask", {"host": MIRROR_HOST, "port": 80, "why": "once more"})["body"]
    terms = {"for": 3600, "scope": "sandbox"}
    given = house.ask_control(lambda client: client.approve_egress(request["id"], terms))
    control("it answers before", " 200 " in _answers(house))
    house.ask_control(lambda client: client.revoke_egress(given["grant"]["id"], "Enough."))
    assert "403 Blocked" in _answers(house)
    lines = house.ask_control(lambda client: client.audit(user="bob", limit=500))["items"]
    actions = [line["action"] for line in lines if line["detail"].get("request") == request["id"]]
    assert actions == ["egress_request.revoked", "egress_request.approved", "egress_request.asked"]
    house.stop("bob")
