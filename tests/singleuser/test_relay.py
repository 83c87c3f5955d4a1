"""Does a program inside reach its doors through the relay, whole, both ways, as often as it likes?"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.singleuser.sandbox import Sandbox, connect, eventually, read_all

SERVER = "import time; time.sleep(60)"
FIFTY_MB = 50 << 20


@pytest.fixture
def running(place: Sandbox) -> Sandbox:
    """A booted sandbox whose egress door is up to the test."""
    place.run_python(SERVER)
    connect(place.relay_port).close()
    place.doors.taken("egress").close()
    return place


def test_fifty_megabytes_arrive_whole_in_both_directions(running: Sandbox) -> None:
    """50 MB sent through the relay and echoed by the door come back with the same checksum."""
    running.doors.echo_at("egress")
    block = os.urandom(1 << 20)
    sent, received = hashlib.sha256(), hashlib.sha256()
    with connect(running.relay_port) as inside:

        def send() -> None:
            for number in range(FIFTY_MB >> 20):
                part = number.to_bytes(4, "big") + block[4:]
                sent.update(part)
                inside.sendall(part)
            inside.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        size = 0
        while chunk := inside.recv(1 << 18):
            received.update(chunk)
            size += len(chunk)
        sender.join()
    assert size == FIFTY_MB
    assert received.digest() == sent.digest()


def test_an_end_that_has_finished_still_receives(running: Sandbox) -> None:
    """After the program inside has closed its sending side, the door's answer and end still reach it."""
    with connect(running.relay_port) as inside:
        inside.sendall(b"question")
        inside.shutdown(socket.SHUT_WR)
        outside = running.doors.taken("egress")
        assert read_all(outside) == b"question"
        outside.sendall(b"answer")
        outside.close()
        assert read_all(inside) == b"answer"


def test_the_door_may_finish_first(running: Sandbox) -> None:
    """After the door has closed its sending side, the program inside can still send."""
    with connect(running.relay_port) as inside:
        outside = running.doors.taken("egress")
        outside.sendall(b"greeting")
        outside.shutdown(socket.SHUT_WR)
        assert read_all(inside) == b"greeting"
        inside.sendall(b"late")
        inside.shutdown(socket.SHUT_WR)
        assert read_all(outside) == b"late"


def test_two_hundred_connections_at_once(running: Sandbox) -> None:
    """200 connections open at the same time are each answered with their own bytes."""
    running.doors.echo_at("egress")
    connections = [connect(running.relay_port) for _ in range(200)]

    def ask(number: int) -> bool:
        message = f"connection {number} ".encode() * 500
        with connections[number] as inside:
            inside.sendall(message)
            inside.shutdown(socket.SHUT_WR)
            return read_all(inside) == message

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


def test_a_replaced_door_is_dialled_anew(running: Sandbox, control: Any) -> None:
    """A gateway that comes back with a new socket is reached, also by a connection made meanwhile."""
    with connect(running.relay_port) as before:
        old = running.doors.taken("egress")
        before.sendall(b"x")
        control("the first gateway was reached", old.recv(1) == b"x")
        running.doors.shut("egress")
        old.close()
        assert before.recv(1) == b""
    with connect(running.relay_port) as waiting:
        waiting.sendall(b"patient")
        running.doors.open("egress")
        with running.doors.taken("egress") as fresh:
            assert fresh.recv(7) == b"patient"


def test_a_slow_reader_is_waited_for_and_holds_up_nobody(running: Sandbox) -> None:
    """While one reader takes nothing another is answered at once, and later every byte arrives."""
    with connect(running.relay_port) as slow:
        outside = running.doors.taken("egress")
        sent = _fill(outside)
        with connect(running.relay_port) as quick:
            other = running.doors.taken("egress")
            other.sendall(b"quick")
            assert quick.recv(5) == b"quick"
        outside.shutdown(socket.SHUT_WR)
        assert len(read_all(slow)) == sent


def test_a_peer_that_vanished_costs_no_processor_time(running: Sandbox) -> None:
    """A reader that resets its connection with bytes under way leaves pid 1 idle and the door closed."""
    inside = connect(running.relay_port)
    outside = running.doors.taken("egress")
    outside.setblocking(False)
    outside.send(b"s" * 65536)
    inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    inside.close()
    eventually(lambda: _is_closed(outside), "the door's side is closed")
    before = _processor_time(running)
    time.sleep(0.3)  # the span that is measured
    assert _processor_time(running) - before <= 1


def test_running_out_of_descriptors_is_survived(running: Sandbox) -> None:
    """With every descriptor of pid 1 in use new connections wait, and are served when others have ended."""
    running.doors.echo_at("egress")
    assert running.process is not None
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (40, 40))
    connections = [connect(running.relay_port) for _ in range(40)]
    eventually(lambda: len(os.listdir(f"/proc/{running.process.pid}/fd")) >= 39, "descriptors have run out")
    for connection in connections:
        connection.close()
    with connect(running.relay_port) as inside:
        inside.sendall(b"alive")
        assert inside.recv(5) == b"alive"


def _fill(connection: socket.socket) -> int:
    """Send until the other side has taken nothing for 0.3 s; how many bytes went."""
    sent = 0
    connection.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        while True:
            sent += connection.send(b"s" * 65536)
    connection.settimeout(20)
    return sent


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _processor_time(place: Sandbox) -> int:
    assert place.process is not None
    with open(f"/proc/{place.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
