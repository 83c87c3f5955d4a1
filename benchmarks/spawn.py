"""How long does a person wait? From the click on "Start" to the page, and to the first cell that is done."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from hub_config.demo.kernel import Kernel
from hub_config.demo.running import running_site
from hub_config.demo.visitor import Visitor

from .figures import Goal, Measure
from .house import scratch
from .peer_hub import open_peer_hub
from .row import BenchmarkError, Row, Take

__all__ = ["PROFILE", "ROWS", "one_start"]

_OURS, _PEER = "sandbox-local", "LocalProcessSpawner"
PROFILE = "cpu-small"
_READY = Measure("click to ready", "s", Goal("at most", 0.6))
_CELL = Measure("click to first cell done", "s", Goal("at most", 0.6))


async def one_start(visitor: Visitor) -> tuple[float, float]:
    """Post the form, wait as the page does, open JupyterLab, run a cell; then stop, which is not timed.

    Seconds until the page has come, and until the cell is done. Raises BenchmarkError.
    """
    start = time.perf_counter()
    await visitor.start(PROFILE)
    page = await visitor.open(visitor.server("lab"))
    ready = time.perf_counter() - start
    if page.status != 200 or not page.path.startswith(visitor.server("").path):
        raise BenchmarkError(f"The page was answered with {page.status} at {page.url}.")
    async with Kernel(visitor):  # it has run a cell when the block begins
        cell = time.perf_counter() - start
    await visitor.stop()
    return ready, cell


@asynccontextmanager
async def _opened() -> AsyncIterator[Take]:
    async with (
        scratch() as directory,
        open_peer_hub(directory, "alice") as peer,
        running_site() as site,
        site.visitor("alice") as ours,
    ):
        await ours.login()
        people = {_OURS: ours, _PEER: peer}

        async def take(contestant: str) -> Mapping[str, float]:
            return dict(zip((_READY.name, _CELL.name), await one_start(people[contestant]), strict=True))

        yield take


ROWS = (
    Row(
        "spawn",
        "a server's start at the hub: form sent to page shown, and to the first cell done",
        (_OURS, _PEER),
        (_READY, _CELL),
        _opened,
    ),
)
