"""What may be asked for and given: is it a name and a port, for a time, and nothing where data forbid it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.models import EgressPolicy, EgressRule, Mount, Resources, SandboxSpec
from jupyter_sandbox_spawner.rules.egress import compile_rules, decide, timed_digest
from jupyter_sandbox_spawner.rules.egress_requests import (
    LONGEST,
    MOST_WAITING,
    EgressGrant,
    Terms,
    applies,
    cleaned,
    merged,
    opening,
    refusal,
    status_of,
    too_many,
    wish,
)
from jupyter_sandbox_spawner.rules.egress_words import shown

Control = Callable[[str, bool], None]
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
LATER = NOW + timedelta(hours=1)
ASKED = wish("data.test", 443, "the census")
PERSON = ("alice", ("physics",))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(timezone.utc))


def spec(**more: Any) -> SandboxSpec:
    """Alice's, which may reach one mirror."""
    values: dict[str, Any] = {
        "id": "s-alice",
        "user": "alice",
        "server": "",
        "profile": "cpu",
        "profile_digest": "d1",
        "environment_name": "user",
        "host_uid": 3_000_000,
        "resources": Resources(cpu=1, memory=1 << 30),
        "mounts": (),
        "egress": EgressPolicy(rules=compile_rules(["mirror.test"], "egress")),
    }
    return SandboxSpec(**{**values, **more})


def grant(**more: Any) -> EgressGrant:
    """An hour of data.test for alice's sandbox."""
    values: dict[str, Any] = {
        "id": 1,
        "request": 7,
        "pattern": "data.test",
        "port": 443,
        "scope": "sandbox",
        "name": "s-alice",
        "since": NOW,
        "until": LATER,
        "by": "admin ada",
    }
    return EgressGrant(**{**values, **more})


def allowed(policy: EgressPolicy, at: datetime, host: str = "data.test", port: int = 443) -> bool:
    """May it be asked for then?"""
    return decide(policy, host, port, at)[0].allowed


@given(MOMENTS, MOMENTS)
def test_a_rule_holds_until_its_end_and_not_at_it(at: datetime, until: datetime) -> None:
    """Whatever the two instants are, a rule with an end allows just before it."""
    policy = EgressPolicy(rules=(EgressRule(pattern="data.test", ports=(443,), until=until),))
    assert allowed(policy, at) == (at < until)


def test_an_ended_rule_is_as_none(control: Control) -> None:
    """The refusal after the end is the one of a host that no rule names, also of an address in a network."""
    rules = tuple(
        EgressRule(pattern=pattern, ports=(443,), until=LATER) for pattern in ("data.test", "93.184.0.0/16")
    )
    policy = EgressPolicy(rules=rules)
    control("both are allowed before", allowed(policy, NOW) and allowed(policy, NOW, "93.184.216.34"))
    codes = [decide(policy, host, 443, LATER)[0].code for host in ("data.test", "93.184.216.34")]
    assert codes == ["egress.not_allowed", "egress.ip_literal"]
    assert decide(policy, "data.test", 80, LATER)[0].code == "egress.not_allowed"


@pytest.mark.parametrize(
    ("host", "port", "why", "field"),
    [
        ("", 443, "x", "host"),
        ("http://data.test/", 443, "x", "host"),
        ("*.test", 443, "x", "host"),
        ("data.test:443", 443, "x", "host"),
        ("127.0.0.1", 443, "x", "host"),
        ("0x7f.1", 443, "x", "host"),
        ("[::1]", 443, "x", "host"),
        ("<img src=x onerror=alert(1)>", 443, "x", "host"),
        ("\x1b[31mdata.test", 443, "x", "host"),
        ("a." * 600_000, 443, "x", "host"),
        ("data.test", 0, "x", "port"),
        ("data.test", 65536, "x", "port"),
        ("data.test", 443, "", "why"),
        ("data.test", 443, " \n\t ", "why"),
        ("data.test", 443, "x" * 501, "why"),
    ],
)
def test_what_is_no_wish_is_refused_with_its_field(host: str, port: int, why: str, field: str) -> None:
    """The error names the field, shows the value in little, and says what to write."""
    with pytest.raises(ConfigurationError) as caught:
        wish(host, port, why)
    assert (caught.value.code, caught.value.field) == ("egress.request_invalid", field)
    assert caught.value.remedy
    assert len(caught.value.message) < 300
    assert "\x1b" not in caught.value.message


