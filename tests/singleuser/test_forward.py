"""Does a program that knows no proxy reach the place it was given a port for, and no other?"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError, RefusedError, SandboxError, UnreachableError
from jupyter_sandbox_spawner.singleuser.forward import Forward, forward
from tests.singleuser.selfapi import SelfApi

Control = Callable[[str, bool], None]
PLACE = "db.example:5432"
REFUSAL = b"HTTP/1.1 403 Blocked by sandbox: other.example; see %sandbox egress\r\nContent-Length: 0\r\n\r\n"


class EgressDoor:
    """Takes CONNECT for `PLACE` alone, and is the database behind it: it greets first and then echoes."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        # A client that only looked has gone before it heard the greeting.
        with connection, suppress(ConnectionError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            self.asked.append(head.split(b" ")[1].decode())
            if self.asked[-1] != PLACE:
                connection.sendall(REFUSAL)
                return
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\nhello\n")
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self) -> None:
        """Take no more connections."""
        if self._listener.fileno() != -1:
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def door(api: SelfApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[EgressDoor]:
    """This process is inside, and that is its egress door."""
    opened = EgressDoor()
    monkeypatch.setenv("HTTPS_PROXY", opened.address)
    yield opened
    opened.close()


def talk(way: Forward, said: bytes) -> bytes:
    """All that a client hears which says this and then nothing more."""
    with socket.create_connection((way.host, way.port), 10) as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        heard = b""
        while data := client.recv(65536):
            heard += data
    return heard


def test_bytes_pass_both_ways(door: EgressDoor) -> None:
    """The other side's greeting comes first and whole; a megabyte comes back as it went."""
    sent = bytes(range(256)) * 4096
    with forward(PLACE) as way:
        assert talk(way, sent) == b"hello\n" + sent
        assert talk(way, b"again") == b"hello\nagain"


def test_it_listens_on_loopback_alone(door: EgressDoor) -> None:
    """The port is this sandbox's own, and is told."""
    with forward(PLACE) as way:
        assert way.host == "127.0.0.1"
        assert repr(way) == f"<127.0.0.1:{way.port} leads to {PLACE}>"


def test_a_refusal_is_told_at_once(door: EgressDoor, control: Control) -> None:
    """The door's own words, before any driver is asked, and no port is opened."""
    with forward(PLACE):
        control("the allowed place is reached", door.asked == [PLACE])
    with pytest.raises(RefusedError) as caught:
        forward("other.example:5432")
    assert caught.value.code == "forward.refused"
    assert caught.value.message == "There is no way to other.example:5432: Blocked by sandbox: other.example."


def test_after_its_end_nobody_answers(door: EgressDoor, control: Control) -> None:
    """A closed one takes no connection."""
    way = forward(PLACE)
    control("open it answers", talk(way, b"x") == b"hello\nx")
    way.close()
    with pytest.raises(ConnectionRefusedError):
        talk(way, b"x")


def test_a_door_that_is_away_is_said(door: EgressDoor) -> None:
    """One sentence, with what to do."""
    door.close()
    with pytest.raises(UnreachableError) as caught:
        forward(PLACE)
    assert caught.value.code == "door.unreachable"
    assert caught.value.remedy


@pytest.mark.parametrize("place", ["", "db.example", "db.example:", "db example:1", "db:1\r\nX: y", 5432])
def test_what_is_no_place_is_refused(door: EgressDoor, place: str) -> None:
    """Host and port, and nothing that would be another line of the request; the door is not asked."""
    with pytest.raises(ConfigurationError) as caught:
        forward(place)
    assert (caught.value.code, door.asked) == ("forward.place", [])


def test_outside_of_a_sandbox_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is opened."""
    monkeypatch.delenv("JUPYTER_SANDBOX", raising=False)
    with pytest.raises(SandboxError) as caught:
        forward(PLACE)
    assert caught.value.code == "sandbox.outside"
