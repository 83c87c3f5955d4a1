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

from ..errors import RefusedError, SandboxError
from ..rules.certificates import Trouble
from ..serving import peer_credentials
from .counts import Counts
from .dial import FRAMED, AwayError, Far, SilentError, ask, dial
from .frames import FramedEnd
from .heads import answer
from .kept import Kept
from .replicas import Replicas
from .stream import PlainEnd, TlsEnd, join
from .tls import TlsFiles, peer_program

__all__ = ["Outward"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_RETRY = 0.1  # seconds without accepting after descriptors ran out
_AT_ONCE = 64  # handshakes; the other side takes only so many who have not said who they are
_Reached = tuple[Far, TlsEnd, bool]  # the machine, the connection, and whether it carries frames
_MOST = 1024  # connections at a time; further ones wait in the backlog


class Outward:
    """One socket of another program, served here for the uid of our own."""

    def __init__(self, name: str, owner: str, far: Far, files: TlsFiles, counts: Counts) -> None:
        self._name, self._owner, self._far = name, owner, far
        self._files, self._counts = files, counts
        self._replicas, self._kept = Replicas(far), Kept()
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
            self._kept.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _serve(self, connection: socket.socket) -> None:
        self._counts.begin("out")
        try:
            uid = peer_credentials(connection)[1]
            if uid in (0, os.geteuid()):
                await self._carry(PlainEnd(connection))
            else:
                await self._turn_away(PlainEnd(connection), uid)
        except (OSError, SandboxError) as error:
            trouble = self._files.explain(error, self._owner)
            self._say(error, trouble)
            if trouble is not None:  # what waits will not help, so that whoever called is told why
                await answer(PlainEnd(connection), 503, trouble.for_user())
        except Exception:
            if self._counts.is_time(("failed", self._name)):
                log.exception("A connection to %s failed.", self._name)
        finally:
            connection.close()
            self._counts.end("out")

    async def _carry(self, near: PlainEnd) -> None:
        async with self._turns:
            far, end, framed = await self._reach()
        use = FramedEnd(end)
        try:
            await join(near, use if framed else end)
        finally:
            if use.is_whole:
                self._kept.put(far, end)
            else:
                self._kept.drop(end)

    async def _turn_away(self, near: PlainEnd, uid: int) -> None:
        error = RefusedError(
            f"The uid {uid} may not use this wire.",
            code="caller.not_allowed",
            remedy=f"It is for the uid {os.geteuid()} of the program beside it: give both one uid.",
        )
        self._counts.say(("uid", self._name, str(uid)), "%s: %s", self._name, error)
        await answer(near, error.status, error)

    async def _reach(self) -> _Reached:
        """From the first machine that has the socket, where remembered ones lack it after another look-up."""
        of_before = self._replicas.are_of_before
        try:
            return await self._reach_one()
        except OSError:
            self._replicas.look_again()
            if not of_before:
                raise
        return await self._reach_one()

    async def _reach_one(self) -> _Reached:
        failed: OSError = AwayError(f"{self._far.host} has no address")
        for far in await self._replicas.machines():
            try:
                end, framed = await self._reach_at(far)
            except OSError as error:
                failed = error
                continue
            self._replicas.remember(far)
            return far, end, framed
        raise failed

    async def _reach_at(self, far: Far) -> tuple[TlsEnd, bool]:
        while (kept := self._kept.take(far)) is not None:
            try:
                return kept, await self._ask(kept, far, far.connect_time)
            except SilentError:  # its machine is gone or hangs: the others would cost as much each
                self._kept.forget(far)
            except OSError:  # it is gone: the next one, and at last a new one
                continue
        end = await dial(far)
        self._kept.new(end)
        return end, await self._ask(end, far, far.answer_time)

    async def _ask(self, end: TlsEnd, far: Far, seconds: float) -> bool:
        """Ask for the socket; does what follows come in frames?"""
        try:
            shown = peer_program(end.tls)
            if shown != self._owner:
                raise AwayError(f"{far.host} is the {shown}, not the {self._owner}")
            name = f"{self._name}.sandbox"
            head = f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}\r\n{FRAMED.decode()}\r\n\r\n"
            found = await ask(end, head.encode(), seconds)
            if found.status != 200:
                raise AwayError(f"{found.code}: {found.document.get('message', found.status)}")
        except BaseException:
            self._kept.drop(end)
            raise
        return found.framed

    def _say(self, error: Exception, trouble: Trouble | None) -> None:
        said: object = error if trouble is None else trouble.for_admin()
        key = ("out", self._name, type(error).__name__)
        self._counts.say(key, "The wire to %s does not lead there: %s", self._name, said)
