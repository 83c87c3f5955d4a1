"""Does a program inside learn the truth about its sandbox, or in one sentence why not?"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import (
    AnswerError,
    ConfigurationError,
    RefusedError,
    SandboxError,
    UnreachableError,
)
from jupyter_sandbox_spawner.singleuser import door, questions
from tests.singleuser.selfapi import SELF, TOKEN, SelfApi


def test_the_token_goes_to_the_door_and_no_proxy_sees_it(api: SelfApi) -> None:
    """The question reaches the door although every proxy variable names a place where nothing answers."""
    assert questions.status().profile == "small"
    ((what, headers, body),) = api.asked
    assert (what, headers["Authorization"], body) == (f"GET {SELF}", f"token {TOKEN}", b"")


def test_the_end_says_when_in_how_long_and_why(api: SelfApi) -> None:
    """The server's clock counts, not this machine's."""
    left = questions.ttl()
    assert left.sentence() == "Stops at 16:00 UTC, in 41 min, because sandbox TTL 8 h."
    assert (left.left, left.kind, left.span) == (2460.0, "ttl", 28800.0)
    assert "Can be extended to 16:19 UTC" in repr(left)


def test_soft_limits_are_called_soft(api: SelfApi) -> None:
    """A limit that the host does not enforce is marked in the status, and only that one."""
    assert "soft limit" not in repr(questions.status())
    api.me["soft_limits"] = ["cpu", "memory"]
    found = questions.status()
    assert found.quota.soft == ("cpu", "memory")
    rows = dict(found.quota.rows())
    assert [name for name, text in rows.items() if text.endswith(" (soft limit)")] == ["CPU", "Memory"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"lifetime": {"ends_at": "2026-11-25T15:30:00Z", "idle_since": "2026-11-25T14:30:00Z"}},
            "Stops at 15:30 UTC, in 11 min, because it is not used (idle timeout 1 h); any use keeps it; "
            "at 16:00 UTC, in 41 min in any case.",
        ),
        (
            {"deadline": None, "lifetime": {"ends_at": "2026-11-26T08:00:04Z", "idle_since": None}},
            "Stops at Thu 26 Nov 08:00 UTC, in 16 h 41 min, because no server may get older here than 1 d.",
        ),
        (
            {
                "lifetime": {
                    "kind": "gpu_idle",
                    "code": "keep.within_limits",
                    "ends_at": "2026-11-25T15:30:00Z",
                    "rule": "night",
                }
            },
            "Stops at 15:30 UTC, in 11 min, because its GPUs do nothing (rule night); work on them keeps it; "
            "at 16:00 UTC, in 41 min in any case.",
        ),
        (
            {"lifetime": {"code": "warning.schedule", "ends_at": "2026-11-25T15:30:00Z", "rule": "nights"}},
            "Stops at 15:30 UTC, in 11 min, because nothing may run here then (rule nights); "
            "at 16:00 UTC, in 41 min in any case.",
        ),
        (
            {
                "lifetime": {
                    "kind": "idle",
                    "ends_at": "2026-11-25T15:30:00Z",
                    "idle_since": "2026-11-25T15:10:00Z",
                    "rule": "nights",
                }
            },
            "Stops at 15:30 UTC, in 11 min, because it is not used (idle timeout 20 min, rule nights); "
            "any use keeps it; at 16:00 UTC, in 41 min in any case.",
        ),
        ({"deadline": None, "lifetime": None}, "It has no time limit."),
        ({"lifetime": None}, "Stops at 16:00 UTC, in 41 min, because sandbox TTL 8 h."),
        (
            {"deadline": "2026-11-25T17:00:00Z", "lifetime": None},
            "Stops at 17:00 UTC, in 1 h 41 min, because sandbox TTL 8 h, extended.",
        ),
    ],
    ids=["idle", "max_age", "gpu_idle", "schedule", "rule", "none", "not_yet_measured", "extended"],
)
def test_each_limit_is_named(api: SelfApi, changes: dict[str, Any], sentence: str) -> None:
    """Idleness, the longest age, a schedule, an extension and no limit at all each have their words."""
    api.me.update(changes)
    assert questions.ttl().sentence() == sentence.replace("than 1 d", "than 24 h")


def test_status_shows_what_is_used_of_what_is_allowed(api: SelfApi) -> None:
    """One table: server, state, time, CPU, memory, processes, network."""
    assert repr(questions.status()).splitlines() == [
        "Server     ada, profile small",
        "Status     running since 08:00 UTC",
        "Time       Stops at 16:00 UTC, in 41 min, because sandbox TTL 8 h.",
        "           Can be extended to 16:19 UTC: %sandbox ttl extend",
        "CPU        2 cores, 1 min used",
        "Memory     300.0 MB of 2.0 GB (peak 1.0 GB)",
        "Processes  14 of 512",
        "Network    2 rules, 1 denied host: %sandbox egress",
    ]


def test_status_tells_why_the_last_server_stopped(api: SelfApi) -> None:
    """The next server shows the reason of the last stop."""
    why = "It was not used for 1 h."
    api.me["last"] = {
        "released_at": "2026-11-25T07:49:00Z",
        "stop": {"code": "stop.idle", "why": why, "actor": "control", "decided_at": "2026-11-25T07:48:58Z"},
    }
    *_, last, files = repr(questions.status()).splitlines()
    assert last == f"Your last server was stopped at 07:49 UTC, 7 h 30 min ago, because: {why}"
    assert files.startswith("Your files are kept: they are in your home, /")


def test_a_server_that_is_being_stopped_says_so(api: SelfApi) -> None:
    """In the place of the time left stands the reason."""
    api.me.update(status="stopping", stop={"code": "stop.by_admin", "why": "Maintenance at noon."})
    assert "Stops      now: Maintenance at noon." in repr(questions.status())


def test_what_is_not_measured_is_left_out(api: SelfApi) -> None:
    """Without the launcher's figures the limits stand alone; an adopted sandbox has not even those."""
    api.me["usage"] = None
    assert "Memory     2.0 GB" in repr(questions.status())
    api.me["limits"] = None
    assert "Memory" not in repr(questions.status())


