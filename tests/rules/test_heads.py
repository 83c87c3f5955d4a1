"""Which headers pass between a browser and a server?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.heads import (
    PagePolicy,
    fault,
    request_headers,
    response_headers,
    scoped_cookie,
    wants_websocket,
)

ADA = PagePolicy(prefix="/user/ada/")
OWN_HOST = PagePolicy(prefix="/user/ada/", hub_origin="https://hub.example", own_host=True)


@pytest.mark.proves("X01")
def test_pages_may_load_and_send_only_where_they_come_from() -> None:
    """No source of the policy names a foreign host, and what is not named falls back to 'self'."""
    policy = dict(part.strip().split(" ", 1) for part in ADA.content_security_policy.decode().split(";"))
    assert policy["default-src"] == "'self'"
    allowed = {"'self'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
    assert {source for sources in policy.values() for source in sources.split()} <= allowed
    assert policy["form-action"] == policy["frame-ancestors"] == policy["base-uri"] == "'self'"
    assert "data:" not in policy["script-src"]


def test_with_subdomains_a_form_may_end_at_the_hub() -> None:
    """The login redirect of a form is followed to the hub's origin where that is another one."""
    assert b"form-action 'self' https://hub.example;" in OWN_HOST.content_security_policy


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        (b"a=1; Path=/user/ada/", b"a=1; Path=/user/ada/"),
        (b"a=1; Path=/user/ada", b"a=1; Path=/user/ada"),
        (b"a=1; path = /user/ada/lab", b"a=1; path = /user/ada/lab"),
        (b"a=1; HttpOnly", b"a=1; HttpOnly; Path=/user/ada/"),
        (b"a=1; Path=/", None),
        (b"a=1; Path=/user/adam/", None),
        (b"a=1; Path=/user/bob/", None),
        (b"a=1; Path=/hub/", None),
        (b"a=1; Path=", None),
        (b'a=1; Path="/user/ada/"', None),
        (b"a=1; Path=/user/ada/; Path=/", None),
        (b"a=1; Path=/user/ada/; Domain=hub.example", None),
        (b"a=1; Path=/user/ada/; DOMAIN=", None),
        (b"a=1;\tpath\t=\t/", None),
        (b"__Host-a=1; Path=/; Secure", None),
    ],
)
def test_cookies_stay_inside_their_prefix(cookie: bytes, kept: bytes | None) -> None:
    """A cookie for another path or a domain is dropped; one without a path gets the server's."""
    assert scoped_cookie(cookie, ADA) == kept


def test_a_host_of_ones_own_may_have_cookies_for_its_root() -> None:
    """With subdomains a cookie for / of that user's host passes, one with a domain does not."""
    assert scoped_cookie(b"__Host-a=1; Path=/; Secure", OWN_HOST) == b"__Host-a=1; Path=/; Secure"
    assert scoped_cookie(b"a=1; Path=/; Domain=hub.example", OWN_HOST) is None


@pytest.mark.parametrize(
    "name",
    [
        b"service-worker-allowed",
        b"clear-site-data",
        b"strict-transport-security",
        b"alt-svc",
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"content-security-policy-report-only",
        b"connection-allowlist-report-only",
        b"x-sandbox-deny",
        b"proxy-authenticate",
        b"connection",
        b"transfer-encoding",
        b"upgrade",
    ],
)
def test_headers_that_reach_past_the_server_are_dropped(name: bytes) -> None:
    """What acts on the whole origin, on the connection or in our name does not pass."""
    got = response_headers([(name, b"x"), (b"x-kept", b"1")], ADA)
    assert name not in {key for key, _ in got}
    assert (b"x-kept", b"1") in got


def test_a_server_does_not_open_calls() -> None:
    """Whatever allowlist of connections it sends, the one that comes blocks WebRTC."""
    theirs = (b"connection-allowlist", b'("*://*:*/*");webrtc=allow')
    got = [value for name, value in response_headers([theirs], ADA) if name == b"connection-allowlist"]
    assert len(got) == 1
    assert b"webrtc=block" in got[0]


def test_reports_of_a_policy_are_cut() -> None:
    """A server's own policy passes without the address that reports of it would go to."""
    theirs = b"default-src 'none'; Report-URI https://evil.test/, script-src 'self'; report-to evil"
    got = response_headers([(b"content-security-policy", theirs)], ADA)
    assert got[0] == (b"content-security-policy", b"default-src 'none', script-src 'self'")
    assert got[1] == (b"content-security-policy", ADA.content_security_policy)


def test_the_length_of_a_chunked_answer_is_dropped() -> None:
    """Where a server sends chunks its Content-Length does not pass; else it does."""
    length = (b"content-length", b"5")
    assert length not in response_headers([length, (b"transfer-encoding", b"chunked")], ADA)
    assert length in response_headers([length], ADA)


def test_requests_lose_what_is_not_for_the_server() -> None:
    """Hop-by-hop, named and posing headers are dropped; length, host and the rest stay."""
    sent = [
        (b"host", b"x"),
        (b"content-length", b"3"),
        (b"connection", b"close, x-named, content-length, host"),
        (b"x-named", b"1"),
        (b"te", b"trailers"),
        (b"proxy-authorization", b"x"),
        (b"x-sandbox-id", b"x"),
        (b"x_sandbox_id", b"x"),
        (b"accept", b"*/*"),
    ]
    assert request_headers(sent, websocket=False) == [
        (b"host", b"x"),
        (b"content-length", b"3"),
        (b"accept", b"*/*"),
        (b"connection", b"close"),
    ]


@pytest.mark.parametrize(
    ("method", "headers", "wanted"),
    [
        (b"GET", [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")], True),
        (b"GET", [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"WebSocket")], True),
        (b"POST", [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")], False),
        (b"GET", [(b"connection", b"Upgrade"), (b"upgrade", b"h2c")], False),
        (b"GET", [(b"upgrade", b"websocket")], False),
        (b"GET", [], False),
    ],
)
def test_only_websockets_upgrade(method: bytes, headers: list[tuple[bytes, bytes]], wanted: bool) -> None:
    """A GET that asks for a WebSocket is the only upgrade; others go on as plain requests."""
    assert wants_websocket(method, headers) is wanted


def test_a_body_has_one_length_and_a_request_a_host() -> None:
    """Two lengths, or no host, are faults that are named."""
    host = (b"host", b"x")
    assert fault([host]) == ""
    assert "two lengths" in fault([host, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")])
    assert "no host" in fault([])


@given(st.binary(), st.sampled_from([ADA, OWN_HOST]))
def test_no_cookie_gains_reach(value: bytes, policy: PagePolicy) -> None:
    """Whatever a server writes, a cookie that passes names no domain and one path inside."""
    kept = scoped_cookie(value, policy)
    if kept is None:
        return
    names = [part.partition(b"=")[0].strip().lower() for part in kept.split(b";")[1:]]
    assert b"domain" not in names
    assert names.count(b"path") == 1
