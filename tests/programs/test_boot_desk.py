"""Does the desk of the boot document serve the next reader when one has left, on either event loop?"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from unittest.mock import AsyncMock

import pytest
import uvloop

from jupyter_sandbox_spawner.gateway.boot import BootDesk
from tests.programs.gateway_house import boot_document

NewLoop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_reader_that_left_at_once_does_not_occupy_the_desk(new_loop: NewLoop) -> None:
    """A connection that is closed before it is served ends, and the next reader gets the document."""

    async def play() -> bytes:
        desk = BootDesk(False, AsyncMock(), lambda kind, detail: None)
        gone, left = socket.socketpair()
        left.close()
        gone.setblocking(False)
        await asyncio.wait_for(desk.handle(gone), 10)
        desk.offer(boot_document())
        inside, reader = socket.socketpair()
        inside.setblocking(False)
        reader.setblocking(False)
        served = asyncio.ensure_future(desk.handle(inside))
        with reader:
            raw = await asyncio.get_running_loop().sock_recv(reader, 1 << 16)
        await served
        return raw

    loop = new_loop()
    try:
        assert json.loads(loop.run_until_complete(play()))["version"] == 1
    finally:
        loop.close()
