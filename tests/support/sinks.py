"""Did anything arrive? Listeners of the host, at an address that looks public, note what they hear.

The address (TEST-NET-2) is added to the loopback interface, so that nothing leaves the machine.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

__all__ = ["TCP_PORTS", "UDP_PORTS", "Sinks", "open_sinks", "public_address", "question"]

TCP_PORTS = (22, 53, 80, 443, 8443)
UDP_PORTS = (53, 5000)


@dataclass
class Sinks:
    """`heard` has one line for each connection or datagram: protocol, port and first bytes."""

    address: str
    heard: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, line: str) -> None:
        """Write down one arrival."""
        with self.changed:
            self.heard.append(line)
            self.changed.notify_all()

    def wait_for(self, word: str, timeout: float = 5.0) -> bool:
        """Was something with this word heard, now or within `timeout` seconds?"""
        with self.changed:
            return self.changed.wait_for(lambda: any(word in line for line in self.heard), timeout)

    def from_outside(self) -> list[str]:
        """The positive control: the host itself reaches every sink. Returns what it could not reach."""
        unreached = []
        for port in TCP_PORTS:
            with socket.create_connection((self.address, port), 3) as connection:
                connection.sendall(b"control")
            if not self.wait_for(f"tcp {port} control"):
                unreached.append(f"tcp {port}")
        for port in UDP_PORTS:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"control", (self.address, port))
            if not self.wait_for(f"udp {port} control"):
                unreached.append(f"udp {port}")
        return unreached


def question(name: str) -> bytes:
    """A DNS query for the A record of `name`."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\0\0\x01\0\x01"


@contextmanager
def public_address() -> Iterator[str]:
    """An address of this machine that looks public, for the block."""
    address = f"198.51.100.{secrets.randbelow(250) + 2}"
    subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True, capture_output=True)
    try:
        yield address
    finally:
        subprocess.run(["ip", "addr", "del", f"{address}/32", "dev", "lo"], check=True, capture_output=True)


def _listen(sinks: Sinks, kind: int, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sinks.address, port))
    if kind == socket.SOCK_STREAM:
        listener.listen(64)
    return listener


def _hear(sinks: Sinks, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    if listener.type == socket.SOCK_DGRAM:
        data, peer = listener.recvfrom(2048)
        sinks.note(f"udp {port} {data!r}".replace("b'", "", 1))
        listener.sendto(data[:2] + b"\x81\x83" + data[4:], peer)  # "no such name", as a resolver says
        return
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(1)
        try:
            data = connection.recv(2048)
        except OSError as error:
            data = str(error).encode()
        sinks.note(f"tcp {port} {data!r}".replace("b'", "", 1))


@contextmanager
def open_sinks() -> Iterator[Sinks]:
    """Listen on every port until the block ends."""
    with ExitStack() as stack:
        sinks = Sinks(stack.enter_context(public_address()))
        watcher = stack.enter_context(selectors.DefaultSelector())
        wake, waker = socket.socketpair()
        listeners = [_listen(sinks, socket.SOCK_STREAM, port) for port in TCP_PORTS]
        listeners += [_listen(sinks, socket.SOCK_DGRAM, port) for port in UDP_PORTS]
        for end in (wake, waker, *listeners):
            stack.enter_context(end)
        for end in (wake, *listeners):
            watcher.register(end, selectors.EVENT_READ)
        thread = threading.Thread(target=_watch, args=(sinks, watcher, wake), daemon=True)
        thread.start()
        try:
            yield sinks
        finally:
            waker.send(b"x")
            thread.join()


def _watch(sinks: Sinks, watcher: selectors.DefaultSelector, wake: socket.socket) -> None:
    while True:
        for key, _ in watcher.select():
            if key.fileobj is wake:
                return
            assert isinstance(key.fileobj, socket.socket)
            _hear(sinks, key.fileobj)
