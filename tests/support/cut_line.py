"""What does a client of PostgreSQL meet when the line is cut, or when nobody answers any more?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["CutLine", "cut_line"]


@dataclass
class CutLine:
    """A relay. `cut_after`: a request with these bytes arrives, its answer never. `silent`: neither."""

    port: int
    listening: int = 0
    cut_after: bytes = b""
    silent: bool = False
    cuts: int = 0
    handlers: set[asyncio.Task[None]] = field(default_factory=set)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        me = asyncio.current_task()
        if me is not None:
            self.handlers.add(me)
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        ways = (self._requests(reader, back, writer), self._answers(there, writer))
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in (back, writer):
                stream.close()
                with suppress(ConnectionError):
                    await stream.wait_closed()

    async def _requests(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(1 << 16):
            if self.silent:
                continue
            back.write(data)
            await back.drain()
            if self.cut_after and self.cut_after in data:
                self.cut_after = b""
                self.cuts += 1
                client.transport.abort()
                # The server gets the time to do what it was asked.
                back.write_eof()
                await asyncio.sleep(0.3)
                return

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(1 << 16):
            if not self.silent:
                with suppress(ConnectionError):
                    writer.write(data)
                    await writer.drain()


@asynccontextmanager
async def cut_line(port: int) -> AsyncIterator[CutLine]:
    """A relay to this port of the loopback."""
    line = CutLine(port)
    server = await asyncio.start_server(line.relay, "127.0.0.1", 0)
    line.listening = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        for task in line.handlers:
            task.cancel()
        await asyncio.gather(*line.handlers, return_exceptions=True)