def test_html_is_escaped(api: SelfApi) -> None:
    """What an admin or a program outside named cannot become markup in a notebook."""
    api.me["profile"] = "<script>alert(1)</script>"
    html = questions.status()._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert '<th scope="row"' in html


def test_an_extension_is_asked_for_in_seconds(api: SelfApi) -> None:
    """`30m` crosses as 1800; nothing crosses where nothing was said. Each wish has a name of its own."""
    granted = {"deadline": "2026-11-25T15:49:00Z", "now": "2026-11-25T15:19:00Z"}
    api.answers[f"POST {SELF}/extend"] = (200, granted)
    assert questions.extend("30m").note == ""
    questions.extend()
    first, second = (json.loads(body) for what, _, body in api.asked if "extend" in what)
    names = first.pop("key"), second.pop("key")
    assert (first, second) == ({"by": 1800}, {})
    assert len({*names}) == 2


def test_less_than_was_asked_for_is_said(api: SelfApi) -> None:
    """Where the profile's step is smaller, the answer says so."""
    granted = {"deadline": "2026-11-25T16:19:00Z", "now": "2026-11-25T15:19:00Z"}
    api.answers[f"POST {SELF}/extend"] = (200, granted)
    assert "You asked for 8 h from now; the profile gives 1 h." in repr(questions.extend("8h"))


def test_what_is_left_of_extensions_is_shown(api: SelfApi) -> None:
    """How many more there are, and where they end, stand beside the offer."""
    api.me["extension"] |= {"left": 2, "cap": "2026-11-25T20:00:00Z"}
    line = "Can be extended to 16:19 UTC (2 left, until 20:00 UTC at most): %sandbox ttl extend"
    assert line in repr(questions.ttl())


@pytest.mark.parametrize("lost", ["extend", "keep"])
def test_a_lost_answer_is_asked_for_again_as_the_same_wish(api: SelfApi, lost: str) -> None:
    """Where control went away in the middle, the second request is the first one, byte for byte."""
    granted = {"deadline": "2026-11-25T16:19:00Z", "now": "2026-11-25T15:19:00Z", "keep_until": None}
    api.answers[f"POST {SELF}/{lost}"] = (200, granted)
    api.drops.add(f"POST {SELF}/{lost}")
    questions.extend() if lost == "extend" else questions.keep("2h")
    first, second = (body for what, _, body in api.asked if lost in what)
    assert first == second


