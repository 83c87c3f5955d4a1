"""How is a real pid 1 run as an ordinary process, between doors made of real unix sockets?"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.singleuser import inside

INSIDE = Path(inside.__file__).parent
PR_SET_CHILD_SUBREAPER = 36
SECRET = "canary-token-5f1c"
DEADLINE = 30.0  # seconds, for a busy machine; every wait ends as soon as it can


def eventually(ready: Callable[[], Any], what: str) -> Any:
    """The first true answer of `ready`; fails with `what` at the deadline."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        answer = ready()
        if answer:
            return answer
        time.sleep(0.01)  # other processes' sockets and /proc give no event
    raise AssertionError(f"not within {DEADLINE} s: {what}")


def connect(port: int) -> socket.socket:
    """A connection to a loopback port, as soon as something listens there."""

    def attempt() -> socket.socket | None:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        return None

    connection: socket.socket = eventually(attempt, f"port {port} answers")
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


class DoorsOfAGateway:
    """A directory with the doors a gateway would own; each accepted connection waits in a queue."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="doors", dir="/tmp"))
        self._listeners: dict[str, socket.socket] = {}
        self._accepted: dict[str, queue.Queue[socket.socket]] = {}
        self._kept: list[socket.socket] = []
        self._acceptors: dict[str, threading.Thread] = {}

    def open(self, name: str) -> None:
        """Bind a door, replacing the one that was there, as a restarted gateway does."""
        self.shut(name)
        path = self.directory / f"{name}.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1024)
        self._listeners[name] = listener
        waiting = self._accepted[name] = queue.Queue()
        acceptor = threading.Thread(target=self._accept, args=(listener, waiting), daemon=True)
        self._acceptors[name] = acceptor
        acceptor.start()

    def _accept(self, listener: socket.socket, waiting: queue.Queue[socket.socket]) -> None:
        with contextlib.suppress(OSError):  # the listener is shut
            while True:
                connection = listener.accept()[0]
                connection.settimeout(DEADLINE)
                self._kept.append(connection)
                waiting.put(connection)

    def shut(self, name: str) -> None:
        """Stop listening; the socket file stays behind, as after kill -9."""
        listener = self._listeners.pop(name, None)
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            self._acceptors.pop(name).join()
            listener.close()

    def taken(self, name: str, within: float = DEADLINE) -> socket.socket:
        """The next connection that came through this door."""
        return self._accepted[name].get(timeout=within)

    def nobody_came(self, name: str) -> bool:
        """Is no connection waiting at this door?"""
        return self._accepted[name].empty()

    def echo_at(self, name: str) -> None:
        """Send back what comes through this door, and close when the other side has finished."""

        def serve() -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    threading.Thread(target=_echo, args=(self.taken(name),), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()

    def hand_out(self, document: bytes) -> None:
        """Give the boot document to the first reader, and nothing to a second one."""

        def serve() -> None:
            left = document
            with contextlib.suppress(queue.Empty):
                while True:
                    with self.taken("boot") as reader:
                        reader.sendall(left)
                        left = b""

        threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        """Close everything and remove the directory."""
        for name in list(self._listeners):
            self.shut(name)
        for connection in self._kept:
            connection.close()
        shutil.rmtree(self.directory)


def _echo(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while chunk := connection.recv(1 << 18):
            connection.sendall(chunk)


class Sandbox:
    """One pid 1 and its doors. `relay_port` leads to the egress door, `server_port` is the server's."""

    def __init__(self) -> None:
        self.doors = DoorsOfAGateway()
        for name in ("boot", "egress", "ingress"):
            self.doors.open(name)
        self._reserved: list[socket.socket] = []
        self.relay_port = self.reserve_port()
        self.server_port = self.reserve_port()
        self.process: subprocess.Popen[str] | None = None

    def reserve_port(self) -> int:
        """A loopback port for one of the sandbox's listeners: bound and never listened on, so nobody else
        gets it, while one that sets SO_REUSEADDR (as servers do) still can.
        """
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        self._reserved.append(holder)
        return int(holder.getsockname()[1])

    def document(self, argv: list[str], **changes: Any) -> dict[str, Any]:
        """A valid boot document that runs `argv`."""
        return {
            "version": 1,
            "environment": {"PATH": os.defpath, "JUPYTERHUB_API_TOKEN": SECRET},
            "argv": argv,
            "working_directory": str(self.doors.directory),
            "relay": [{"listen": self.relay_port, "door": "egress"}],
            "ingress": {"port": self.server_port, "idle_connections": 2},
            "expires_at": "2099-01-01T00:00:00+00:00",
            **changes,
        }

    def run_python(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        """Boot with a server that is a few lines of Python."""
        return self.boot(self.document([sys.executable, "-c", code, *arguments]))

    def boot(self, document: dict[str, Any] | bytes, python: str = sys.executable) -> subprocess.Popen[str]:
        """Start pid 1 and hand it the document."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.doors.hand_out(raw)
        return self.start(python)

    def start(self, python: str = sys.executable) -> subprocess.Popen[str]:
        """Start pid 1 as the launcher does: isolated, without site, with nothing but PATH."""
        self.process = subprocess.Popen(
            [python, "-I", "-S", "-B", str(INSIDE), "--doors", str(self.doors.directory)],
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_adopt_orphans,  # noqa: PLW1509 - one prctl between fork and exec
        )
        return self.process

    def end(self) -> tuple[int, str, str]:
        """Wait for pid 1; its exit status, standard output and standard error."""
        assert self.process is not None
        output, errors = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, output, errors

    def children(self) -> list[int]:
        """The processes below pid 1, zombies included."""
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def close(self) -> None:
        """End what still runs: kernels (sessions of their own) below pid 1, then pid 1's own session."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGSTOP)  # it goes on collecting orphans, and does not end
                eventually(lambda: not _kill_below(self.process.pid), "nothing runs below pid 1")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
        for holder in self._reserved:
            holder.close()
        self.doors.close()


def _kill_below(process: int) -> list[int]:
    """Kill every process below this one; which ones still ran."""
    running: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
        for word in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            running += _kill_below(int(word))
            if Path(f"/proc/{word}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                os.kill(int(word), signal.SIGKILL)
                running.append(int(word))
    return running


def _adopt_orphans() -> None:
    # In its namespace pid 1 gets every orphan; outside one a process must ask for them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextlib.contextmanager
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that leaves nothing behind."""
    place = Sandbox()
    try:
        yield place
    finally:
        place.close()
