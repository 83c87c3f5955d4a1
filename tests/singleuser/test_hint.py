"""Does a cell that the sandbox blocked say so in one line, and every other cell nothing?"""

from __future__ import annotations

import email.message
import socket
import urllib.error
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from jupyter_sandbox_spawner.errors import UnreachableError
from jupyter_sandbox_spawner.singleuser.egress_answers import Denial, Egress
from jupyter_sandbox_spawner.singleuser.hint import hint

BEGAN = datetime(2026, 11, 25, 12, 0, 0, 900_000, tzinfo=timezone.utc)
BEFORE, AFTER = datetime(2026, 11, 25, 11, tzinfo=timezone.utc), BEGAN.replace(microsecond=0)
ASK = "or ask for it: %sandbox egress ask"
WHY = '--why "what for"'
TUNNEL = "Tunnel connection failed: 403 Blocked by sandbox: example.com; see %sandbox egress"


def denied(host: str = "example.com", at: datetime = AFTER, rule: str = "") -> Denial:
    """One denial."""
    code = "egress.port_not_allowed" if rule else "egress.not_allowed"
    return Denial(host=host, port=443, code=code, rule=rule, count=1, first_at=at, last_at=at)


def told(*denials: Denial) -> Callable[[], Egress]:
    """Control, which knows these denials."""
    return lambda: Egress(allowed=(), denied=denials)


def nobody() -> Egress:
    """Control, which must not be asked."""
    raise AssertionError("asked")


def away() -> Egress:
    """Control, which does not answer."""
    raise UnreachableError("It does not answer.")


def http_error(status: int, headers: dict[str, str]) -> Exception:
    """What urllib raises for an answer that is an error."""
    message = email.message.Message()
    for name, value in headers.items():
        message[name] = value
    return urllib.error.HTTPError("http://Example.com:80/x", status, "", message, None)


class StatusError(Exception):
    """What requests and httpx raise for an answer that is an error."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__("403 Client Error")
        self.response = SimpleNamespace(headers=headers, url="https://user:pw@example.com/path")


def test_a_refused_tunnel_names_host_and_code() -> None:
    """urllib's refused tunnel gives the host with its port and why."""
    error = urllib.error.URLError(OSError(TUNNEL))
    line = hint(error, BEGAN, told(denied()))
    place = "example.com:443 (egress.not_allowed)"
    assert line == f"Blocked by sandbox: {place}; see %sandbox egress, {ASK} example.com:443 {WHY}"


def test_a_rule_is_named() -> None:
    """Where a rule allows another port only, the line names that rule."""
    line = hint(OSError(TUNNEL), BEGAN, told(denied(rule="example.com:80")))
    place = "example.com:443 (rule example.com:80)"
    assert line == f"Blocked by sandbox: {place}; see %sandbox egress, {ASK} example.com:443 {WHY}"


def test_without_control_the_gateway_is_believed() -> None:
    """The line comes from the error alone when control is away or does not know yet."""
    expected = f"Blocked by sandbox: example.com; see %sandbox egress, {ASK} example.com {WHY}"
    assert hint(OSError(TUNNEL), BEGAN, away) == expected
    assert hint(OSError(TUNNEL), BEGAN, told()) == expected


@pytest.mark.parametrize(
    "error", [http_error(403, {"X-Sandbox-Deny": "c"}), StatusError({"X-Sandbox-Deny": "c"})]
)
def test_a_refused_answer_is_recognised_by_its_header(error: Exception) -> None:
    """A 403 of the gateway is told from one of a website."""
    line = hint(error, BEGAN, told(denied(at=BEFORE)))
    assert line.startswith("Blocked by sandbox: example.com:443")


@pytest.mark.parametrize(
    "error",
    [
        http_error(403, {}),
        http_error(404, {}),
        StatusError({}),
        FileNotFoundError(2, "No such file"),
        ZeroDivisionError("division by zero"),
        KeyError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_another_kind_asks_nobody(error: Exception) -> None:
    """A missing file, a website's own refusal or a mistake costs no question."""
    assert hint(error, BEGAN, nobody) == ""


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError("timed out"),
        socket.gaierror(-3, "Temporary failure in name resolution"),
        OSError(101, "Network is unreachable"),
        urllib.error.URLError("unknown"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_network_error_counts_after_a_denial_only(error: Exception) -> None:
    """A failed connection gets the line where this cell was denied something, else nothing."""
    assert hint(error, BEGAN, told(denied())).startswith("Blocked by sandbox: example.com:443")
    assert hint(error, BEGAN, told(denied(at=BEFORE))) == ""
    assert hint(error, BEGAN, away) == ""


def test_the_cause_behind_an_error_counts() -> None:
    """Libraries wrap errors in their own; what led to them is looked at, and a ring of causes ends."""
    inner, outer = OSError(TUNNEL), RuntimeError("could not load the data set")
    outer.__cause__, inner.__context__ = inner, outer
    assert hint(outer, BEGAN, away).startswith("Blocked by sandbox: example.com;")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "API request to http://mlflow.sandbox.internal/api failed with exception Read timed out",
            "MLflow did not answer; run the cell again in a minute. See %sandbox mlflow",
        ),
        ("409 Client Error for http://mlflow.sandbox.internal/a: logged already (tracking.write_once)", ""),
    ],
)
def test_mlflow_that_is_silent_is_no_denial(message: str, line: str) -> None:
    """A cell whose MLflow did not answer is told what to do; what its guard said stands as it is."""
    assert hint(ValueError(message), BEGAN, nobody) == line


@pytest.mark.parametrize("code", ["egress.ip_literal", "egress.resolved_private", "egress.capped"])
def test_what_no_request_opens_is_not_offered(code: str) -> None:
    """An address, a private place and a cap are not an admin's to open for a while."""
    item = Denial(host="example.com", port=443, code=code, rule="", count=1, first_at=AFTER, last_at=AFTER)
    line = hint(OSError(TUNNEL), BEGAN, told(item))
    assert line == f"Blocked by sandbox: example.com:443 ({code}); see %sandbox egress"


@pytest.mark.proves("H06")
@pytest.mark.parametrize("host", ["10.0.0.1", "\x1b[2Jexample.com", "$(reboot).example.com", "a.b'--why"])
def test_only_a_name_is_written_into_a_command(host: str) -> None:
    """What is no host name is never in a line to copy, and moves no cursor."""
    line = hint(OSError(f"403 Blocked by sandbox: {host}; see"), BEGAN, away)
    assert line.startswith("Blocked by sandbox: ")
    assert line.endswith("; see %sandbox egress")
    assert "\x1b" not in line
