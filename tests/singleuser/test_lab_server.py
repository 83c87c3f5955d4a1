"""Who may use the routes below `sandbox/` of a real single-user server, and what do they answer?"""

from __future__ import annotations

import http.cookiejar
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_sandbox_spawner.singleuser.lab.bodies import BODIES
from tests.singleuser.sandbox import SECRET, Sandbox, sandbox
from tests.singleuser.selfapi import EGRESS, ME, REQUEST
from tests.singleuser.userserver import BASE_URL, PREFIX, SELF, UserServer

pytestmark = pytest.mark.lane("userenv")

FOREIGN, NOBODY, COOKIE = "token-of-bob", "token-of-nobody", "token-of-a-browser"
BOB = {"name": "bob", "kind": "user", "admin": False, "groups": [], "scopes": ["access:servers!server=bob/"]}
WISHES = {
    "extend": {"by": 600},
    "keep": {"by": 0},
    "stop": {},
    "egress/ask": {"host": "example.com", "port": 443, "why": "the course"},
    "egress/withdraw": {"id": 7},
}
ROUTES = [("GET", "view", None), *(("POST", name, body) for name, body in WISHES.items())]
GRANTED = {"deadline": "2026-11-25T17:00:00Z", "now": "2026-11-25T15:19:00Z", "left": 1, "cap": None}
Answer = tuple[int, Any, HTTPMessage]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        """A redirect is an answer."""


def _own(server: UserServer, path: str) -> str:
    return f"http://127.0.0.1:{server.place.server_port}{BASE_URL}{path}"


def _ask(
    server: UserServer,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    opener: urllib.request.OpenerDirector | None = None,
) -> Answer:
    """Status, document (None where it is no JSON) and headers."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(_own(server, path), raw, dict(headers or {}), method=method)
    try:
        answer = (opener or urllib.request.build_opener(_Stay)).open(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        content = answer.read()
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    return answer.status, document, answer.headers


def _as(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}"}


def _prepare(server: UserServer) -> None:
    """Let control answer every wish, and the hub know a stranger."""
    hub = server.hub
    hub.people = {FOREIGN: BOB, NOBODY: None}
    hub.secrets["/hub/api/oauth2/token"] = {"access_token": COOKIE}
    hub.answers |= {
        f"{SELF}/egress": (EGRESS, 200),
        f"{SELF}/extend": (GRANTED, 200),
        f"{SELF}/keep": ({"keep_until": None, "now": GRANTED["now"]}, 200),
        f"{SELF}/stop": ({"stop": None}, 202),
        f"{SELF}/egress/ask": (REQUEST, 200),
        f"{SELF}/egress/withdraw": ({**REQUEST, "status": "withdrawn"}, 200),
    }


@pytest.fixture(scope="module")
def running() -> Iterator[UserServer]:
    """Alice's server, started lean as in a sandbox; once for all tests that only ask."""
    with sandbox() as place:
        server = UserServer(place)
        _prepare(server)
        server.start(JUPYTER_SANDBOX="1")
        yield server
        server.close()


@pytest.fixture
def alice(running: UserServer) -> UserServer:
    """The running server, with what it was asked forgotten."""
    running.hub.wishes.clear()
    return running