def test_a_host_is_asked_for_in_its_one_spelling() -> None:
    """Case, a last dot and another script are spelled as the gateway will see them."""
    assert wish("Data.Test.", 443, "x").host == "data.test"
    assert wish("bücher.example", 443, "x").host == "xn--bcher-kva.example"


@pytest.mark.proves("H06")
@given(st.text(max_size=300))
def test_words_become_one_line_that_nothing_obeys(text: str) -> None:
    """No control character, no half of a pair and no mark that turns the order of letters is kept."""
    line = cleaned(text)
    assert "\n" not in line
    assert "\0" not in line
    assert "\x1b" not in line
    assert "\u202e" not in line
    line.encode()
    assert cleaned(line) == line


def test_markup_in_a_reason_stays_as_text() -> None:
    """Nothing is taken out that is only text; whoever shows it must show it as text."""
    assert wish("data.test", 443, "<b>now</b> &amp; then").why == "<b>now</b> &amp; then"


def test_what_is_allowed_already_is_not_asked_for(control: Control) -> None:
    """A host of the profile's, or one that was given for a time that is not over, needs no request."""
    control("another one is", refusal(spec(), ASKED, NOW) is None)
    no = refusal(spec(), wish("mirror.test", 443, "x"), NOW)
    assert no is not None
    assert no.code == "egress.already_allowed"
    given_now = spec(egress=merged(spec().egress, [grant()]))
    again = refusal(given_now, ASKED, NOW)
    assert again is not None
    assert again.code == "egress.already_allowed"
    assert refusal(given_now, ASKED, LATER) is None


@pytest.mark.parametrize("tags", [("pii",), ("public", "secret"), ()])
def test_where_data_take_the_network_away_nothing_is_asked_for(
    tags: tuple[str, ...], control: Control
) -> None:
    """Guarded data, and data without a tag, refuse; a zone does so alone."""
    data = Mount(kind="dataset", source="/d", target="/data/d", read_only=True, dataset="d@1", tags=tags)
    control(
        "public data do not", refusal(spec(mounts=(replace(data, tags=("public",)),)), ASKED, NOW) is None
    )
    for guarded in (spec(mounts=(data,)), spec(zone="pii")):
        no = refusal(guarded, ASKED, NOW)
        assert no is not None
        assert no.code == "egress.guarded_data"


def test_a_sandbox_that_nobody_knows_gets_nothing() -> None:
    """One that was adopted without its spec is refused."""
    no = refusal(None, ASKED, NOW)
    assert no is not None
    assert no.code == "egress.unknown_sandbox"


def test_ten_wait_at_most() -> None:
    """The eleventh is refused, and so is the sixty-first of an hour."""
    assert too_many(MOST_WAITING - 1, 59) is None
    for waiting, asked in ((MOST_WAITING, 0), (0, 60)):
        no = too_many(waiting, asked)
        assert no is not None
        assert (no.code, no.status) == ("egress.too_many_requests", 429)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (Terms(seconds=59), "for"),
        (Terms(seconds=LONGEST + 1), "for"),
        (Terms(seconds=3600, scope="user", name="bob"), "name"),
        (Terms(seconds=3600, scope="group", name="maths"), "name"),
        (Terms(seconds=3600, scope="group"), "name"),
        (Terms(seconds=3600, pattern="*.other.test"), "pattern"),
        (Terms(seconds=3600, pattern="10.0.0.0/8"), "pattern"),
        (Terms(seconds=3600, pattern="*"), "pattern[0].host"),
        (Terms(seconds=3600, pattern="*.test"), "pattern[0].host"),
        (Terms(seconds=3600, pattern="127.0.0.1"), "pattern[0].host"),
    ],
)
def test_what_is_no_grant_is_refused_with_its_field(terms: Terms, field: str) -> None:
    """Too short or long, a group that is not the user's, a network, or a pattern without the host."""
    with pytest.raises(ConfigurationError) as caught:
        opening(terms, ASKED, "s-alice", PERSON, NOW)
    assert caught.value.field == field


