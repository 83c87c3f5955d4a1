"""What does a person see whose notebook talks all the time? Ticks of one server, and pauses between them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field

__all__ = ["PORT", "SERVER", "Session"]

PORT = 8888
# One word for the life of the server, so that another one in its place is noticed.
SERVER = """
import os, socket, sys, threading, time
word = os.urandom(6).hex()
head = b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\nContent-Type: text/plain\\r\\n\\r\\n"
began = time.monotonic()
def talk(connection):
    with connection:
        asked = b""
        while b"\\r\\n\\r\\n" not in asked:
            more = connection.recv(4096)
            if not more:
                return
            asked += more
        connection.sendall(head)
        try:
            while True:
                line = f"tick {word} {time.monotonic() - began:.1f}\\n".encode()
                connection.sendall(b"%x\\r\\n%s\\r\\n" % (len(line), line))
                time.sleep(0.5)
        except OSError:
            pass
with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64) as door:
    print("serving", flush=True)
    while True:
        threading.Thread(target=talk, args=(door.accept()[0],), daemon=True).start()
"""
_TICK = re.compile(rb"tick (\S+) ")
_AGAIN = 0.2  # seconds between a page's tries to come back


@dataclass
class Session:
    """Somebody's open page. `words` are the servers that it has met, `cuts` how often it was cut."""

    host: str
    port: int
    path: str
    words: set[str] = field(default_factory=set)
    cuts: int = 0
    ticks: int = 0
    longest: float = 0.0
    _last: float = 0.0
    _task: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self) -> None:
        """Connect, and connect again whenever it is cut, as a page does."""
        self._last = time.monotonic()
        self._task = asyncio.create_task(self._stay())

    async def close(self) -> None:
        """The page is closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def begin(self) -> None:
        """From here on cuts and pauses are counted anew."""
        self.cuts, self.longest, self._last = 0, 0.0, time.monotonic()

    @property
    def pause(self) -> float:
        """The longest time without a tick since `begin`, the present one included."""
        return max(self.longest, time.monotonic() - self._last)

    async def next(self, seconds: float) -> None:
        """Until it ticks again."""
        self._news.clear()
        await asyncio.wait_for(self._news.wait(), seconds)

    async def _stay(self) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ConnectionError):
                await self._listen()
            self.cuts += 1
            await asyncio.sleep(_AGAIN)

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(f"GET {self.path}ticks HTTP/1.1\r\nHost: hub.test\r\n\r\n".encode())
            while line := await reader.readline():
                if found := _TICK.match(line):
                    self._heard(found[1].decode())
        finally:
            writer.transport.abort()

    def _heard(self, word: str) -> None:
        now = time.monotonic()
        self.longest, self._last = max(self.longest, now - self._last), now
        self.words.add(word)
        self.ticks += 1
        self._news.set()
