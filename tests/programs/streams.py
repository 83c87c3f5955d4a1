"""How do tests speak over a socket, so that it is closed whatever happens?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["connected", "raw_request", "serving", "shut"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def shut(writer: asyncio.StreamWriter) -> None:
    """Close a stream and see its end, however it ended."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(path: str) -> AsyncIterator[Streams]:
    """A connection to a unix socket, closed whatever happens in the block."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        await shut(writer)


@contextlib.asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server on a loopback port that gives each connection to `serve` and then closes it."""
    running: set[asyncio.Task[None]] = set()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return  # the peer left
        finally:
            running.discard(task)
            await shut(writer)

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


async def raw_request(port: int, data: bytes, seconds: float = 10) -> bytes:
    """Send bytes to a loopback port and read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), seconds)
    finally:
        await shut(writer)