def test_a_grant_has_a_scope_and_an_end() -> None:
    """For the sandbox, its user, or one of the user's groups; of the host or of a pattern that has it."""
    given_names = [
        opening(Terms(seconds=60, scope=scope, name=name), ASKED, "s-alice", PERSON, NOW).name
        for scope, name in (("sandbox", ""), ("user", ""), ("group", "physics"))
    ]
    assert given_names == ["s-alice", "alice", "physics"]
    asked = wish("eu.data.test", 443, "x")
    wide = opening(Terms(seconds=60, pattern="*.data.test"), asked, "s-alice", PERSON, NOW)
    assert (wide.pattern, wide.port, wide.until) == ("*.data.test", 443, NOW + timedelta(seconds=60))


@given(
    st.lists(
        st.builds(
            grant,
            id=st.integers(1, 9),
            until=MOMENTS,
            revoked_at=st.none() | MOMENTS,
            scope=st.sampled_from(["sandbox", "user", "group"]),
            name=st.sampled_from(["s-alice", "alice", "physics", "s-bob", "bob", "maths"]),
        ),
        max_size=6,
    ),
    MOMENTS,
)
def test_nothing_is_open_that_no_grant_in_force_opens(grants: list[EgressGrant], at: datetime) -> None:
    """Merged from what applies, a policy allows the host only by a grant of hers that is in force, and its
    own rules stay."""
    mine = [item for item in grants if applies(item, "s-alice", "alice", ("physics",), at)]
    policy = merged(spec().egress, mine)
    reasons = [
        item
        for item in grants
        if item.revoked_at is None
        and at < item.until
        and (item.scope, item.name) in {("sandbox", "s-alice"), ("user", "alice"), ("group", "physics")}
    ]
    assert allowed(policy, at) == bool(reasons)
    assert allowed(policy, at, "mirror.test")
    assert all(not rule.allow_private for rule in policy.rules if rule.until)
    assert merged(policy, []) == spec().egress


def test_a_request_is_what_became_of_its_grant() -> None:
    """Approved until the end, expired from then on; revoked wins; others are as they were decided."""
    assert status_of("approved", LATER, None, NOW) == "approved"
    assert status_of("approved", LATER, None, LATER) == "expired"
    assert status_of("approved", LATER, NOW, LATER) == "revoked"
    assert status_of("approved", None, None, NOW) == "expired"
    assert status_of("denied", None, None, NOW) == "denied"


def test_people_read_what_holds_with_its_end() -> None:
    """The list names the request and the end, and leaves out what is over."""
    policy = merged(spec().egress, [grant()])
    assert shown(policy, NOW) == [
        "mirror.test",
        "data.test:443 (request 7) until 2026-11-25 13:00 UTC",
    ]
    assert shown(policy, LATER) == ["mirror.test"]


def test_a_digest_tells_what_is_given_for_a_time(control: Control) -> None:
    """The profile's own rules have none; another end, host or port is another digest."""
    own = spec().egress
    assert timed_digest(own) == ""
    one = timed_digest(merged(own, [grant()]))
    control("the same is the same", timed_digest(merged(own, [grant()])) == one)
    others = [grant(until=NOW), grant(pattern="x.test"), grant(port=80), grant(request=8)]
    assert one not in {timed_digest(merged(own, [other])) for other in others} | {""}
