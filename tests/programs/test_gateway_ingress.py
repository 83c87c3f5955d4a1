"""Does a request that waits get the connection that came for it, whichever of the two was first?"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from jupyter_sandbox_spawner.gateway.ingress import HoldTimes, IngressPool


@contextlib.asynccontextmanager
async def connected(pool: IngressPool) -> AsyncIterator[socket.socket]:
    """The sandbox's end of one connection that the pool serves."""
    near, far = socket.socketpair()
    near.setblocking(False)
    serving = asyncio.create_task(pool.handle(near))
    try:
        yield far
    finally:
        far.close()
        await serving


async def test_a_connection_that_came_first_is_taken() -> None:
    """A connection that turned idle between a request's look and its wait does not stay idle."""
    pool = IngressPool(False, HoldTimes(starting=5, silent=5, busy=5), lambda: None)
    async with connected(pool):
        await asyncio.wait_for(pool.first.wait(), 5)
        taken = await asyncio.wait_for(pool.acquire(), 1)
        assert taken is not None
        taken.abort()


async def test_waiting_requests_are_served_in_their_order() -> None:
    """Two requests that wait get one connection each, the first one first."""
    pool = IngressPool(False, HoldTimes(starting=5, silent=5, busy=5), lambda: None)
    first, second = (asyncio.create_task(pool.acquire()) for _ in range(2))
    async with connected(pool):
        assert await asyncio.wait_for(first, 5) is not None
        assert not second.done()
        async with connected(pool):
            assert await asyncio.wait_for(second, 5) not in (None, first.result())
            for task in (first, second):
                if stream := task.result():
                    stream.abort()
