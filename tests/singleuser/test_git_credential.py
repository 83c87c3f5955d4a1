"""What does git's helper say for which place? A login for exactly the granted host, else no word."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from tests.singleuser.brokerapi import CANARY, SECRETS, about, give, lists
from tests.singleuser.selfapi import TOKEN, SelfApi

Control = Callable[[str, bool], None]
NAME = "team/git"
HOST = "git.example.org"


@pytest.fixture
def broker(api: SelfApi) -> SelfApi:
    """A broker with a login for git.example.org."""
    granted(api, HOST)
    return api


def granted(api: SelfApi, host: str, **more: Any) -> None:
    """Let the broker have a login for this host."""
    lists(api, about("db/x"), about(NAME, kind="git", host=host, **more))
    give(api, NAME, kind="git", host=host, environment={}, fields={"user": "bot", "password": CANARY})


def helper(
    question: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str = "get"
) -> tuple[int, str, str]:
    """Status and words of the helper for this question of git's."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(question))
    status = main(["git-credential", verb])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


ANSWER = f"username=bot\npassword={CANARY}\n"


@pytest.mark.proves("S16")
@pytest.mark.parametrize(
    "question",
    [
        f"protocol=https\nhost={HOST}\n\n",
        f"protocol=https\nhost={HOST}",
        f"protocol=https\nhost={HOST}:443\n\n",
        f"capability[]=authtype\ncapability[]=state\nprotocol=https\nhost={HOST}\nwwwauth[]=Basic\n\n",
        f"protocol=https\nhost={HOST}\npath=team/project.git\n\n",
        f"protocol=https\nhost={HOST}\nusername=bot\n\n",
    ],
)
def test_the_granted_host_gets_its_login(
    broker: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: str
) -> None:
    """For https and exactly the granted host, also where git tells the path, the user or what else it can."""
    assert helper(question, monkeypatch, capsys) == (ExitStatus.OK, ANSWER, "")


@pytest.mark.proves("S16")
@pytest.mark.parametrize(
    "question",
    [
        f"protocol=http\nhost={HOST}\n\n",
        f"protocol=HTTPS\nhost={HOST}\n\n",
        f"protocol=ssh\nhost={HOST}\n\n",
        f"host={HOST}\n\n",
        "protocol=https\n\n",
        "protocol=https\nhost=\n\n",
        f"protocol=https\nhost={HOST}:8443\n\n",
        f"protocol=https\nhost={HOST}:80\n\n",
        f"protocol=https\nhost={HOST}:443:443\n\n",
        f"protocol=https\nhost={HOST}.\n\n",
        f"protocol=https\nhost={HOST.upper()}\n\n",
        f"protocol=https\nhost=x@{HOST}\n\n",
        f"protocol=https\nhost={HOST}@evil.example\n\n",
        f"protocol=https\nhost={HOST}/x\n\n",
        f"protocol=https\nhost={HOST}%2eevil.example\n\n",
        f"protocol=https\nhost={HOST}.evil.example\n\n",
        f"protocol=https\nhost=evil{HOST}\n\n",
        "protocol=https\nhost=example.org\n\n",
        f"protocol=https\nhost=sub.{HOST}\n\n",
        "protocol=https\nhost=g\u0456t.example.org\n\n",
        "protocol=https\nhost=git\u3002example\u3002org\n\n",
        f"protocol=https\nhost={HOST}\u200b\n\n",
        f"protocol=https\nhost= {HOST}\n\n",
        f"protocol=https\nhost={HOST}\r\n\n",
        f"protocol=https\nhost=evil.example\nhost={HOST}\n\n",
        f"protocol=https\nhost={HOST}\nhost=evil.example\n\n",
        f"\nprotocol=https\nhost={HOST}\n\n",
        f"url=https://{HOST}/\n\n",
        f"protocol=https\nhost={HOST}\nusername=eve\n\n",
        f"protocol=https\nhost={HOST}\nnonsense\n\n",
        f"protocol=https\nhost={HOST}\npath={'a' * 70_000}\n\n",
        "",
    ],
)
def test_any_other_place_gets_nothing(
    broker: SelfApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    question: str,
    control: Control,
) -> None:
    """Other hosts, ports, protocols, users, look-alikes and garbage: no word, no error, no value read."""
    assert helper(question, monkeypatch, capsys) == (ExitStatus.OK, "", "")
    read = [what for what, _, _ in broker.asked if what.endswith("/read")]
    assert not read or "username=eve" in question
    twin = helper(f"protocol=https\nhost={HOST}\n\n", monkeypatch, capsys)
    control("the granted host is answered", twin[1] == ANSWER)


@pytest.mark.parametrize("verb", ["store", "erase", "capability", "approve", ""])
def test_nothing_is_stored_or_erased(
    broker: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """Every verb but get is a silent success that asks the broker nothing."""
    question = f"protocol=https\nhost={HOST}\nusername=bot\npassword=other\n\n"
    assert helper(question, monkeypatch, capsys, verb) == (ExitStatus.OK, "", "")
    assert broker.asked == []


@pytest.mark.parametrize("delivery", ["proxy", "value"])
def test_a_grant_of_another_kind_is_none_of_gits(
    api: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], delivery: str
) -> None:
    """A login of pip's for the same host, or one that the proxy alone may use, is not given to git."""
    lists(api, about(NAME, kind="pip" if delivery == "value" else "git", host=HOST, delivery=delivery))
    give(api, NAME)
    assert helper(f"protocol=https\nhost={HOST}\n\n", monkeypatch, capsys)[1] == ""


