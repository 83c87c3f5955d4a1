"""How do the programs stay alive? Circus starts them again at once and holds their listening sockets.

Law: a program inherits the sockets that its plan names and no others; no program outlives the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.sockets import CircusSocket
from circus.watcher import Watcher
from tornado.ioloop import IOLoop

from ..errors import ProgramError, SandboxError
from .accounts import as_account
from .program_log import ProgramLog
from .programs import HeldSocket, Program
from .starts import STARTS, Starts, ending

__all__ = ["Supervisor"]

_CHECK_DELAY = 0.2  # seconds until an ended program is seen
_PIPE_CHUNK = 4096  # bytes; sixteen of them are what a pipe of Linux holds
_START_TIME = 180.0  # seconds a program may need until it answers; a hub with 10 000 servers took 42


class Supervisor:
    """Start, watch and stop programs. `probe(name)` returns when the program answers; `report(name, text)`
    is called for each change. `ready` resolves once all answer, `failed` with the error of a program that
    failed for good.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        sockets: Sequence[HeldSocket],
        log_directory: Path,
        probe: Callable[[str], Awaitable[None]],
        report: Callable[[str, str], None],
    ) -> None:
        self._probe = probe
        self._report = report
        self._starts = {program.name: Starts() for program in programs}
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._running: set[str] = set()
        self._vital = {program.name for program in programs if program.vital}
        self._stopping: set[str] = set()
        self.logs = {program.name: ProgramLog(log_directory / f"{program.name}.log") for program in programs}
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.failed: asyncio.Future[ProgramError] = loop.create_future()
        self._sockets = {held.name: _circus_socket(held) for held in sockets}
        self._watchers = {program.name: self._watcher(program) for program in programs}
        # Circus wants two endpoints for its own commands; inside the process nobody else can reach them.
        # Their names are free again only a while after a supervisor has ended.
        own = f"inproc://jupyter-sandbox-{secrets.token_hex(4)}"
        logging.getLogger("circus").setLevel(logging.CRITICAL)
        self._arbiter = _Arbiter(
            list(self._watchers.values()),
            f"{own}-commands",
            f"{own}-events",
            check_delay=_CHECK_DELAY,
            sockets=list(self._sockets.values()),
            loop=IOLoop.current(),
            proc_name="jupyter-sandbox-admin",
        )

    async def start(self) -> None:
        """Bind the sockets and start every program once, in order."""
        await self._arbiter.start()

    async def stop(self, name: str) -> None:
        """End one program (SIGTERM, then SIGKILL after its grace) and do not start it again."""
        self._stopping.add(name)
        while True:
            try:
                await self._watchers[name].stop()
                break
            except ConflictError:  # circus is just looking at its processes; it does one thing at a time
                await asyncio.sleep(_CHECK_DELAY / 4)
        self._report(name, "stopped")

    async def close(self) -> None:
        """End what still runs, close and remove the sockets."""
        self._stopping.update(self._watchers)
        for task in self._probes.values():
            task.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)
        for name, watcher in self._watchers.items():
            if not watcher.is_stopped():
                await self.stop(name)
        self._arbiter.stop_controller_and_close_sockets()

    def _watcher(self, program: Program) -> Watcher:
        descriptors = {f"{{{name}}}": f"$(circus.sockets.{name})" for name in program.sockets}
        stream = {"stream": self.logs[program.name]}
        hooks = {
            "before_reap": partial(self._before_reap, program.name),
            "before_spawn": partial(self._before_spawn, program),
            "after_spawn": partial(self._after_spawn, program.name),
            "after_reap": partial(self._after_reap, program.name),
        }
        return Watcher(
            program.name,
            " ".join(as_account(program.account)),
            working_dir=program.directory,
            args=[descriptors.get(part, part) for part in program.argv],
            env=dict(program.environment),
            use_sockets=bool(program.sockets),
            graceful_timeout=program.grace,
            stdout_stream=stream,
            stderr_stream=stream,
            hooks={name: (hook, False) for name, hook in hooks.items()},
        )

    def _before_spawn(self, program: Program, **_: Any) -> bool:
        """Let the coming child inherit its own sockets only; no start for a hopeless program."""
        for name, held in self._sockets.items():
            held.set_inheritable(name in program.sockets)
        return not self._starts[program.name].hopeless

    def _after_spawn(self, name: str, pid: int, **_: Any) -> bool:
        if name in self._running:  # it ended between two looks of circus, which then tells nobody
            self._after_reap(name)
        self._running.add(name)
        self.logs[name].begin()
        self._starts[name].began()
        self._report(name, f"started, pid {pid}")
        if name in self._probes:
            self._probes[name].cancel()
        self._probes[name] = asyncio.get_running_loop().create_task(self._await_ready(name))
        return True

    def _before_reap(self, name: str, watcher: Watcher, process_pid: int, **_: Any) -> None:
        """Take its last words and let go of its pipes before circus closes them.

        Circus 0.19 closes them while the loop still watches their numbers; the next program that gets one of
        these numbers cannot be started ("fd added twice"). It takes several that end at the same moment.
        """
        process = watcher.processes[process_pid]
        for pipe in (process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                for chunk in _left_in(pipe.fileno()):
                    self.logs[name]({"data": chunk})
        if watcher.stream_redirector is not None:
            watcher.stream_redirector.remove_redirections(process)

    def _after_reap(self, name: str, exit_code: int | None = None, **_: Any) -> None:
        self._running.discard(name)
        if name in self._stopping:
            return
        starts = self._starts[name]
        starts.ended()
        self._report(name, ending(exit_code))
        if starts.hopeless:
            words = f"{name} was started {STARTS} times and {ending(exit_code)} before it answered."
            self._give_up(name, words, "failed_repeatedly")

    async def _await_ready(self, name: str) -> None:
        began = time.monotonic()
        try:
            await asyncio.wait_for(self._probe(name), _START_TIME)
        except asyncio.TimeoutError:
            self._give_up(name, f"{name} did not answer within {_START_TIME:.0f} s.", "not_ready")
            return
        except SandboxError as error:
            self._report(name, str(error))
        self._starts[name].became_ready()
        self._report(name, f"ready, {time.monotonic() - began:.2f} s")
        if all(self._starts[vital].ready for vital in self._vital) and not self.ready.done():
            self.ready.set_result(None)

    def _give_up(self, name: str, message: str, code: str) -> None:
        remedy = f"Its last lines are above, all of them in {self.logs[name].path}."
        if name not in self._vital:
            off = "It stays off. " if code == "failed_repeatedly" else ""
            self._report(name, f"{message} {off}{remedy}")
        elif not self.failed.done():
            self.failed.set_result(ProgramError(message, code=f"program.{code}", field=name, remedy=remedy))


class _Arbiter(Arbiter):  # type: ignore[misc]
    """Circus does one thing at a time; a look at the processes that meets a stop is left to the next one."""

    async def manage_watchers(self) -> None:
        with suppress(ConflictError):
            await super().manage_watchers()


class _HeldSocket(CircusSocket):  # type: ignore[misc]
    """A unix socket that one group may connect to; its group and mode are set before any program starts."""

    group: int | None = None

    def bind_and_listen(self) -> None:
        super().bind_and_listen()
        if self.group is not None:
            os.chown(self.path, -1, self.group)
            os.chmod(self.path, 0o660)


def _left_in(pipe: int) -> Iterator[bytes]:
    """What a program wrote before it ended, up to a pipe's capacity: a child of it may still be writing."""
    os.set_blocking(pipe, False)
    for _ in range(16):
        try:
            chunk = os.read(pipe, _PIPE_CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            return
        yield chunk


def _circus_socket(held: HeldSocket) -> CircusSocket:
    if held.path:
        bound = _HeldSocket(name=held.name, path=held.path, umask=0o177, replace=True, backlog=1024)
        bound.group = held.group
        return bound
    return CircusSocket(name=held.name, host="127.0.0.1", port=held.port, backlog=1024)
