"""Does the ingress pool take what the gateway hands over, and drop everything else?"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import Any

import pytest

from jupyter_sandbox_spawner.singleuser.inside import dial
from tests.singleuser.sandbox import Sandbox, eventually, read_all

ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while chunk := self.request.recv(65536):
            self.request.sendall(chunk)
class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 1024
    allow_reuse_address = True
Server(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"""
MARKER = b"\x01"


@pytest.fixture
def listening(place: Sandbox) -> Sandbox:
    """A sandbox whose server echoes; its two idle connections wait to be taken."""
    place.run_python(ECHO, str(place.server_port))
    return place


def test_nothing_is_dialled_before_the_server_listens(place: Sandbox, control: Any) -> None:
    """Idle connections appear only once something listens on the server's port."""
    place.boot(place.document(["/usr/bin/sleep", "60"]))
    eventually(place.children, "the server runs")
    assert place.doors.nobody_came("ingress")
    with socket.create_server(("127.0.0.1", place.server_port)):
        control("it dials when the port listens", place.doors.taken("ingress") is not None)


def test_a_server_that_only_tries_its_port_is_not_dialled(place: Sandbox, control: Any) -> None:
    """Nothing is dialled for a listener that closes at once, as jupyter_server's trial of its port does."""
    place.boot(place.document(["/usr/bin/sleep", "60"]))
    eventually(place.children, "the server runs")
    trial = socket.create_server(("127.0.0.1", place.server_port))
    asked, _ = trial.accept()
    asked.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, as a close does
    asked.close()
    trial.close()
    for _ in range(3):  # each probe has been answered by a refusal when the next one comes
        time.sleep(0.05)
        assert place.doors.nobody_came("ingress")
    with socket.create_server(("127.0.0.1", place.server_port)):
        control("it dials when the port listens", place.doors.taken("ingress") is not None)


def test_the_marker_is_not_passed_on(listening: Sandbox) -> None:
    """The server gets exactly the bytes after the marker, those sent together with it included."""
    outside = listening.doors.taken("ingress")
    outside.sendall(MARKER + b"GET / ")
    outside.sendall(b"HTTP/1.1")
    outside.shutdown(socket.SHUT_WR)
    assert read_all(outside) == b"GET / HTTP/1.1"


def test_a_taken_place_is_filled_at_once(listening: Sandbox) -> None:
    """100 hand-overs from a pool of two are all answered."""
    for number in range(100):
        outside = listening.doors.taken("ingress")
        message = b"request %d" % number
        outside.sendall(MARKER + message)
        assert outside.recv(64) == message


def test_anything_but_the_marker_is_dropped(listening: Sandbox, control: Any) -> None:
    """An idle connection on which other bytes arrive is closed without reaching the server, and replaced."""
    outside = listening.doors.taken("ingress")
    outside.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):  # closed with our bytes unread
        assert read_all(outside) == b""
    fresh = listening.doors.taken("ingress")
    fresh.sendall(MARKER + b"hello")
    control("a connection with the marker is served", fresh.recv(5) == b"hello")


def test_a_restarted_gateway_is_dialled_again(listening: Sandbox) -> None:
    """After the gateway's socket was replaced and its connections closed, the pool fills at the new one."""
    old = [listening.doors.taken("ingress"), listening.doors.taken("ingress")]
    listening.doors.shut("ingress")
    for connection in old:
        connection.close()
    listening.doors.open("ingress")
    fresh = listening.doors.taken("ingress")
    fresh.sendall(MARKER + b"again")
    assert fresh.recv(5) == b"again"


def test_a_connection_that_was_closed_before_it_is_looked_at_met_nobody() -> None:
    """A server that is starting may close one between two looks; that must not end pid 1."""
    with socket.socket() as unconnected:
        assert dial._met_nobody(unconnected)
