"""What is answered to a server that posts its activity? tests/hub compares it with two real hubs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.activity_report import reply_to

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc)


def said(document: object, server: str = "lab") -> int:
    """The status for a body from ada's server."""
    return reply_to(json.dumps(document).encode(), "ada", server, NOW).status


def test_what_a_server_posts_is_taken() -> None:
    """The body of JupyterHub's own single-user server is answered 200 with nothing in it."""
    at = "2026-11-29T11:59:58.123456Z"
    body = json.dumps({"last_activity": at, "servers": {"lab": {"last_activity": at}}}).encode()
    reply = reply_to(body, "ada", "lab", NOW)
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.proves("H03")
@pytest.mark.parametrize(("minutes", "status"), [(-600, 200), (59, 200), (60, 400), (600_000, 400)])
def test_the_far_future_is_refused(minutes: int, status: int) -> None:
    """More than 59 minutes ahead is refused for the user and for the server, as the hub does."""
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    assert said({"last_activity": at}) == status
    assert said({"servers": {"lab": {"last_activity": at}}}) == status


@pytest.mark.proves("H03")
def test_other_servers_do_not_exist_here() -> None:
    """A server speaks of itself only: another of the same user is unknown to its door."""
    at = {"last_activity": NOW.isoformat()}
    assert said({"servers": {"lab": at}}) == 200
    assert said({"servers": {"lab": at, "other": at}}) == 400
    assert said({"servers": {"": at}}) == 400


@pytest.mark.proves("H03")
@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.one_of(
                st.none(), st.booleans(), st.floats(), st.text(max_size=20), st.just("lab"), st.integers()
            ),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.sampled_from(["last_activity", "servers", "lab", "x"]), inner, max_size=3),
            ),
        ).map(lambda document: json.dumps(document).encode()),
    )
)
def test_any_body_has_an_answer(body: bytes) -> None:
    """Whatever a sandbox sends is answered 200 or 400, shortly, and never raises."""
    reply = reply_to(body, "ada", "lab", NOW)
    assert reply.status in (200, 400)
    assert len(reply.body) < 1500
    assert (reply.status == 200) == (reply.body == b"")


@pytest.mark.parametrize("body", [b"[" * 60_000, b"9" * 60_000, b'{"last_activity": "' + b"9" * 60_000])
def test_deep_and_long_bodies_are_refused(body: bytes) -> None:
    """What would exhaust a parser is 400."""
    assert reply_to(body, "ada", "lab", NOW).status == 400
