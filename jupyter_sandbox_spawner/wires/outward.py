"""How does this program reach one on another machine? By a unix socket here that leads there.

Law: a wire to a program that is away answers as a socket without a listener does: it is closed at once, so
that whoever called says that the program is unreachable, and tries again. Where a certificate is the reason
it says so, in the sentence for users.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket

from ..errors import SandboxError
from ..rules.certificates import Trouble
from ..serving import peer_credentials
from .counts import Counts
from .dial import AwayError, Far, ask, dial
from .heads import answer
from .stream import PlainEnd, TlsEnd, join
from .tls import TlsFiles, peer_program

__all__ = ["Outward"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_RETRY = 0.1  # seconds without accepting after descriptors ran out
_AT_ONCE = 64  # handshakes; the other side takes only so many who have not said who they are
_MOST = 1024  # connections at a time; further ones wait in the backlog


class Outward:
    """One socket of another program, served here for the uid of our own."""

    def __init__(self, name: str, owner: str, far: Far, files: TlsFiles, counts: Counts) -> None:
        self._name, self._owner, self._far = name, owner, far
        self._files, self._counts = files, counts
        self._room, self._turns = asyncio.Semaphore(_MOST), asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Carry connections until cancelled; ends them then."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._room.acquire()
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError as error:
                    self._room.release()
                    self._counts.say(("accept", self._name), "Connections wait: %s.", error.strerror)
                    await asyncio.sleep(_RETRY)
                    continue
                task = asyncio.ensure_future(self._serve(connection))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _serve(self, connection: socket.socket) -> None:
        self._counts.begin("out")
        try:
            if peer_credentials(connection)[1] in (0, os.geteuid()):
                async with self._turns:
                    end = await self._reach()
                await join(PlainEnd(connection), end)
        except (OSError, SandboxError) as error:
            trouble = self._files.explain(error, self._owner)
            self._say(error, trouble)
            if trouble is not None:  # what waits will not help, so that whoever called is told why
                await answer(PlainEnd(connection), 503, trouble.for_user())
        except Exception:
            log.exception("A connection to %s failed.", self._name)
        finally:
            connection.close()
            self._counts.end("out")

    async def _reach(self) -> TlsEnd:
        end = await dial(self._far)
        try:
            shown = peer_program(end.tls)
            if shown != self._owner:
                raise AwayError(f"{self._far.host} is the {shown}, not the {self._owner}")
            head = f"CONNECT {self._name}.sandbox:443 HTTP/1.1\r\nHost: {self._name}.sandbox\r\n\r\n"
            found = await ask(end, head.encode(), self._far.answer_time)
            if found.status != 200:
                raise AwayError(f"{found.code}: {found.document.get('message', found.status)}")
        except BaseException:
            end.close()
            raise
        return end

    def _say(self, error: Exception, trouble: Trouble | None) -> None:
        said: object = error if trouble is None else trouble.for_admin()
        key = ("out", self._name, type(error).__name__)
        self._counts.say(key, "The wire to %s does not lead there: %s", self._name, said)
