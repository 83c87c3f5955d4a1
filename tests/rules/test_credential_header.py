"""In which header, and of which field, is a secret sent?"""

from __future__ import annotations

import base64

import pytest

from jupyter_sandbox_spawner.errors import RefusedError
from jupyter_sandbox_spawner.rules.credential_header import check_kind, sent_credential
from jupyter_sandbox_spawner.rules.grants import Grant


def grant(kind: str = "http", header: str = "") -> Grant:
    """A grant for a host."""
    return Grant(name="a/b", kind=kind, host="h.example", header=header)  # type: ignore[arg-type]


def basic(text: str) -> str:
    """The header of `user:password`."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("given", "fields", "name", "value"),
    [
        (grant(), {"value": "123456"}, "Authorization", "Bearer 123456"),
        (grant(), {"token": "123456", "other": "abcdef"}, "Authorization", "Bearer 123456"),
        (grant(), {"user": "u", "password": "123456"}, "Authorization", basic("u:123456")),
        (grant(), {"username": "u", "token": "123456"}, "Authorization", basic("u:123456")),
        (grant(), {"user": "u", "token": "tttttt", "password": "pppppp"}, "Authorization", basic("u:pppppp")),
        (grant(header="X-Key"), {"user": "u", "password": "123456"}, "X-Key", "123456"),
        (grant(header="Authorization"), {"value": "Token 123456"}, "Authorization", "Token 123456"),
        (grant("git"), {"token": "123456"}, "Authorization", basic("__token__:123456")),
        (grant("pip"), {"value": "123456"}, "Authorization", basic("__token__:123456")),
        (
            grant(),
            {"user": "u", "password": "p\u00e4ssw\u00f6rd"},
            "Authorization",
            basic("u:p\u00e4ssw\u00f6rd"),
        ),
    ],
)
def test_the_fields_say_how_it_is_sent(given: Grant, fields: dict[str, str], name: str, value: str) -> None:
    """A header of the grant's, Basic for a user and for git and pip, else Bearer; the repr shows nothing."""
    sent = sent_credential(given, fields)
    assert (sent.name, sent.value) == (name, value)
    assert "123456" not in repr(sent)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"key": "123456"}, "none of the fields"),
        ({"value": "12345"}, "under 6 bytes"),
        ({"value": "123456\r\nX-Evil: 1"}, "in one line"),
        ({"value": "123456\n"}, "in one line"),
        ({"value": "p\u00e4ssw\u00f6rd"}, "plain ASCII"),
        ({"value": "x" * 9000}, "over 8192 bytes"),
    ],
)
def test_what_is_no_plain_value_is_not_sent(fields: dict[str, str], why: str) -> None:
    """It could be read as more than a value, or not be found again in an answer; the text shows none."""
    with pytest.raises(RefusedError, match=why) as raised:
        sent_credential(grant(), fields)
    assert raised.value.code == "secret.unsendable"
    assert "123456" not in str(raised.value)
    assert sent_credential(grant(), {"value": "123456"}).value == "Bearer 123456"


def test_all_values_are_hidden_and_no_names() -> None:
    """Each field but the user's name is taken out of answers, where it is long enough to be found."""
    fields = {"user": "a-user-name", "password": "123456", "recovery": "abcdefgh", "port": "5432"}
    assert set(sent_credential(grant(), fields).hidden) == {"123456", "abcdefgh"}


@pytest.mark.parametrize("kind", ["aws", "database", "vault"])
def test_what_is_made_for_a_read_is_not_sent(kind: str) -> None:
    """A request would make another user each time; the kinds for hosts pass."""
    with pytest.raises(RefusedError, match=f"kind {kind} is read"):
        check_kind(grant(kind))
    for other in ("kv", "git", "pip", "http"):
        check_kind(grant(other))
