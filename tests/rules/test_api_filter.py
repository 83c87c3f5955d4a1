"""Which calls of the hub's API are open to a sandbox?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from jupyter_sandbox_spawner.rules.api_filter import allowed_calls, decide


@pytest.mark.proves("H02")
def test_exactly_four_calls_are_allowed() -> None:
    """A server may ask the version, who a token is, tell its own activity and exchange an OAuth code."""
    assert sorted(allowed_calls("/", "ada")) == [
        (b"GET", b"/hub/api"),
        (b"GET", b"/hub/api/user"),
        (b"POST", b"/hub/api/oauth2/token"),
        (b"POST", b"/hub/api/users/ada/activity"),
    ]


def test_the_base_url_is_part_of_the_path() -> None:
    """Below a base URL the calls start with it, and those of the root are refused."""
    calls = allowed_calls("/jupyter/", "ada")
    assert decide(calls, b"GET", b"/jupyter/hub/api/user") is not None
    assert decide(calls, b"GET", b"/hub/api/user") is None


@pytest.mark.parametrize("name", ["ada@example.org", "ada lovelace", "a~b", "äda", "a-b_c.d"])
def test_the_own_name_is_spelled_as_the_hub_and_its_client_do(name: str) -> None:
    """The hub's escaping of a user name, and what its HTTP client makes of it, is the spelling allowed."""
    (path,) = (path for _, path in allowed_calls("/", name) if path.endswith(b"/activity"))
    assert URL(f"http://x{path.decode()}").raw_path.encode() == path


@given(st.text(), st.text())
def test_nobody_else_is_reached(mine: str, other: str) -> None:
    """No user name gives a door whose calls name another user."""
    if mine != other:
        calls = allowed_calls("/", mine)
        theirs = set(allowed_calls("/", other)) - {(b"GET", b"/hub/api"), (b"GET", b"/hub/api/user")}
        assert set(calls).isdisjoint(theirs - {(b"POST", b"/hub/api/oauth2/token")})


@given(st.binary(), st.binary())
def test_what_is_forwarded_is_one_of_four(method: bytes, target: bytes) -> None:
    """Whatever bytes are asked, what goes to the hub is one of the four paths or nothing."""
    call = decide(allowed_calls("/", "ada"), method, target)
    assert call is None or call.suffix in {"", "/user", "/oauth2/token", "/users/ada/activity"}
