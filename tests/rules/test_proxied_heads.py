"""Which headers pass to a host with a secret and back, and where may its answers lead?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.rules.proxied_heads import (
    answer_headers,
    framing,
    location_inside,
    to_broker,
    to_host,
    to_sandbox,
)

PREFIX = "/services/sandbox/api/secrets/a/proxy/"
ASKED = "https://git.example.org/group/x?y=z"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "host",
            "cookie",
            "x-sandbox-id",
            "x_sandbox_id",
            "x-forwarded-for",
            "x-forwarded-host",
            "forwarded",
        ),
        *("proxy-authorization", "connection", "keep-alive", "te", "trailer", "upgrade", "transfer-encoding"),
        *("content-length", "expect", "range", "if-range", "origin", "referer", "accept-encoding", "listed"),
    ],
)
def test_what_no_host_is_sent(name: str) -> None:
    """Connection headers, those named by them, statements of ours and what shows the sandbox stay here."""
    headers = [(name.encode(), b"1"), (b"x-kept", b"2"), (b"connection", b"listed")]
    assert to_broker(headers) == [(b"x-kept", b"2")]
    sent = to_host(headers, ("Authorization", "Bearer x"))
    assert [item for item in sent if item[0] == name.encode()] in ([], [(b"accept-encoding", b"identity")])
    assert (b"x-kept", b"2") in sent


def test_who_asks_is_told_to_the_broker_alone() -> None:
    """The sandbox's Authorization reaches the broker; the host gets the credential in its place, once."""
    shown = [(b"authorization", b"token t")]
    assert to_broker(shown) == shown
    credential = [(b"accept-encoding", b"identity"), (b"X-Api-Key", b"x")]
    assert to_host(shown, ("X-Api-Key", "x")) == credential
    assert to_host([*shown, (b"accept", b"*/*")], ("X-Api-Key", "x")) == [(b"accept", b"*/*"), *credential]


@pytest.mark.parametrize("spelling", [b"x-api-key", b"x_api_key", b"x-api_key"])
def test_the_credentials_header_is_sent_once(spelling: bytes) -> None:
    """A sandbox's own value for it, in any spelling, does not pass; nor does its token."""
    sent = to_host([(spelling, b"forged"), (b"authorization", b"token t")], ("X-Api-Key", "real"))
    assert sent == [(b"accept-encoding", b"identity"), (b"X-Api-Key", b"real")]


@pytest.mark.parametrize(
    "name",
    [
        *("set-cookie", "strict-transport-security", "alt-svc", "clear-site-data", "nel", "report-to"),
        *("www-authenticate", "proxy-authenticate", "x-sandbox-deny", "x-sandbox-upstream", "refresh"),
        *("location", "transfer-encoding", "content-length", "connection", "x-jupyterhub-version"),
        *("access-control-allow-origin", "accept-ranges"),
    ],
)
def test_what_no_host_says_to_a_sandbox(name: str) -> None:
    """Cookies, rules for its origin, questions for a password and statements of ours do not come in."""
    assert answer_headers([(name.encode(), b"1"), (b"etag", b'"2"')]) == [(b"etag", b'"2"')]


def test_the_door_passes_what_the_broker_says() -> None:
    """Its code, its question for the token and its redirects pass; a cookie does not."""
    said = [(b"x-sandbox-deny", b"a.b"), (b"www-authenticate", b"Basic"), (b"location", b"/x")]
    assert to_sandbox([*said, (b"set-cookie", b"a=b"), (b"connection", b"close")]) == said


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], []),
        ([(b"content-length", b"5")], [(b"content-length", b"5")]),
        ([(b"content-length", b"-5")], []),
        ([(b"content-length", b"5, 5")], []),
        ([(b"transfer-encoding", b"chunked")], [(b"transfer-encoding", b"chunked")]),
        (
            [(b"transfer-encoding", b"Chunked"), (b"content-length", b"5")],
            [(b"transfer-encoding", b"chunked")],
        ),
    ],
)
def test_a_body_has_one_end(headers: list[tuple[bytes, bytes]], found: list[tuple[bytes, bytes]]) -> None:
    """A length or chunks, never both."""
    assert framing(headers) == found


@pytest.mark.parametrize(
    ("location", "inside"),
    [
        ("/login", "login"),
        ("https://git.example.org/b.git/info?x=%2f", "b.git/info?x=%2f"),
        ("https://git.example.org:443/b", "b"),
        ("HTTPS://GIT.EXAMPLE.ORG/b", "b"),
        ("y/z", "group/y/z"),
        ("../w", "w"),
        ("?p=2", "group/x?p=2"),
        ("https://git.example.org", ""),
    ],
)
def test_a_redirect_on_the_host_leads_back_here(location: str, inside: str) -> None:
    """Written in any way, it becomes a path below the secret's own."""
    assert location_inside(location, ASKED, PREFIX) == PREFIX + inside


@pytest.mark.parametrize(
    "location",
    [
        "http://git.example.org/b",
        "https://git.example.org:8443/b",
        "https://other.example.org/b",
        "https://git.example.org.evil.example/b",
        "https://git.example.org@evil.example/b",
        "https://user@git.example.org/b",
        "//evil.example/b",
        "/\\evil.example/b",
        "\\\\evil.example/b",
        "https:/\tevil.example/",
        "javascript:alert(1)",
        "https://git.example.org:99999999/b",
        "https://[::1/b",
        "https://git.example.org/../../../self/stop",
        "https://git.example.org/%2e%2e/x",
        "/a//b",
        "/a b",
        "/\u00e4",
    ],
)
def test_a_redirect_elsewhere_leads_nowhere(location: str) -> None:
    """Another scheme, host or port, or a path that could leave ours, is none."""
    assert location_inside(location, ASKED, PREFIX) is None
