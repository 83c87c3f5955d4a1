"""Is what may be told about secrets told: the list, the store's health, what is held, renewed and ended?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import AnswerError, ConfigurationError, RefusedError, UnreachableError
from jupyter_sandbox_spawner.singleuser import secret_list
from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from jupyter_sandbox_spawner.singleuser.secret_values import secrets
from tests.singleuser.brokerapi import ABOUT, CANARY, SECRETS, about, give, lists
from tests.singleuser.selfapi import SelfApi

Control = Callable[[str, bool], None]
SEALED = {
    "kind": "vault",
    "ok": False,
    "code": "vault.sealed",
    "message": "Vault is sealed.",
    "remedy": "An operator has to unseal it; try again later.",
}


def soon(minutes: float) -> str:
    """A time of the broker's, that many minutes from now."""
    end = datetime.now(timezone.utc) + timedelta(minutes=minutes, seconds=30)
    return end.isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.fixture
def broker(api: SelfApi) -> SelfApi:
    """A broker with a secret of each sort; nothing of an earlier test's is remembered."""
    secret_list._memory.__init__()  # type: ignore[misc]
    lists(
        api,
        ABOUT,
        about("db/live", kind="database", static=False, expires_at=soon(14), renewed=True),
        about("db/late", kind="database", static=False),
        about("git/main", kind="git", host="git.example.org", delivery="proxy"),
        about("pkg", kind="pip", host="pkg.example.org:8443", version=3),
        about("s3/lab", kind="aws", stored=False),
    )
    return api


def shown(capsys: pytest.CaptureFixture[str], *words: str, status: int = ExitStatus.OK) -> str:
    """What the command prints."""
    assert main(list(words)) == status
    printed = capsys.readouterr()
    assert CANARY not in printed.out + printed.err
    return printed.out + printed.err


