"""Which calls of hub and control are open to a sandbox?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from jupyter_sandbox_spawner.rules.api_filter import allowed_calls, decide

SELF = b"/services/sandbox/api/self"


@pytest.mark.proves("H02")
def test_exactly_four_calls_of_the_hub_are_allowed() -> None:
    """A server may ask the version, who a token is, and exchange an OAuth code; what it posts of its own
    activity is answered by the gateway and by nobody else."""
    calls = allowed_calls("/", "ada").items()
    assert sorted(key for key, call in calls if call.to == "hub") == [
        (b"GET", b"/hub/api"),
        (b"GET", b"/hub/api/user"),
        (b"POST", b"/hub/api/oauth2/token"),
    ]
    assert [key for key, call in calls if call.to == "gateway"] == [(b"POST", b"/hub/api/users/ada/activity")]


@pytest.mark.proves("H02")
def test_control_answers_about_the_own_sandbox_only() -> None:
    """Every call of control is below api/self, where no path names a sandbox or a user."""
    calls = {key: call for key, call in allowed_calls("/", "ada").items() if call.to == "control"}
    assert sorted((key[0], key[1].removeprefix(SELF)) for key in calls) == [
        (b"GET", b""),
        (b"GET", b"/audit"),
        (b"GET", b"/egress"),
        (b"GET", b"/events"),
        (b"POST", b"/claims"),
        (b"POST", b"/egress/ask"),
        (b"POST", b"/egress/withdraw"),
        (b"POST", b"/extend"),
        (b"POST", b"/keep"),
        (b"POST", b"/stop"),
    ]
    assert {call.target.partition("/api/self")[0] for call in calls.values()} == {""}


SECRETS = b"/services/sandbox/api/secrets"


@pytest.mark.proves("H02")
@pytest.mark.parametrize(
    "name", ["a", "db/warehouse", "read", "a/read", "users/alice/git-token", "a.b/c_d-1"]
)
def test_a_secret_is_read_by_its_name_as_it_is(name: str) -> None:
    """The name reaches the broker byte for byte, also one that ends as the call does; a list needs none."""
    calls = allowed_calls("/", "ada")
    call = decide(calls, b"POST", SECRETS + b"/" + name.encode() + b"/read")
    assert call is not None
    assert (call.to, call.method, call.target) == ("broker", "POST", f"/api/secrets/{name}/read")
    listing = decide(calls, b"GET", SECRETS)
    assert listing is not None
    assert (listing.to, listing.target) == ("broker", "/api/secrets")


@pytest.mark.proves("H02")
@pytest.mark.parametrize("verb", ["read", "renew", "revoke", "alarm"])
@pytest.mark.parametrize("name", ["a", "a/read", "renew/alarm"])
def test_what_may_be_done_with_a_secret(verb: str, name: str) -> None:
    """Four verbs, by POST only, behind a name that may itself end like one."""
    calls = allowed_calls("/", "ada")
    path = SECRETS + f"/{name}/{verb}".encode()
    call = decide(calls, b"POST", path)
    assert call is not None
    assert (call.to, call.target) == ("broker", f"/api/secrets/{name}/{verb}")
    assert decide(calls, b"GET", path) is None


@pytest.mark.proves("H02", "S03")
@pytest.mark.parametrize(
    "path",
    [
        *(
            b"",
            b"/",
            b"/read",
            b"//read",
            b"/a",
            b"/a/",
            b"/a/read/",
            b"/a/read/b",
            b"/../read",
            b"/a/../read",
        ),
        *(
            b"/..%2fx/read",
            b"/%2e%2e/read",
            b"/a%2fb/read",
            b"/a%00/read",
            b"/a//b/read",
            b"/A/read",
            b"/a b/read",
        ),
        *(
            b"/{name}/read",
            b"/{user}/read",
            b"/a;x/read",
            b"/a\\b/read",
            b"/a/./read",
            b"/.a/read",
            b"/a\xd0\xb0/read",
        ),
        *(b"/a\xef\xbc\x8fb/read", b"/a/read?x=1", b"/a/proxy/x", b"/a/delete", b"/" + b"a" * 201 + b"/read"),
    ],
)
def test_no_other_spelling_reaches_the_broker(path: bytes) -> None:
    """Traversal, escapes, doubled slashes, look-alikes, other verbs and questions are not open."""
    calls = allowed_calls("/", "ada")
    assert decide(calls, b"POST", SECRETS + path) is None
    assert decide(calls, b"GET", SECRETS + b"/a/read") is None
    assert decide(calls, b"PUT", SECRETS + b"/a") is None


def test_the_base_url_is_part_of_the_path() -> None:
    """Below a base URL the calls start with it, and those of the root are refused; control knows no base."""
    calls = allowed_calls("/jupyter/", "ada")
    assert decide(calls, b"GET", b"/jupyter/hub/api/user") is not None
    assert decide(calls, b"GET", b"/hub/api/user") is None
    call = decide(calls, b"GET", b"/jupyter/services/sandbox/api/self")
    assert call is not None
    assert call.target == "/api/self"
    assert decide(calls, b"GET", SELF) is None


@pytest.mark.parametrize("name", ["ada@example.org", "ada lovelace", "a~b", "äda", "a-b_c.d"])
def test_the_own_name_is_spelled_as_the_hub_and_its_client_do(name: str) -> None:
    """The hub's escaping of a user name, and what its HTTP client makes of it, is the spelling allowed."""
    (path,) = (path for _, path in allowed_calls("/", name) if path.endswith(b"/activity"))
    assert URL(f"http://x{path.decode()}").raw_path.encode() == path


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        (b"/events?after=5", "/api/self/events?after=5"),
        (b"/events?timeout=20&after=007", "/api/self/events?timeout=20&after=7"),
        (b"/audit?before=12", "/api/self/audit?before=12"),
        (b"/events?", None),
        (b"/events?after", None),
        (b"/events?after=", None),
        (b"/events?after=-1", None),
        (b"/events?after=1&after=2", None),
        (b"/events?after=1&user=bob", None),
        (b"/events?after=%31", None),
        (b"/events?after=\xb2", None),
        (b"/events?after=1#x", None),
        (b"/events?after=" + b"9" * 16, None),
        (b"?after=1", None),
        (b"/egress?after=1", None),
        (b"/../admissions", None),
        (b"/events/", None),
        (b"/claims", None),
    ],
)
def test_a_query_passes_as_whole_numbers(target: bytes, asked: str | None) -> None:
    """Known parameters with whole numbers pass, written anew; anything else in a query is refused."""
    call = decide(allowed_calls("/", "ada"), b"GET", SELF + target)
    assert (None if call is None else call.target) == asked


@given(st.text(), st.text())
def test_nobody_else_is_reached(mine: str, other: str) -> None:
    """No user name gives a door whose calls name another user."""
    if mine != other:
        asked = {call.target for call in allowed_calls("/", mine).values()}
        theirs = {call.target for call in allowed_calls("/", other).values()}
        assert not any("/users/" in target for target in asked & theirs)


@given(st.binary(), st.binary())
def test_what_is_forwarded_is_one_of_these(method: bytes, target: bytes) -> None:
    """Whatever bytes are asked, what goes on is one of the known paths or nothing."""
    calls = allowed_calls("/", "ada")
    call = decide(calls, method, target)
    assert call is None or call.target.partition("?")[0] in {known.target for known in calls.values()}