@pytest.mark.parametrize(
    ("fields", "more", "expected"),
    [
        ({"token": CANARY}, "", f"username=git\npassword={CANARY}\n"),
        ({"value": CANARY}, "username=ada\n", f"username=ada\npassword={CANARY}\n"),
        ({"username": "u", "password": CANARY, "x": "y"}, "", f"username=u\npassword={CANARY}\n"),
    ],
)
def test_a_token_alone_goes_with_the_user_of_the_address(
    broker: SelfApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, str],
    more: str,
    expected: str,
) -> None:
    """Where the secret names no user the address does, else it is `git`."""
    give(broker, NAME, kind="git", host=HOST, environment={}, fields=fields)
    assert helper(f"protocol=https\nhost={HOST}\n{more}\n", monkeypatch, capsys)[1] == expected


def test_the_user_in_the_address_chooses_among_several(
    broker: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two logins for one host: the first, or the one of the user that the address names."""
    lists(broker, about(NAME, kind="git", host=HOST), about("own/git", kind="git", host=HOST))
    give(broker, "own/git", kind="git", host=HOST, environment={}, fields={"user": "ada", "password": "mine"})
    assert helper(f"protocol=https\nhost={HOST}\n\n", monkeypatch, capsys)[1] == ANSWER
    question = f"protocol=https\nhost={HOST}\nusername=ada\n\n"
    assert helper(question, monkeypatch, capsys)[1] == "username=ada\npassword=mine\n"


def test_git_is_told_when_a_login_ends(
    broker: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A login with an end carries it, so that no cache of git's keeps it longer."""
    end = "2026-11-25T16:00:00Z"
    give(broker, NAME, kind="git", host=HOST, environment={}, fields={"password": "p"}, expires_at=end)
    shown = helper(f"protocol=https\nhost={HOST}\n\n", monkeypatch, capsys)[1]
    assert shown.endswith("\npassword_expiry_utc=1795622400\n")


@pytest.mark.parametrize(
    ("status", "document", "words"),
    [
        (403, {"code": "secret.blocked", "message": "Cut off."}, "Cut off."),
        (503, {"code": "vault.sealed", "message": "Vault is sealed."}, "Vault is sealed."),
        (503, {"code": "x"}, "The broker of secrets does not answer"),
    ],
)
def test_git_asks_nobody_where_a_login_cannot_be_read(
    broker: SelfApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    document: dict[str, str],
    words: str,
) -> None:
    """One sentence on standard error, and git is told to quit: it would else wait for a person to type."""
    broker.answers[f"POST {SECRETS}/{NAME}/read"] = (status, document)
    code, out, err = helper(f"protocol=https\nhost={HOST}\n\n", monkeypatch, capsys)
    assert (code != ExitStatus.OK, out) == (True, "quit=1\n")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("field", ["user", "password"])
def test_a_login_that_would_add_a_line_is_refused(
    broker: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    """A value with a line break could answer for another host; none of it is said."""
    fields = {"user": "u", "password": CANARY, field: f"{CANARY}\nhost=evil.example"}
    give(broker, NAME, kind="git", host=HOST, environment={}, fields=fields)
    code, out, err = helper(f"protocol=https\nhost={HOST}\n\n", monkeypatch, capsys)
    assert (code, out) == (ExitStatus.COMMAND, "quit=1\n")
    assert "line break" in err
    assert CANARY not in err


def test_a_login_is_not_printed_to_a_terminal(
    broker: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person who tries the command reads what to do instead."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = helper(f"protocol=https\nhost={HOST}\n\n", monkeypatch, capsys)
    assert (code, out) == (ExitStatus.COMMAND, "")
    assert "standard output is a terminal" in err


def door(api: SelfApi) -> str:
    """Host and port of the sandbox's API door."""
    return f"127.0.0.1:{api.server_port}"


@pytest.mark.proves("S16")
@pytest.mark.parametrize(
    ("path", "opens"),
    [
        (f"{SECRETS}/{NAME}/proxy/group/project.git", True),
        (f"{SECRETS}/{NAME}/proxy/", True),
        (f"{SECRETS}/{NAME}/proxy", False),
        (f"{SECRETS}/other/proxy/x", False),
        (f"{SECRETS}/{NAME}x/proxy/x", False),
        (f"{SECRETS}/{NAME}/read", False),
        (f"{SECRETS}/{NAME}/proxy/../../x", False),
        (f"{SECRETS}/{NAME}/proxy/%2e%2e/x", False),
        ("/jh/hub/api/user", False),
        ("", False),
    ],
)
def test_the_own_door_gets_the_servers_token_for_a_proxied_grant(
    api: SelfApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    path: str,
    opens: bool,
) -> None:
    """Below .../NAME/proxy/ of a grant by proxy git logs in as `sandbox`, and nowhere else at the door."""
    granted(api, HOST, delivery="proxy")
    question = f"protocol=http\nhost={door(api)}\npath={path.removeprefix('/')}\n\n"
    expected = f"username=sandbox\npassword={TOKEN}\n" if opens else ""
    assert helper(question, monkeypatch, capsys)[:2] == (ExitStatus.OK, expected)
    for other in (
        "http\nhost=127.0.0.1:1",
        f"https\nhost={door(api)}",
        f"http\nhost=localhost:{api.server_port}",
    ):
        question = f"protocol={other}\npath={path.removeprefix('/')}\n\n"
        assert helper(question, monkeypatch, capsys)[1] == ""
