"""Is pid 1 a good init: does it reap, forward signals, and end as the server ended?"""

from __future__ import annotations

import signal
import time

import pytest

from tests.singleuser.sandbox import Sandbox, eventually

ORPHANS = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)  # its parent is gone: pid 1 must reap it
        os._exit(0)
for _ in range(20):
    os.wait()
print("done", flush=True)
time.sleep(60)
"""
STOPS_ON = """
import signal, sys
signal.signal(signal.{name}, lambda *_: sys.exit(7))
print("up", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("status", [0, 3])
def test_the_servers_status_is_the_sandboxs(place: Sandbox, status: int) -> None:
    """pid 1 ends with the exit status of the server."""
    place.run_python(f"import sys; sys.exit({status})")
    assert place.end()[0] == status


def test_a_killed_server_gives_128_and_its_signal(place: Sandbox) -> None:
    """A server killed by signal 9 ends the sandbox with status 137."""
    place.run_python("import os; os.kill(os.getpid(), 9)")
    assert place.end()[0] == 137


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signals_reach_the_server(place: Sandbox, name: str) -> None:
    """SIGTERM and SIGINT to pid 1 are forwarded to the server, whose status is passed on."""
    process = place.run_python(STOPS_ON.format(name=name))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(getattr(signal, name))
    assert place.end()[0] == 7


def test_orphans_are_reaped(place: Sandbox) -> None:
    """Processes whose parent has ended leave no zombie below pid 1."""
    process = place.run_python(ORPHANS)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    eventually(lambda: len(place.children()) == 1, "only the server is left")


def test_pid_1_sleeps_when_nothing_happens(place: Sandbox) -> None:
    """With the server up and its connections idle, pid 1 uses no processor time."""
    place.run_python(
        "import socket, time, sys\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))\ntime.sleep(60)",
        str(place.server_port),
    )
    place.doors.taken("ingress")
    place.doors.taken("ingress")
    before = _ticks(place)
    time.sleep(0.5)  # the span that is measured
    assert _ticks(place) - before <= 1


def _ticks(place: Sandbox) -> int:
    assert place.process is not None
    with open(f"/proc/{place.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
