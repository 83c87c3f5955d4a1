"""What does the way in cost a request? The same small server behind front and relay, and on TCP."""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from . import probe
from .figures import Goal, Measure
from .house import PREFIX, open_house, scratch
from .machine import LOOPBACK, free_port, program, until_it_listens
from .row import BenchmarkError, Row, Take

__all__ = ["ROWS"]

_OURS, _BARE = "front + relay", "bare TCP"
_REQUESTS = 200
_DOOR_RATE = 400.0  # connections a second that the ingress door takes on average; a limit, not a speed
_MEASURE = Measure("one small GET, connection kept", "ms", Goal("at most", 0.5), compare="difference")


def _get_many(port: int) -> float:
    """Median milliseconds of one GET on one kept connection."""
    request = f"GET {PREFIX}ping HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\n\r\n".encode()
    found = []
    with socket.create_connection((LOOPBACK, port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(_REQUESTS):
            start = time.perf_counter()
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b"pong\n"):
                chunk = connection.recv(4096)
                if not chunk or answer[:12] not in (b"", b"HTTP/1.1 200"):
                    raise BenchmarkError(f"port {port} answered {answer + chunk!r}")
                answer += chunk
            found.append(time.perf_counter() - start)
    return statistics.median(found) * 1e3


@asynccontextmanager
async def _opened() -> AsyncIterator[Take]:
    async with scratch() as directory:
        port, log = free_port(), directory / "probe.log"
        command = (sys.executable, "-I", probe.__file__, str(port))
        async with program(command, log) as process, open_house(directory) as house:
            await until_it_listens(port, process, log)
            ports = {_OURS: house.front_port, _BARE: port}

            async def take(contestant: str) -> Mapping[str, float]:
                found = await asyncio.to_thread(_get_many, ports[contestant])
                if contestant == _OURS:
                    # The door may take a second's worth at once: it is full again before the next time.
                    await asyncio.sleep(_REQUESTS / _DOOR_RATE)
                return {_MEASURE.name: found}

            yield take


ROWS = (
    Row(
        "front",
        "a small GET through front and relay, and straight to the server",
        (_OURS, _BARE),
        (_MEASURE,),
        _opened,
    ),
)