def test_the_list_has_a_row_for_each(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, kind, version, end, host and who granted it; what would be empty for all is left out."""
    assert shown(capsys, "secrets").splitlines() == [
        "name          kind         version  expires         for                       granted by",
        "db/warehouse  kv, static            never                                     profile small",
        "db/live       database              in 14 min                                 profile small",
        "db/late       database              not read yet                              profile small",
        "git/main      git, static           never           git.example.org by proxy  profile small",
        "pkg           pip, static  3        never           pkg.example.org:8443      profile small",
        "s3/lab        aws, static           not stored yet                            profile small",
        "static: the value stays valid when this server has stopped, so keep it out of files.",
    ]
    lists(broker, about("a/b", static=False))
    assert shown(capsys, "secrets").splitlines()[0] == "name  kind  expires       granted by"


def test_a_store_that_is_away_is_told_above_the_list(
    broker: SelfApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sentence and what to do stand on top; the names are still there, and what is unknown says so."""
    lists(broker, about("db/warehouse", stored=None), **SEALED)
    first, _, row, *_ = shown(capsys, "secrets").splitlines()
    assert first == "Vault is sealed. An operator has to unseal it; try again later."
    assert row == "db/warehouse  kv, static  not known now  profile small"


@pytest.mark.proves("S23")
def test_an_empty_list_says_whom_to_ask(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence with the profile's name, whether or not the store can be used."""
    lists(broker)
    sentence = "The profile 'small' grants no secrets. Ask the hub's admin for what you need."
    assert shown(capsys, "secrets") == f"{sentence}\n"
    lists(broker, **SEALED)
    assert shown(capsys, "secrets").splitlines()[-1] == sentence


def test_status_tells_what_is_held(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what ends, with when and whether the broker renews it; and where the proxy takes requests."""
    store, header, held, proxy, address = shown(capsys, "secrets", "status").splitlines()
    assert store == "Store: the built-in store answers."
    assert header.split() == ["held", "now", "kind", "until"]
    assert held.startswith("db/live   database  at ")
    assert held.endswith("UTC, in 14 min, renewed while this server runs")
    assert proxy.startswith("by proxy  send requests to")
    assert address == f"git/main  http://127.0.0.1:{broker.server_port}{SECRETS}/git/main/proxy/"


def test_status_without_anything_held(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence in the table's place; a store that is away says what to do."""
    lists(broker, ABOUT, **SEALED)
    assert shown(capsys, "secrets", "status").splitlines() == [
        "Store: Vault is sealed. An operator has to unseal it; try again later.",
        "This server holds no credential that ends.",
    ]


def test_status_is_json_for_scripts(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Times as RFC 3339, and no value."""
    document = json.loads(shown(capsys, "secrets", "status", "--json"))
    assert document["store"]["ok"] is True
    assert [(item["name"], item["renewed"]) for item in document["held"]] == [("db/live", True)]
    assert document["held"][0]["expires_at"].endswith("Z")
    assert list(document["proxies"]) == ["git/main"]
    listed = json.loads(shown(capsys, "secrets", "--json"))["items"]
    assert listed[0] == ABOUT


def test_renew_tells_the_new_end(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence; in Python the same object."""
    renewed = about("db/live", kind="database", static=False, expires_at=soon(59), renewed=True)
    broker.answers[f"POST {SECRETS}/db/live/renew"] = (200, renewed)
    text = shown(capsys, "secrets", "renew", "db/live")
    assert text.startswith("db/live is valid: at ")
    assert text.endswith("in 59 min, renewed while this server runs.\n")
    assert secrets.renew("db/live").secret.renewed is True


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"ended": 1, "queued": 0}, ["1 credential of db/live ended."]),
        ({"ended": 2, "queued": 0}, ["2 credentials of db/live ended."]),
        ({"ended": 0, "queued": 1}, ["1 of db/live could not be ended yet; the broker goes on trying."]),
        (
            {"ended": 1, "queued": 2},
            [
                "1 credential of db/live ended.",
                "2 of db/live could not be ended yet; the broker goes on trying.",
            ],
        ),
        (
            {"ended": 0, "queued": 0},
            [
                "No credential of db/live ended.",
                "A static value is valid until it is changed where it is used: ask the hub's admin.",
            ],
        ),
    ],
)
def test_revoke_tells_what_ended(
    broker: SelfApi, capsys: pytest.CaptureFixture[str], document: dict[str, int], words: list[str]
) -> None:
    """How many, what goes on by itself, and that a static value does not end by that."""
    broker.answers[f"POST {SECRETS}/db/live/revoke"] = (200, document)
    assert shown(capsys, "secrets", "revoke", "db/live").splitlines() == words
    assert secrets.revoke("db/live").queued == document["queued"]


