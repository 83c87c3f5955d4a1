"""How does one see that a person goes on working through a crash? A cell that ticks, a page, a socket.

Law: nobody logs in here; a page that asks for a login does not work.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from .kernel import Kernel
from .visitor import Refusal

__all__ = ["LongCell", "Ticks", "insist", "page_answers", "until_page_answers"]

T = TypeVar("T")
_PATIENCE = 90.0
_PAUSE = 0.05  # seconds; a page that does not answer announces nothing
_TROUBLE = (Refusal, aiohttp.ClientError, ConnectionError, asyncio.TimeoutError)


@dataclass(frozen=True)
class Ticks:
    """What a long cell says when it is done: how often it ticked, for how long, its longest pause."""

    ticks: int
    seconds: float
    pause: float


class LongCell:
    """A cell that ticks ten times a second until a file tells it to end; then it writes what it saw."""

    def __init__(self, kernel: Kernel, name: str = "ticks") -> None:
        self._kernel = kernel
        self._name = name

    async def start(self) -> None:
        """Send the cell; returns when it ticks."""
        await self._kernel.submit(_CELL.replace("NAME", self._name))
        await insist(lambda: self._read(f"{self._name}.began"))

    async def finish(self) -> Ticks:
        """Let it end, and read what it wrote."""
        body = {"type": "file", "format": "text", "content": "enough"}
        await insist(lambda: self._call("PUT", f"{self._name}.enough", body))
        found = json.loads((await insist(lambda: self._read(f"{self._name}.json")))["content"])
        return Ticks(found["ticks"], round(found["seconds"], 1), round(found["pause"], 2))

    async def _read(self, name: str) -> Any:
        return await self._call("GET", name)

    async def _call(self, method: str, name: str, body: Any = None) -> Any:
        kernel = self._kernel
        url = kernel.visitor.server(f"api/contents/{name}", kernel.owner, kernel.server)
        return await kernel.visitor.call(method, url, body)


# The file appears in one step, so that nobody reads half of it.
_CELL = """
import json, os, time
home = os.path.expanduser("~/")
for old in ("NAME.enough", "NAME.json", "NAME.began"):
    if os.path.exists(home + old):
        os.unlink(home + old)
open(home + "NAME.began", "w").close()
begin = last = time.monotonic()
ticks, pause = 0, 0.0
while not os.path.exists(home + "NAME.enough"):
    time.sleep(0.1)
    now = time.monotonic()
    ticks, pause, last = ticks + 1, max(pause, now - last), now
with open(home + "NAME.new", "w") as stream:
    json.dump({"ticks": ticks, "seconds": last - begin, "pause": pause}, stream)
os.rename(home + "NAME.new", home + "NAME.json")
"""


async def page_answers(kernel: Kernel) -> bool:
    """Do JupyterLab, the hub's home page and the kernel's WebSocket answer this browser as it is?"""
    visitor = kernel.visitor
    try:
        lab = await visitor.open(visitor.server("lab", kernel.owner, kernel.server))
        home = await visitor.open(visitor.hub("home"))
        if not _is(lab.path, lab.status, visitor.server("lab", kernel.owner, kernel.server).path):
            return False
        if not _is(home.path, home.status, visitor.hub("home").path):
            return False
        await kernel.reconnect()
    except _TROUBLE:
        return False
    return True


async def until_page_answers(kernel: Kernel) -> float:
    """Seconds until the page works again. Raises TimeoutError."""
    start = time.monotonic()
    while not await page_answers(kernel):
        if time.monotonic() - start > _PATIENCE:
            raise TimeoutError(f"the page of {kernel.visitor.name} did not work within {_PATIENCE:.0f} s")
        await asyncio.sleep(_PAUSE)
    return round(time.monotonic() - start, 2)


async def insist(call: Callable[[], Awaitable[T]], patience: float = _PATIENCE) -> T:
    """Ask again while it is refused or nobody answers. Raises the last error after `patience` seconds."""
    start = time.monotonic()
    while True:
        try:
            return await call()
        except _TROUBLE:
            if time.monotonic() - start > patience:
                raise
        await asyncio.sleep(_PAUSE)


def _is(path: str, status: int, wanted: str) -> bool:
    return status == 200 and path.startswith(wanted)