def test_a_kept_server_says_until_when(api: SelfApi) -> None:
    """`2h` crosses as 7200, `off` as 0; what the site gives less is said, and how to end it."""
    kept = {"keep_until": "2026-11-25T15:49:00Z", "now": "2026-11-25T15:19:00Z"}
    api.answers[f"POST {SELF}/keep"] = (200, kept)
    api.me["keep_until"] = kept["keep_until"]
    shown = repr(questions.keep("2h"))
    assert "You asked for 2 h from now; it is kept for 30 min." in shown
    assert "Kept until 15:49 UTC, used or not: %sandbox keep off" in shown
    api.answers[f"POST {SELF}/keep"] = (200, {**kept, "keep_until": None})
    api.me["keep_until"] = None
    shown = repr(questions.keep("off"))
    assert "idleness ends it as before" in shown
    assert "keep off" not in shown
    assert [body for what, _, body in api.asked if "keep" in what] == [b'{"by": 7200}', b'{"by": 0}']


def test_a_refused_extension_shows_the_cap(api: SelfApi) -> None:
    """The sentence and code of the refusal are the server's own."""
    refusal = {"code": "extend.at_cap", "message": "The profile allows 2 h more in all, and that is used up."}
    api.answers[f"POST {SELF}/extend"] = (409, refusal)
    with pytest.raises(RefusedError, match="2 h more in all") as caught:
        questions.extend()
    assert caught.value.code == "extend.at_cap"


def test_nonsense_is_refused_before_it_is_sent(api: SelfApi) -> None:
    """A duration that is none never leaves the sandbox."""
    with pytest.raises(ConfigurationError, match="not a duration"):
        questions.extend("soon")
    assert api.asked == []


@pytest.mark.parametrize("missing", ["JUPYTER_SANDBOX", "JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN"])
def test_outside_a_sandbox_one_sentence_says_so(
    api: SelfApi, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what a sandbox has, nothing is asked of anybody."""
    monkeypatch.delenv(missing)
    with pytest.raises(SandboxError, match="This is not a sandbox") as caught:
        questions.status()
    assert (caught.value.code, api.asked) == ("sandbox.outside", [])


def test_a_closed_door_is_a_sentence(api: SelfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the door: the user reads that files are safe and what to do."""
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:9/hub/api")
    with pytest.raises(UnreachableError, match="try again in a minute") as caught:
        questions.status()
    assert caught.value.code == "door.unreachable"


def test_a_silent_door_costs_less_than_five_seconds(monkeypatch: pytest.MonkeyPatch, api: SelfApi) -> None:
    """A door that takes the question and never answers is given up in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/hub/api"
        monkeypatch.setenv("JUPYTERHUB_API_URL", address)
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="in time"):
            questions.ttl()
        assert door.PATIENCE <= time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((503, {"code": "control.unreachable", "message": "connect"}), UnreachableError, "not affected"),
        ((502, b"<html>Bad gateway</html>"), AnswerError, "HTTP 502"),
        ((200, b"[]"), AnswerError, "not one this version understands"),
        ((200, {"now": "yesterday"}), AnswerError, "lacks what this version expects"),
        ((200, {}), AnswerError, "lacks what this version expects"),
        (
            (403, {"code": "identity.mismatch", "message": "This token belongs to another server."}),
            RefusedError,
            "another server",
        ),
    ],
    ids=["control away", "html", "list", "not a time", "empty", "refused"],
)
def test_every_bad_answer_is_a_sentence(
    api: SelfApi, answer: tuple[int, Any], kind: type[SandboxError], words: str
) -> None:
    """Whatever comes back, the user reads what happened and what to do."""
    api.answers[f"GET {SELF}"] = answer
    with pytest.raises(kind, match=words):
        questions.status()


def test_the_token_is_in_no_message(api: SelfApi) -> None:
    """Errors that people copy into chats hold no credential."""
    api.answers[f"GET {SELF}"] = (200, {})
    with pytest.raises(AnswerError) as caught:
        questions.status()
    assert TOKEN not in f"{caught.value!r}{caught.value}{caught.value.__cause__!r}"