def _browser(server: UserServer) -> tuple[urllib.request.OpenerDirector, dict[str, str]]:
    """A browser that has logged in by the hub, and the headers that a page of the server sends."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), _Stay)
    _, _, headers = _ask(server, "GET", "lab", opener=opener)
    (state,) = parse_qs(urlsplit(headers["Location"]).query)["state"]
    _ask(server, "GET", f"oauth_callback?code=once&state={state}", opener=opener)
    status, _, _ = _ask(server, "GET", "lab", opener=opener)
    assert status == 200
    xsrf = next(str(cookie.value) for cookie in jar if cookie.name == "_xsrf")
    return opener, {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "X-XSRFToken": xsrf}


@pytest.mark.parametrize(("method", "route", "body"), ROUTES, ids=[route for _, route, _ in ROUTES])
@pytest.mark.proves("X04")
def test_every_route_asks_for_a_login(
    alice: UserServer, method: str, route: str, body: Any, control: Any
) -> None:
    """Nobody, an unknown token and another user get 401 or 403 as JSON; the owner is served."""
    for headers in ({}, _as(NOBODY), _as(FOREIGN), {"Cookie": "jupyterhub-user-alice=forged"}):
        status, document, kind = _ask(alice, method, f"sandbox/{route}", body, headers)
        assert status in (401, 403), headers
        assert kind["Content-Type"] == "application/json"
        assert set(document) >= {"code", "message"}
    assert alice.hub.wishes == []
    status, _, _ = _ask(alice, method, f"sandbox/{route}", body, _as(SECRET))
    control("its owner may", status in (200, 202))


def test_no_route_was_forgotten(alice: UserServer) -> None:
    """The sweep above knows every route: what it does not list answers 404."""
    assert _ask(alice, "GET", "sandbox/other", None, _as(SECRET))[0] == 404
    assert set(BODIES) == set(WISHES)


@pytest.mark.parametrize("route", WISHES)
def test_another_site_cannot_wish(alice: UserServer, route: str, control: Any) -> None:
    """With a browser's cookie a wish is refused without the page's own XSRF token, or with a wrong one."""
    opener, page = _browser(alice)
    body = WISHES[route]
    cross = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}
    for headers in ({}, cross, {**page, "X-XSRFToken": "wrong"}):
        status, document, _ = _ask(alice, "POST", f"sandbox/{route}", body, headers, opener)
        assert status == 403
        assert document["code"].startswith("lab.")
    assert alice.hub.wishes == []
    status, _, _ = _ask(alice, "POST", f"sandbox/{route}", body, page, opener)
    control("the page itself may", status in (200, 202))
    assert len(alice.hub.wishes) == 1


def test_the_view_is_one_document(alice: UserServer) -> None:
    """A page gets everything by one request, which nobody may keep."""
    opener, page = _browser(alice)
    status, view, headers = _ask(alice, "GET", "sandbox/view", None, page, opener)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert view["control"]["ok"], view["control"]
    assert view["sandbox"]["id"] == ME["id"]
    assert view["egress"]["requests"][0]["host"] == "example.com"


def test_a_page_names_its_wish(alice: UserServer) -> None:
    """The key of a click reaches control as it is, so the same click sent again is no second extension."""
    for _ in range(2):
        assert _ask(alice, "POST", "sandbox/extend", {"key": "a1"}, _as(SECRET))[0] == 200
    assert [wish["key"] for _, wish in alice.hub.wishes] == ["a1", "a1"]
    assert _ask(alice, "GET", "sandbox/view?anew=1", None, _as(SECRET))[0] == 200


def test_a_view_is_no_use_of_the_server(alice: UserServer) -> None:
    """An open page that asks again and again does not keep its server from idleness."""
    before = _ask(alice, "GET", "api/status?no_track_activity=1", None, _as(SECRET))[1]["last_activity"]
    for _ in range(3):
        assert _ask(alice, "GET", "sandbox/view", None, _as(SECRET))[0] == 200
    after = _ask(alice, "GET", "api/status?no_track_activity=1", None, _as(SECRET))[1]["last_activity"]
    assert after == before


def test_a_wish_is_carried_as_it_is(alice: UserServer) -> None:
    """Control gets the fields, an extension a name of its own; its answer comes back as it is."""
    status, document, _ = _ask(alice, "POST", "sandbox/extend", {"by": 600}, _as(SECRET))
    assert (status, document) == (200, GRANTED)
    assert _ask(alice, "POST", "sandbox/stop", {}, _as(SECRET))[0] == 202
    asked = WISHES["egress/ask"]
    assert _ask(alice, "POST", "sandbox/egress/ask", asked, _as(SECRET))[1] == REQUEST
    (first, extend), (second, _), (third, ask) = alice.hub.wishes
    assert (first, second, third) == (f"{SELF}/extend", f"{SELF}/stop", f"{SELF}/egress/ask")
    assert (extend.pop("by"), list(extend)) == (600, ["key"])
    assert ask == asked


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("extend", b"not json", "body"),
        ("extend", b"[1]", "body"),
        ("extend", {"by": "1h"}, "by"),
        ("extend", {"by": True}, "by"),
        ("extend", {"forever": 1}, "forever"),
        ("extend", {"key": "a b"}, "key"),
        ("keep", {}, "by"),
        ("keep", {"by": -1}, "by"),
        ("stop", {"user": "bob"}, "user"),
        ("egress/ask", {"host": "", "port": 443, "why": "x"}, "host"),
        ("egress/ask", {"host": "a.example", "port": 0, "why": "x"}, "port"),
        ("egress/ask", {"host": "a.example", "port": 443, "why": "x" * 501}, "why"),
        ("egress/withdraw", {"id": "7"}, "id"),
        ("egress/withdraw", b"x" * 20_000, "body"),
    ],
    ids=str,
)
def test_a_bad_body_names_its_field(alice: UserServer, route: str, body: Any, field: str) -> None:
    """What cannot be meant is refused here, and nothing goes to control."""
    status, document, _ = _ask(alice, "POST", f"sandbox/{route}", body, _as(SECRET))
    assert (status, document["code"], document["field"]) == (400, "wire.invalid", field)
    assert alice.hub.wishes == []


def test_a_refusal_keeps_its_status_and_words(alice: UserServer) -> None:
    """Why control refuses reaches the page; what is away is 503 with what to do."""
    said = {"code": "extend.at_cap", "message": "All used up.", "remedy": "Save your work."}
    try:
        alice.hub.answers[f"{SELF}/extend"] = (said, 409)
        assert _ask(alice, "POST", "sandbox/extend", {}, _as(SECRET))[:2] == (409, said)
        alice.hub.answers[f"{SELF}/extend"] = ({"code": "control.unreachable", "message": "connect"}, 502)
        status, document, _ = _ask(alice, "POST", "sandbox/extend", {}, _as(SECRET))
        assert (status, document["code"]) == (503, "control.unreachable")
        assert document["remedy"]
    finally:
        alice.hub.answers[f"{SELF}/extend"] = (GRANTED, 200)


@pytest.mark.timeout(240)  # an ordinary start takes 8 s of processor time
@pytest.mark.parametrize("sandboxed", ["1", ""], ids=["inside", "outside"])
def test_an_ordinary_start_has_the_routes_too(place: Sandbox, sandboxed: str) -> None:
    """Where the server is not started lean they answer as well; outside a sandbox each says so with 404."""
    server = UserServer(place)
    _prepare(server)
    server.start(JUPYTER_SANDBOX_LEAN="0", JUPYTER_SANDBOX=sandboxed)
    try:
        for method, route, body in ROUTES:
            status, document, _ = _ask(server, method, f"sandbox/{route}", body, _as(SECRET))
            if sandboxed:
                assert status in (200, 202)
            else:
                assert (status, document["code"]) == (404, "sandbox.outside")
        assert _ask(server, "GET", "sandbox/view", None, {})[0] == 403
    finally:
        server.close()


def test_a_start_imports_the_routes_only(tmp_path: Path) -> None:
    """What gathers, asks and formats is imported when a page asks first; a start pays for two small files."""
    code = """
import logging, sys
from types import SimpleNamespace
import jupyter_server.base.handlers
from jupyter_sandbox_spawner.singleuser import lab
before = set(sys.modules)
found = []
application = SimpleNamespace(settings={"base_url": "/x/"})
application.add_handlers = lambda _hosts, routes: found.extend(route[0] for route in routes)
lab._load_jupyter_server_extension(SimpleNamespace(web_app=application, log=logging.getLogger()))
print(found[0], *sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [PREFIX / "bin/python", "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    ours = "jupyter_sandbox_spawner"
    assert done.stdout.split() == ["/x/sandbox/view", f"{ours}.errors", f"{ours}.singleuser.lab.handlers"]
