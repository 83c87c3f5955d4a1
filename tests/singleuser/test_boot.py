"""Does a sandbox take its identity once, through its boot door, and refuse anything else?"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.singleuser.inside.boot import BootFailedError, parse_document
from tests.singleuser.sandbox import SECRET, Sandbox, eventually

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
WAIT_FOREVER = "import signal, sys; print('up', flush=True); signal.pause()"


def test_the_document_makes_the_server(place: Sandbox) -> None:
    """The server gets argv, environment and working directory of the boot document."""
    place.run_python(
        "import os, sys, json\n"
        "print(json.dumps([sys.argv[1:], os.environ['JUPYTERHUB_API_TOKEN'], os.getcwd()]))",
        "one",
        "two words",
    )
    status, output, _errors = place.end()
    assert status == 0
    assert json.loads(output) == [["one", "two words"], SECRET, str(place.doors.directory)]


@pytest.mark.proves("T3", "T4")
def test_pid_1_shows_no_identity(place: Sandbox, control: Any) -> None:
    """The token is neither in the environment nor in the arguments of pid 1."""
    process = place.run_python(WAIT_FOREVER)
    assert process.stdout is not None
    control("the server runs with the token", process.stdout.readline() == "up\n")
    (server,) = place.children()
    control("the search finds a token where it is", SECRET in Path(f"/proc/{server}/environ").read_text())
    for name in ("environ", "cmdline"):
        assert SECRET not in Path(f"/proc/{process.pid}/{name}").read_text()


def test_a_second_reader_gets_nothing(place: Sandbox) -> None:
    """A sandbox whose document was already handed out ends with status 91 and says so."""
    place.boot(b"")
    status, _output, errors = place.end()
    assert status == 91
    assert "had no document" in errors


def test_without_a_boot_door_nothing_starts(place: Sandbox) -> None:
    """A boot door that nobody answers ends the sandbox with status 90 and names the door."""
    place.doors.shut("boot")
    place.start()
    status, _output, errors = place.end()
    assert status == 90
    assert str(place.doors.directory / "boot.sock") in errors


def test_an_invalid_document_starts_nothing(place: Sandbox) -> None:
    """A document without its argv ends the sandbox with status 92; one line names the field."""
    document = place.document(["/bin/true"])
    del document["argv"]
    place.boot(document)
    status, _output, errors = place.end()
    assert status == 92
    assert errors == "The boot document lacks 'argv'.\n"


def test_a_taken_relay_port_starts_nothing(place: Sandbox) -> None:
    """A relay port that cannot be opened ends the sandbox with status 93 and names the port."""
    port = {"listen": place.relay_port, "door": "egress"}
    place.boot(place.document(["/bin/true"], relay=[port, port]))
    status, _output, errors = place.end()
    assert status == 93
    assert f"port {place.relay_port} for egress" in errors


def test_a_program_that_cannot_be_executed_is_named(place: Sandbox) -> None:
    """A server program that does not exist ends the sandbox with status 127 and names its path."""
    place.boot(place.document(["/no/such/server"]))
    status, _output, errors = place.end()
    assert status == 127
    assert "/no/such/server cannot be executed" in errors


def test_a_sandbox_waiting_for_its_document_can_be_ended(place: Sandbox) -> None:
    """SIGTERM ends pid 1 while the gateway still holds the boot door."""
    process = place.start()
    place.doors.taken("boot")
    eventually(lambda: _catches_sigterm(process.pid), "pid 1 handles SIGTERM")
    process.terminate()
    assert place.end()[0] == 128 + 15


def _catches_sigterm(process: int) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> 14 & 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("environment", {"A=B": "x"}),
        ("environment", {"A": 1}),
        ("environment", {"A": "nul\0"}),
        ("argv", []),
        ("argv", ["relative"]),
        ("argv", "/bin/true"),
        ("working_directory", "home"),
        ("relay", [{"listen": 0, "door": "egress"}]),
        ("relay", [{"listen": 3128, "door": "../egress"}]),
        ("relay", [{"listen": True, "door": "egress"}]),
        ("relay", [{"door": "egress"}]),
        ("ingress", {"port": 8888, "idle_connections": 65}),
        ("ingress", {"port": 70000, "idle_connections": 1}),
        ("ingress", 8888),
        ("expires_at", "2026-11-24T00:00:00Z"),
        ("expires_at", "2099-01-01T00:00:00"),
        ("expires_at", "soon"),
    ],
)
def test_each_wrong_field_is_refused(field: str, value: object) -> None:
    """A document with one wrong field is refused with status 92 without repeating what it holds."""
    with pytest.raises(BootFailedError) as refused:
        parse_document(json.dumps({**_valid(), field: value}).encode(), NOW)
    assert refused.value.status == 92
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("raw", [b"not json", b"[]", b"\xff\xfe", b" " * (1 << 20) + b" "])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    """Bytes that are not a JSON object of at most 1 MiB are refused with status 92."""
    with pytest.raises(BootFailedError) as refused:
        parse_document(raw, NOW)
    assert refused.value.status == 92


def test_a_document_that_is_right_is_taken() -> None:
    """A complete document is read with Z as well as with a numeric offset as its time zone."""
    document = parse_document(json.dumps({**_valid(), "expires_at": "2026-11-26T00:00:00Z"}).encode(), NOW)
    assert document.relay == [(3128, "egress"), (8081, "api")]
    assert (document.ingress_port, document.idle_connections) == (8888, 4)


def _valid() -> dict[str, Any]:
    return {
        "version": 1,
        "environment": {"JUPYTERHUB_API_TOKEN": SECRET},
        "argv": ["/usr/bin/server"],
        "working_directory": "/home/jovyan",
        "relay": [{"listen": 3128, "door": "egress"}, {"listen": 8081, "door": "api"}],
        "ingress": {"port": 8888, "idle_connections": 4},
        "expires_at": "2026-11-26T00:00:00+00:00",
    }


def test_a_door_that_comes_back_is_read(place: Sandbox) -> None:
    """A boot door that refuses at first, because its gateway restarts, is read when it is bound again."""
    place.doors.shut("boot")
    process = place.start()
    waits = Path(f"/proc/{process.pid}/wchan")
    eventually(lambda: "sleep" in waits.read_text(), "pid 1 has been refused and waits")
    place.doors.open("boot")
    place.doors.hand_out(json.dumps(place.document(["/bin/sh", "-c", "exit 7"])).encode())
    assert place.end()[0] == 7
