"""How are bytes read from and written to one end of a wire? Both ends alike: plain sockets and TLS.

Law: each way ends by itself. The end of one way of TLS is its close_notify; a connection that is cut without
one is an error, so that nobody takes a part for the whole. At most one chunk is held for each way.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from typing import Protocol

__all__ = ["CHUNK", "CutOffError", "End", "PlainEnd", "TlsEnd", "join", "keep_alive"]

CHUNK = 32 << 10  # bytes


class CutOffError(ConnectionResetError):
    """The other side went away without saying that it has ended."""


class End(Protocol):
    """Verbs: read, write, finish, close."""

    async def read(self) -> bytes:
        """What has come, or b"" once the other side sends nothing more."""

    async def write(self, data: bytes) -> None:
        """Send; returns when the kernel has taken it all."""

    async def finish(self) -> None:
        """Say that nothing more is sent; reading goes on."""

    def close(self) -> None:
        """Give up both ways."""


class PlainEnd:
    """A connected, non-blocking socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        return await self._loop.sock_recv(self.socket, CHUNK)

    async def write(self, data: bytes) -> None:
        """Send all."""
        await self._loop.sock_sendall(self.socket, data)

    async def finish(self) -> None:
        """Shut this way down."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # else it is gone both ways, and that is well
                raise

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class TlsEnd:
    """TLS 1.3 over a connected, non-blocking socket. `name` is the server's; None: this side serves.

    asyncio's own TLS closes both ways when one ends, so the state machine is driven here.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, name: str | None = None) -> None:
        self.socket, self.context = connection, context
        self._loop = asyncio.get_running_loop()
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._came, self._goes, server_side=name is None, server_hostname=name)
        self._sending = asyncio.Lock()
        self._plain: list[bytes] = []  # decrypted and not yet read
        self._ended = False

    async def shake_hands(self) -> None:
        """Complete the handshake; ssl.SSLError where the other side is not who it should be."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
            except ssl.SSLError:
                with contextlib.suppress(OSError):  # the alert tells the other side why, if it still listens
                    await self._flush()
                raise
            else:
                await self._flush()
                return

    async def read(self) -> bytes:
        """The next bytes, b"" after close_notify. Raises CutOffError where the connection ends without."""
        while not self._plain:
            self._decrypt()
            if self._goes.pending and not self._sending.locked():
                await self._flush()
            if not self._plain:
                if self._ended:
                    return b""
                await self._feed()
        data = b"".join(self._plain)
        self._plain.clear()
        return data

    async def wait(self) -> None:
        """Until something is there to read, or the end. Raises CutOffError as `read` does."""
        self.unread(await self.read())

    def is_of(self, context: ssl.SSLContext) -> bool:
        """Was this made with that context, and is it still open both ways?"""
        return self.context is context and not self._ended

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""
        if data:
            self._plain.insert(0, data)

    async def write(self, data: bytes) -> None:
        """Send all."""
        async with self._sending:
            view = memoryview(data)
            while view:
                view = view[self.tls.write(view) :]
            await self._send()

    async def finish(self) -> None:
        """Send close_notify."""
        async with self._sending:
            # OpenSSL throws away what it has not decrypted yet when it is asked to shut down.
            self._decrypt()
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.unwrap()
            await self._send()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    async def _feed(self) -> None:
        data = await self._loop.sock_recv(self.socket, CHUNK)
        if not data:
            raise CutOffError(errno.ECONNRESET, "the connection was cut")
        self._came.write(data)

    def _decrypt(self) -> None:
        try:
            while not self._ended:
                data = self.tls.read(CHUNK)
                self._ended = not data
                if data:
                    self._plain.append(data)
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self._ended = True

    async def _flush(self) -> None:
        async with self._sending:
            await self._send()

    async def _send(self) -> None:
        while self._goes.pending:
            await self._loop.sock_sendall(self.socket, self._goes.read())


async def join(first: End, second: End) -> None:
    """Carry both ways until both have ended, or cut both where one breaks; closes the two."""
    ways = [asyncio.ensure_future(_carry(first, second)), asyncio.ensure_future(_carry(second, first))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for way in ways:
            way.cancel()
        results = await asyncio.gather(*ways, return_exceptions=True)
        first.close()
        second.close()
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result  # a fault of ours; that a side went away is none


async def _carry(source: End, target: End) -> None:
    while data := await source.read():
        await target.write(data)
    await target.finish()


def keep_alive(connection: socket.socket) -> None:
    """Send at once, and notice within about a minute that an idle connection's other machine is gone.

    No TCP_USER_TIMEOUT: it also ends a connection whose peer is there and only does not read for a while.
    """
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
