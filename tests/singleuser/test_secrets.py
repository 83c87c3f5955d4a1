"""Does a secret in a notebook stay unseen, and is the environment afterwards what it was?"""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError, RefusedError, SandboxError, UnreachableError
from jupyter_sandbox_spawner.singleuser.secret_values import Secret, SecretValue, secrets
from tests.singleuser.brokerapi import CANARY, SECRETS, broker_answers
from tests.singleuser.selfapi import SelfApi

Control = Callable[[str, bool], None]


@pytest.fixture
def broker(api: SelfApi) -> SelfApi:
    """A broker with db/warehouse and its list."""
    return broker_answers(api)


@pytest.fixture
def value(broker: SelfApi) -> SecretValue:
    """A value."""
    return secrets("db/warehouse")["password"]


def logged(value: SecretValue) -> str:
    """What a log has of it."""
    stream = io.StringIO()
    logger = logging.Logger("x")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("%s %r", value, value)
    logger.error(f"{value}")
    return stream.getvalue()


def traced(value: SecretValue) -> str:
    """A traceback with the variables of its frames, as error reporters make it."""
    try:
        raise ValueError(value)
    except ValueError as error:
        found = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(found.format())


def refused(act: Callable[[], object]) -> str:
    """The error of what cannot be done with it."""
    with pytest.raises(TypeError) as caught:
        act()
    return str(caught.value)


SHOWN: dict[str, Callable[[SecretValue], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda value: f"{value} {value!s} {value!r} {value:>20} {'%s' % value} {'{}'.format(value)}",  # noqa: UP031, UP032
    "pprint": pprint.pformat,
    "container": lambda value: str([{"x": (value,)}]),
    "dir": lambda value: str([getattr(value, name) for name in dir(value) if name != "reveal"]),
    "copy": lambda value: repr(copy.copy(value)) + repr(copy.deepcopy([value])),
    "logging": logged,
    "traceback": traced,
    "json": lambda value: refused(lambda: json.dumps({"x": value})),
    "json of all": lambda value: json.dumps({"x": value}, default=str),
    "pickle": lambda value: refused(lambda: pickle.dumps(value)),
    "vars": lambda value: refused(lambda: vars(value)),
    "concatenation": lambda value: refused(lambda: "x" + value),  # type: ignore[operator]
    "join": lambda value: refused(lambda: "".join([value])),  # type: ignore[list-item]
    "bytes": lambda value: refused(lambda: bytes(value)),  # type: ignore[call-overload]
    "iteration": lambda value: refused(lambda: list(value)),  # type: ignore[call-overload]
}


@pytest.mark.proves("S18")
@pytest.mark.parametrize("way", SHOWN)
def test_no_way_of_showing_shows_it(value: SecretValue, control: Control, way: str) -> None:
    """Whatever prints, logs, copies, stores or reports the object has no character of the value."""
    control("reveal gives it", value.reveal() == CANARY)
    shown = SHOWN[way](value)
    assert CANARY not in shown
    assert CANARY[:10] not in shown


@pytest.mark.proves("S18")
def test_the_whole_secret_shows_names_only(broker: SelfApi) -> None:
    """Its repr, its fields and what cannot be done with it hold no value."""
    secret = secrets("db/warehouse")
    assert repr(secret) == "<secret db/warehouse: user, password>"
    assert (list(secret), len(secret), "user" in secret, "x" in secret) == (
        ["user", "password"],
        2,
        True,
        False,
    )
    for text in (
        str(dict(secret)),
        refused(lambda: pickle.dumps(secret)),
        refused(lambda: json.dumps(secret)),
    ):
        assert CANARY not in text


def test_after_its_block_it_is_forgotten(broker: SelfApi) -> None:
    """`with` gives values that tell nothing any more when it is over, also after an error."""
    with suppress(ZeroDivisionError), secrets("db/warehouse") as secret:
        kept = secret["password"]
        assert kept.reveal() == CANARY
        _ = 1 / 0
    with pytest.raises(SandboxError) as caught:
        kept.reveal()
    assert caught.value.code == "secret.closed"


def test_a_wrong_field_is_told_with_the_right_ones(broker: SelfApi) -> None:
    """The names of the fields are no secret."""
    with pytest.raises(ConfigurationError, match="It has: user, password"):
        secrets("db/warehouse")["passwd"]


@pytest.mark.parametrize("name", ["../x", "", "DB", "a%2fb", "a b"])
def test_a_bad_name_asks_nobody(broker: SelfApi, name: str) -> None:
    """It is refused with the rule before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        secrets(name)
    assert caught.value.code == "secret.name_invalid"
    assert broker.asked == []


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "secret.not_granted", RefusedError, "The profile"),
        (404, "secret.missing", RefusedError, "The profile"),
        (503, "api.broker_away", UnreachableError, "The broker of secrets does not answer at the moment"),
        (503, "control.unreachable", UnreachableError, "does not answer at the moment"),
    ],
)
def test_a_refusal_is_an_error_with_its_code(
    broker: SelfApi, status: int, code: str, kind: type[SandboxError], words: str
) -> None:
    """Refusals say what the broker says; silence says what to do."""
    broker.answers[f"POST {SECRETS}/db/warehouse/read"] = (
        status,
        {"code": code, "message": "The profile ..."},
    )
    with pytest.raises(kind) as caught:
        secrets("db/warehouse")
    assert caught.value.code == code
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [{}, {"name": "x", "fields": {"password": CANARY}}, [], b"{", b'{"fields": "' + CANARY.encode()],
)
def test_an_odd_answer_is_an_error_without_the_value(broker: SelfApi, document: Any) -> None:
    """Neither the sentence nor the variables of the frames hold what came."""
    broker.answers[f"POST {SECRETS}/db/warehouse/read"] = (200, document)
    with pytest.raises(SandboxError) as caught:
        secrets("db/warehouse")
    assert caught.value.code == "door.unreadable"
    assert CANARY not in str(caught.value)


def test_a_parse_error_leaves_no_value_in_a_frame(broker: SelfApi) -> None:
    """A traceback with variables of an answer that lacks something shows no value."""
    broker.answers[f"POST {SECRETS}/db/warehouse/read"] = (200, {"name": "x", "fields": {"password": CANARY}})
    try:
        secrets("db/warehouse")
    except SandboxError as error:
        found = traceback.TracebackException.from_exception(error, capture_locals=True)
        # Of this package's own frames; the test's own variables are not the product's.
        frames = [line for line in found.format() if "jupyter_sandbox_spawner/" in line]
    assert frames
    assert CANARY not in "".join(frames)


def test_a_secret_is_asked_for_by_its_name_alone(broker: SelfApi) -> None:
    """One question, by POST, with the server's token; no value is sent."""
    secret = secrets("db/warehouse")
    assert isinstance(secret, Secret)
    ((what, headers, body),) = broker.asked
    assert (what, body) == (f"POST {SECRETS}/db/warehouse/read", b"{}")
    assert headers["Authorization"].startswith("token ")
