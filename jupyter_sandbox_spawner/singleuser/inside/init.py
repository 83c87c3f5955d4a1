"""What does pid 1 do? Boots, forks the server, relays, reaps, forwards signals, ends as the server ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys

from .boot import BootFailedError, Document, read_document
from .farewell import FAREWELL_LIMIT, start_hook
from .hook import hook_environment
from .ingress import Ingress
from .loop import Loop
from .pipes import Pipes
from .relay import RelayPort, listen_on

__all__ = ["EXIT_PORT_TAKEN", "main"]

EXIT_PORT_TAKEN = 93

DOORS = "/run/sandbox/doors"
FORWARDED = (signal.SIGTERM, signal.SIGINT)
REAPED_A_ROUND = 256  # a fork bomb must not keep the relay from its turn


def main(arguments: list[str]) -> int:
    """Run a sandbox to its end; returns the server's exit status, or 90 to 93 where it never started.

    `--doors DIR` names another directory of doors; it is there for tests.
    """
    doors = arguments[1] if arguments[:1] == ["--doors"] and len(arguments) == 2 else DOORS
    for number in FORWARDED:  # the kernel drops signals that pid 1 has no handler for
        signal.signal(number, _end_before_boot)
    try:
        document = read_document(os.path.join(doors, "boot.sock"))
        listeners = _listen(document)
    except BootFailedError as error:
        print(error, file=sys.stderr)
        return error.status
    handled = {*FORWARDED, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    server = os.fork()
    if server == 0:
        for listener, _door in listeners:
            listener.close()
        _restore_signals(handled)
        # Imported here: pid 1 stays small, and the parent never needs it.
        from .server import run

        return run(document)
    init = _Init(server, handled, hook_environment(document.environment))
    _relay(init.loop, doors, listeners, document)
    del document  # identity is the server's; pid 1 keeps none
    return init.run()


def _end_before_boot(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _restore_signals(handled: set[signal.Signals]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)


def _listen(document: Document) -> list[tuple[socket.socket, str]]:
    listeners = []
    for port, door in document.relay:
        try:
            listeners.append((listen_on(port), door))
        except OSError as error:
            raise BootFailedError(
                EXIT_PORT_TAKEN, f"The relay cannot listen on port {port} for {door}: {error.strerror}."
            ) from error
    return listeners


def _relay(loop: Loop, doors: str, listeners: list[tuple[socket.socket, str]], document: Document) -> None:
    pipes = Pipes()
    for listener, door in listeners:
        RelayPort(loop, pipes, listener, os.path.join(doors, f"{door}.sock"))
    ingress = Ingress(loop, pipes, os.path.join(doors, "ingress.sock"), document.ingress_port)
    ingress.start(document.idle_connections)


class _Init:
    """The parent's half: one loop, the server's process id, and its status once it has ended.

    SIGTERM reaches the server after the user's hook has run, or at once where it comes a second time.
    """

    def __init__(self, server: int, handled: set[signal.Signals], hooked: dict[str, str]) -> None:
        self.loop = Loop()
        self._server = server
        self._hooked, self._handled = hooked, handled
        self._hook: int | None = None  # 0: it is over
        self._status: int | None = None
        self._wakeup, writer = socket.socketpair()
        self._writer = writer
        for end in (self._wakeup, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in handled:
            signal.signal(number, _only_wake)
        self.loop.watch(self._wakeup, select.EPOLLIN, self._on_signals)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)

    def run(self) -> int:
        """Serve until the server has ended; whatever else still runs dies with this pid namespace."""
        self.loop.run()
        status = self._status or 0
        return 128 - status if status < 0 else status

    def _on_signals(self, _events: int) -> None:
        for number in self._wakeup.recv(4096):
            if number in FORWARDED and self._status is None:
                self._end(number)
        self._reap()

    def _end(self, number: int) -> None:
        if number == signal.SIGTERM and self._hook is None:
            self._hook = start_hook(self._hooked, self._handled)
            if self._hook:
                self.loop.later(FAREWELL_LIMIT, lambda: self._cut_short(signal.SIGTERM))
                return
        self._cut_short(number, wanted=True)

    def _cut_short(self, number: int, wanted: bool = False) -> None:
        """The hook has had its time, or somebody `wanted` the end now."""
        process, self._hook = self._hook, 0
        if process:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # not yet a group, or over
                os.kill(process, signal.SIGKILL)
                os.killpg(process, signal.SIGKILL)
        if process or wanted:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if self._status is None:
            os.kill(self._server, number)

    def _reap(self) -> None:
        for _ in range(REAPED_A_ROUND):
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if process == self._hook:
                self._hook = 0
                self._pass_on(signal.SIGTERM)
            if process == self._server:
                self._status = os.waitstatus_to_exitcode(status)
                self.loop.stop()
        self.loop.later(0, self._reap)


def _only_wake(_number: int, _frame: object) -> None:
    """The loop hears of the signal through its wake-up socket."""
