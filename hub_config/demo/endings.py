"""What does a person see of crashes and ends? Work goes on through every crash; every end has its reason.

Law: a program is killed from outside, by its process; what is proved is what a browser or a notebook shows.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

from . import cells
from .kernel import Kernel
from .pages import read_endings
from .programs import Programs
from .running import DemoError, RunningSite
from .visitor import Visitor
from .working import LongCell, insist, until_page_answers

__all__ = ["Crashes", "Minute", "ending"]

_TTL = 60.0
_POLL = 0.2  # seconds; the hub's pages poll as well
_DEATH_WITHIN = 40.0


class Crashes:
    """Alice's cell ticks while one program after the other is killed."""

    def __init__(self, running: RunningSite, kernel: Kernel) -> None:
        self._programs = Programs(running.log_file)
        self._kernel = kernel
        self._cell = LongCell(kernel)

    async def begin(self) -> str:
        """Start the long cell."""
        await self._cell.start()
        return "it ticks ten times a second"

    async def kill(self, name: str) -> str:
        """Kill a program; the page must work again as it is, without a login."""
        crash = await self._programs.kill([name])
        page = await until_page_answers(self._kernel)
        return f"{name} answers after {crash.slowest:.2f} s, the page {page:.2f} s later"

    async def end(self) -> str:
        """Let the cell end; it must have ticked all the time."""
        ticks = await self._cell.finish()
        if ticks.pause > 5:
            raise DemoError(f"the cell stood still for {ticks.pause} s")
        return f"{ticks.ticks} ticks in {ticks.seconds} s, longest pause {ticks.pause} s"

    async def server_dies(self) -> str:
        """Kill the server's own process from inside; the hub's page must say that it did not end well."""
        visitor = self._kernel.visitor
        await self._kernel.submit(cells.KILL_SERVER)
        why = await ending(visitor, _DEATH_WITHIN)
        if "137" not in why and "SIGKILL" not in why and "ended" not in why:
            raise DemoError(f"the home page says {why!r}")
        return why


class Minute:
    """Bob's server of the one-minute profile, from its start to the reason in the next one."""

    def __init__(self, visitor: Visitor, started: asyncio.Task[object]) -> None:
        self._visitor = visitor
        self._started = started
        self._began = time.monotonic()

    @classmethod
    def begin(cls, visitor: Visitor) -> Minute:
        """Start it and do not wait."""
        return cls(visitor, asyncio.create_task(visitor.start("one-minute")))

    async def started(self) -> str:
        """Wait until it runs; the home page says how long."""
        await self._started
        page = await self._visitor.open(self._visitor.hub("home"))
        state = read_endings(page.text).get("Default server", "")
        if "left" not in state:
            raise DemoError(f"the home page says {state!r}")
        return state

    async def culled(self) -> str:
        """Wait for its end; the reason must stand on the hub's page."""
        why = await ending(self._visitor, _TTL + 30)
        if "time was up" not in why:
            raise DemoError(f"the home page says {why!r}")
        return f"{why} ({time.monotonic() - self._began:.0f} s after it was asked for)"

    async def told(self) -> str:
        """Start again; the new server must know why the last one ended."""
        await self._visitor.start("cpu-small")
        await self._visitor.open(self._visitor.server("lab"))
        async with Kernel(self._visitor) as kernel:
            asked = await kernel.execute(cells.LAST)
            shown = await kernel.execute("%sandbox status")
        if not asked.ok or not shown.ok:
            raise DemoError(f"{asked}\n{shown}")
        last: Mapping[str, str] = json.loads(asked.stdout.strip().splitlines()[-1])
        said = [line for line in str(shown).splitlines() if "time was up" in line]
        if last["code"] != "stop.ttl" or not said:
            raise DemoError(f"self says {last}, %sandbox status says {shown}")
        await self._visitor.stop()
        return f"{last['code']}; {said[0].strip()}"


async def ending(visitor: Visitor, within: float, server: str = "") -> str:
    """Wait until the hub's home page says that the server stopped, and why. Raises DemoError."""
    name, deadline = server or "Default server", time.monotonic() + within
    while time.monotonic() < deadline:
        page = await insist(lambda: visitor.open(visitor.hub("home")))
        state = read_endings(page.text).get(name, "")
        if state.startswith("Stopped"):
            return state
        await asyncio.sleep(_POLL)
    raise DemoError(f"the home page says {state!r} after {within:.0f} s")