def test_what_cannot_be_renewed_says_why(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """The broker's sentence with its remedy, and the status of a refusal."""
    answer = {"code": "secret.not_held", "message": "It holds nothing.", "remedy": "Read it first."}
    broker.answers[f"POST {SECRETS}/db/warehouse/renew"] = (409, answer)
    text = shown(capsys, "secrets", "renew", "db/warehouse", status=ExitStatus.REFUSED)
    assert text == "It holds nothing. Read it first.\n"
    with pytest.raises(RefusedError) as caught:
        secrets.renew("db/warehouse")
    assert caught.value.code == "secret.not_held"


def test_names_are_remembered_for_a_minute_and_values_never(
    broker: SelfApi, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the broker is away the list is the last one and says so; a read fails, later the list too."""
    give(broker)
    control("a value is read", secrets("db/warehouse")["password"].reveal() == CANARY)
    names = [item.name for item in secrets().items]
    broker.answers.clear()
    broker.answers[f"GET {SECRETS}"] = broker.answers[f"POST {SECRETS}/db/warehouse/read"] = (503, {})
    again = secrets()
    assert [item.name for item in again.items] == names
    assert "does not answer at the moment" in again.note
    assert str(again).startswith(again.note)
    assert str(secrets.status()).startswith(f"Store: {again.note}")
    with pytest.raises(UnreachableError):
        secrets("db/warehouse")
    later = secret_list.time.monotonic() + 61
    monkeypatch.setattr(secret_list.time, "monotonic", lambda: later)
    with pytest.raises(UnreachableError):
        secrets()


def test_a_refusal_is_not_covered_by_what_is_remembered(broker: SelfApi) -> None:
    """Who may not read the list any more sees no old one."""
    secrets()
    broker.answers[f"GET {SECRETS}"] = (404, {"code": "sandbox.unknown", "message": "Over."})
    with pytest.raises(RefusedError, match="Over"):
        secrets()


@pytest.mark.parametrize(
    ("path", "act"),
    [
        (f"GET {SECRETS}", secrets),
        (f"GET {SECRETS}", secrets.status),
        (f"POST {SECRETS}/a/renew", lambda: secrets.renew("a")),
        (f"POST {SECRETS}/a/revoke", lambda: secrets.revoke("a")),
    ],
)
@pytest.mark.parametrize(
    "document", [{}, {"items": [{}], "profile": "x"}, {"name": "a"}, {"ended": "x"}, {"ended": None}]
)
def test_an_odd_answer_is_an_error_of_ours(
    broker: SelfApi, path: str, act: Callable[[], Any], document: dict[str, Any]
) -> None:
    """What a broker of another version leaves out is no traceback."""
    broker.answers[path] = (200, document)
    with pytest.raises(AnswerError) as caught:
        act()
    assert caught.value.code == "door.unreadable"


def test_a_database_user_of_its_own_has_all_that_is_needed(broker: SelfApi) -> None:
    """User, password and where the database is, each as a value; beside them that it is renewed."""
    fields = {"username": "v-ada-1", "password": CANARY, "host": "db.example", "port": "5432", "url": "x://y"}
    live = {"kind": "database", "static": False, "environment": {}, "renewed": True, "expires_at": soon(14)}
    give(broker, "db/live", fields=fields, **live)
    with secrets("db/live") as secret:
        assert {name: value.reveal() for name, value in secret.items()} == fields
        assert (secret.kind, secret.static, secret.renewed, secret.version) == ("database", False, True, None)
        assert secret.environment["DB_LIVE_USERNAME"] == "username"


@pytest.mark.parametrize("act", [secrets, secrets.renew, secrets.revoke])
@pytest.mark.parametrize(
    ("name", "words", "way_out"),
    [
        ("", "it is empty", "%sandbox secrets"),
        ("a" * 201, "it has 201 characters", "200 at most"),
        ("../db/warehouse", "'..' leads nowhere", "the whole name"),
        ("db/../warehouse", "'..' leads nowhere", "the whole name"),
        ("%2e%2e/warehouse", "nothing in it is unescaped", "the characters themselves"),
        ("db%2fwarehouse", "nothing in it is unescaped", "the characters themselves"),
        ("db/w\u0430rehouse", "U+0430 (CYRILLIC SMALL LETTER A)", "look-alikes are no letters"),
        ("db\uff0fwarehouse", "U+FF0F (FULLWIDTH SOLIDUS)", "look-alikes"),
        ("db/ware\u200bhouse", "U+200B (ZERO WIDTH SPACE)", "look-alikes"),
        ("db/ware\0house", "U+0000 (a control character)", "look-alikes"),
        ("DB/Warehouse", "names are in lower case", "Perhaps you mean db/warehouse"),
        ("db//warehouse", "spelled in another way", "joined by '/'"),
        ("db warehouse", "spelled in another way", "joined by '/'"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(
    broker: SelfApi, act: Callable[[str], Any], name: str, words: str, way_out: str
) -> None:
    """Each kind of mistake has a sentence and a way out of its own, and nobody is asked."""
    with pytest.raises(ConfigurationError) as caught:
        act(name)
    assert caught.value.code == "secret.name_invalid"
    assert words in caught.value.message
    assert way_out in caught.value.remedy
    assert broker.asked == []
