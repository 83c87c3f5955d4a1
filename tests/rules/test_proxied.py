"""Which paths are passed on with a secret, and as what?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from jupyter_sandbox_spawner.broker.upstream import host_url
from jupyter_sandbox_spawner.rules.proxied import (
    PathFault,
    ProxiedCall,
    path_fault,
    proxied_call,
    proxied_prefix,
    secrets_path,
)

BEFORE = secrets_path("/hub1/")


@pytest.mark.parametrize(
    ("below", "name", "rest"),
    [
        ("a/proxy/", "a", ""),
        ("a/proxy/x", "a", "x"),
        ("users/ada/git/proxy/group/work.git/info/refs?service=git-upload-pack", "users/ada/git", None),
        ("a/proxy/b/proxy/c", "a", "b/proxy/c"),
        ("a/proxy/b/read", "a", "b/read"),
        ("a/proxy/x?u=https://o/../..//%2e%2e%00", "a", None),
        ("a/proxy/?q", "a", "?q"),
        ("a/proxy/%41%20b;c=d/@e:f", "a", "%41%20b;c=d/@e:f"),
    ],
)
def test_the_first_proxy_ends_the_name(below: str, name: str, rest: str | None) -> None:
    """What follows is the host's path, byte for byte, and its query whatever it holds."""
    call = proxied_call(BEFORE, b"GET", f"{BEFORE}{below}".encode())
    assert isinstance(call, ProxiedCall)
    assert call.name == name
    assert call.rest.decode() == (below.partition("/proxy/")[2] if rest is None else rest)
    assert call.target == f"/api/secrets/{below}"
    assert proxied_prefix("/hub1/", name) + call.rest.decode() == BEFORE + below


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"TRACE", "{b}a/proxy/x"),
        (b"CONNECT", "{b}a/proxy/x"),
        (b"GET", "{b}a/proxy"),
        (b"GET", "{b}/proxy/x"),
        (b"GET", "{b}A/proxy/x"),
        (b"GET", "{b}a%2fb/proxy/x"),
        (b"GET", "{b}../proxy/x"),
        (b"GET", "{b}a?/proxy/x"),
        (b"GET", "http://h{b}a/proxy/x"),
        (b"GET", "/services/sandbox/api/secrets/a/proxy/x"),
        (b"POST", "{b}a/read"),
    ],
)
def test_what_is_no_such_call(method: bytes, target: str) -> None:
    """Another verb, no name, another spelling of a name, or another path is none."""
    assert proxied_call(BEFORE, method, target.replace("{b}", BEFORE).encode()) is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("..", "'.' or '..'"),
        ("a/..", "'.' or '..'"),
        ("a/./b", "'.' or '..'"),
        ("%2e%2E/x", "'.' or '..'"),
        (".%2e/x", "'.' or '..'"),
        ("%252e%252e/x", "'.' or '..'"),
        ("..;a=b/x", "'.' or '..'"),
        ("a//b", "empty segment"),
        ("/a", "empty segment"),
        ("a%2Fb", "slash"),
        ("a%252fb", "slash"),
        ("a\\b", "backslash"),
        ("a%5Cb", "backslash"),
        ("a%00", "NUL"),
        ("a%0d%0ab", "control"),
        ("a%7f", "control"),
        ("a%", "byte"),
        ("a%4", "byte"),
        ("a%gg", "byte"),
        ("a b", "byte"),
        ("a#b", "byte"),
        ("a\u00e4", "byte"),
        ("a" * 7000, "bytes"),
    ],
)
def test_each_doubtful_path_has_its_own_words(path: str, words: str) -> None:
    """What a server could read as another path is refused with what is wrong; its plain twin is not."""
    found = proxied_call(BEFORE, b"GET", f"{BEFORE}a/proxy/{path}".encode())
    assert isinstance(found, PathFault)
    assert words in found.sentence
    assert isinstance(proxied_call(BEFORE, b"GET", f"{BEFORE}a/proxy/a/b".encode()), ProxiedCall)


@given(st.binary(max_size=40), st.binary(max_size=20))
def test_what_passes_means_the_same_to_a_url_parser(path: bytes, query: bytes) -> None:
    """Whatever bytes come, a path that is passed on stays one path of the granted host."""
    if path_fault(path, query) or b"?" in path:
        return
    rest = path.decode("ascii") + (f"?{query.decode('ascii')}" if query else "")
    url = host_url("git.example.org", rest)
    assert (url.scheme, url.host, url.port, url.user, url.fragment) == (
        "https",
        "git.example.org",
        443,
        None,
        "",
    )
    assert url.raw_path == f"/{path.decode('ascii')}"
    assert URL(f"https://git.example.org/{path.decode('ascii')}").raw_path.count("/") == url.raw_path.count(
        "/"
    )
