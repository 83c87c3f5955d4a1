"""Does a user see what may be reached, and ask for what may not?"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import AnswerError, ConfigurationError, RefusedError
from jupyter_sandbox_spawner.singleuser import network
from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from tests.singleuser.selfapi import DENIED, EGRESS, REQUEST, SELF, SelfApi

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e" + "x" * (1 << 18)


def sent(api: SelfApi) -> list[Any]:
    """The bodies of what was posted."""
    return [json.loads(body) for what, _, body in api.asked if what.startswith("POST")]


def test_egress_shows_rules_denials_and_requests(api: SelfApi) -> None:
    """The rules as the admin wrote them; each denied place with how often, when and why; each request."""
    day = "Wed 25 Nov 15:11 UTC"
    assert repr(network.egress()).splitlines() == [
        "Allowed",
        "idx.test",
        "*.example.org:443",
        "Denied           Times  Last       Why",
        "example.com:443  3      15:10 UTC  not on the allowlist (egress.not_allowed)",
        'Ask for a host that your work needs: %sandbox egress ask HOST --why "what for"',
        "Request  For              Asked                 Why                     State",
        f"7        example.com:443  {day}  the data of the course  waiting",
    ]
    api.answers[f"GET {SELF}/egress"] = (200, {"allowed": [], "denied": []})
    assert repr(network.egress()) == "This sandbox may reach nothing outside.\nNothing was denied."


def test_the_rule_that_refused_is_shown(api: SelfApi) -> None:
    """A port that the rule of a host does not list names that rule."""
    item = {**DENIED, "code": "egress.port_not_allowed", "rule": "example.com:443", "port": 80}
    api.answers[f"GET {SELF}/egress"] = (200, {"allowed": [], "denied": [item]})
    assert "rule example.com:443 (egress.port_not_allowed)" in repr(network.egress())


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        (
            {"status": "approved", "scope": "user", "until": "2099-01-01T08:00:00Z", "answer": "For a week."},
            "approved for all your servers until Thu 01 Jan 08:00 UTC: For a week.",
        ),
        ({"status": "denied", "answer": "Use the mirror."}, "denied: Use the mirror."),
        ({"status": "expired", "scope": "sandbox", "until": "2026-11-25T16:00:00Z"}, "expired"),
    ],
    ids=["approved", "denied", "expired"],
)
def test_the_answer_is_in_the_table(api: SelfApi, changes: dict[str, Any], state: str) -> None:
    """Scope, end and the admin's words stand beside the request, in text and HTML."""
    api.answers[f"GET {SELF}/egress"] = (200, {**EGRESS, "requests": [{**REQUEST, **changes}]})
    shown = network.egress()
    assert repr(shown).splitlines()[-1].endswith(f"  {state}")
    assert f">{state}</td>" in shown._repr_html_()


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["example.com"], ("example.com", 443)),
        (["example.com:8443"], ("example.com", 8443)),
        (["https://example.com/data?x=1#y"], ("example.com", 443)),
        (["http://user:pw@example.com/"], ("example.com", 80)),
    ],
)
def test_a_place_is_written_in_any_way(
    api: SelfApi, words: list[str], place: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A name, a name with a port and an address from a browser: control gets host and port."""
    assert main(["egress", "ask", *words, "--why", "the", "course"]) == ExitStatus.OK
    assert sent(api) == [{"host": place[0], "port": place[1], "why": "the course"}]
    printed = capsys.readouterr().out
    assert "Request 7 for example.com:443 waits for an admin" in printed
    assert "jupyter sandbox egress withdraw 7" in printed


@pytest.mark.parametrize("host", ["", "a b", "ftp://example.com", "example.com:0", "x:99999", "x" * 254])
def test_what_is_no_place_is_not_sent(api: SelfApi, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is said here, with what to write."""
    assert main(["egress", "ask", host, "--why", "x"]) == ExitStatus.COMMAND
    assert "Write example.org or example.org:443." in capsys.readouterr().err
    assert api.asked == []


def test_a_reason_is_needed(api: SelfApi) -> None:
    """Neither nothing nor a book is sent."""
    for why in ("  ", "x" * 501):
        with pytest.raises(ConfigurationError, match="1 to 500 characters"):
            network.ask_for_access("example.com", why)
    assert api.asked == []


def test_a_request_is_taken_back(api: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """`withdraw N` crosses as a number, and its state is said."""
    assert main(["egress", "withdraw", "7"]) == ExitStatus.OK
    assert sent(api) == [{"id": 7}]
    assert capsys.readouterr().out == "Request 7 for example.com:443 is withdrawn.\n"


def test_a_refusal_is_controls_own(api: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Why it is not asked for, the status for scripts, and the code in JSON."""
    said = {"code": "egress.request_allowed", "message": "example.com:443 may be reached already."}
    api.answers[f"POST {SELF}/egress/ask"] = (409, said)
    assert main(["egress", "ask", "example.com", "--why", "x"]) == ExitStatus.REFUSED
    assert "may be reached already" in capsys.readouterr().err
    assert main(["egress", "ask", "example.com", "--why", "x", "--json"]) == ExitStatus.REFUSED
    assert json.loads(capsys.readouterr().out)["code"] == "egress.request_allowed"
    with pytest.raises(RefusedError) as caught:
        network.ask_for_access("example.com", "x")
    assert caught.value.status == 409


def test_an_answer_of_another_version_is_a_sentence(api: SelfApi) -> None:
    """What lacks a field says so."""
    api.answers[f"POST {SELF}/egress/ask"] = (200, {"id": 7})
    with pytest.raises(AnswerError, match="lacks what this version expects"):
        network.ask_for_access("example.com", "x")


def test_json_has_the_requests(api: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """A script reads them as fields."""
    assert main(["egress", "--json"]) == ExitStatus.OK
    (item,) = json.loads(capsys.readouterr().out)["requests"]
    assert (item["id"], item["status"], item["asked_at"]) == (7, "waiting", "2026-11-25T15:11:00Z")


@pytest.mark.proves("H06")
def test_hostile_words_are_shown_as_words(api: SelfApi, control: Any) -> None:
    """Rules, hosts, reasons and answers move no cursor, turn no line and become no markup."""
    item = {**REQUEST, "host": HOSTILE, "why": HOSTILE, "status": "denied", "answer": HOSTILE}
    denied = {**DENIED, "host": HOSTILE, "rule": HOSTILE}
    document = {"allowed": [HOSTILE], "denied": [denied], "requests": [item]}
    api.answers[f"GET {SELF}/egress"] = (200, document)
    shown = network.egress()
    control("the hostile words are there", "alert(1)" in repr(shown))
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", repr(shown))
    assert len(repr(shown)) < 10_000
    assert "<script>" not in shown._repr_html_()
