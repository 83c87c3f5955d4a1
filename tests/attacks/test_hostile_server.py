"""What can a server do to others by how it answers? Attack H07: alice's notebook takes her server's place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from hub_config.demo.leftovers import sandbox_traces
from hub_config.demo.visitor import Visitor
from tests.support.house import House

Control = Callable[[str, bool], None]
READ = 48 << 20  # bytes of the endless answer that are taken
MORE_MEMORY = 64 << 20
PROMPT = 10.0  # seconds; two cores that others use as well

# Whoever is in the sandbox may offer to answer requests, as the relay does: here forty times as often.
IN_ITS_PLACE = """
import threading
kind = ["redirect"]
HEADS = {
    "redirect": "302 Found\\r\\nLocation: /hub/home\\r\\nContent-Length: 0",
    "version": "200 OK\\r\\nX-JupyterHub-Version: 0.0.1\\r\\nContent-Length: 0",
    "endless": "200 OK\\r\\nContent-Length: 10737418240",
}

def answer(connection):
    if kind[0] == "silent":
        time.sleep(20)
        return
    connection.sendall(("HTTP/1.1 " + HEADS[kind[0]] + "\\r\\nX-Hostile: 1\\r\\n\\r\\n").encode())
    while kind[0] == "endless":
        connection.sendall(bytes(1 << 20))

def serve():
    while True:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect("/run/sandbox/doors/ingress.sock")
                if connection.recv(1) == b"\\x01" and connection.recv(1 << 16):
                    answer(connection)
            except OSError:
                pass
        time.sleep(0.05)

def take():
    for _ in range(40):
        threading.Thread(target=serve, daemon=True).start()
    time.sleep(1)
attempt("take", take)
"""


async def _ask(alice: Visitor, read: int = 0) -> tuple[int, bool]:
    """Status, and whether the notebook answered instead of the server; 0: nothing came for five seconds."""
    timeout = aiohttp.ClientTimeout(total=5 if not read else 30)
    try:
        async with alice.session.get(
            alice.server("api/status"), allow_redirects=False, timeout=timeout
        ) as answer:
            taken = 0
            while taken < read and (chunk := await answer.content.read(1 << 20)):
                taken += len(chunk)
            return answer.status, "X-Hostile" in answer.headers
    except asyncio.TimeoutError:
        return 0, True


async def _until_hostile(alice: Visitor, read: int = 0) -> int:
    for _ in range(60):
        status, hostile = await _ask(alice, read)
        if hostile:
            return status
    raise AssertionError("the notebook was never asked")


async def _seconds(visitor: Visitor, url: URL) -> tuple[int, float]:
    start = time.monotonic()
    page = await visitor.open(url)
    return page.status, time.monotonic() - start


def _memory(house: House) -> int:
    """Bytes that the gateway holds."""
    text = Path(f"/proc/{house.programs.pid('gateway')}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.proves("H07")
def test_h07_a_server_that_answers_badly_hurts_nobody_else(house: House, control: Control) -> None:
    """A redirect, a wrong version, 10 GB and silence reach its own user only; hub and neighbour go on."""
    alice, bob = house.visitor("alice"), house.visitor("bob")
    house.server("bob")
    sandbox = house.server("alice")
    seen = house.attack("alice", IN_ITS_PLACE)
    control("the notebook took her server's place", seen["take"]["ok"])
    kernel = house.kernel_as_it_is("alice")
    before = _memory(house)
    for kind, status in (("redirect", 302), ("version", 200), ("endless", 200), ("silent", 0)):
        # By the open WebSocket: whatever else asks her server is answered by the notebook now.
        assert house.wait(kernel.execute(f'kind[0] = "{kind}"')).ok
        assert house.wait(_until_hostile(alice, READ if kind == "endless" else 0)) == status
        for place in (bob.hub("home"), bob.server("lab")):
            found, seconds = house.wait(_seconds(bob, place))
            control(f"{place.path} answers during {kind}", found == 200 and seconds < PROMPT)
    assert _memory(house) - before < MORE_MEMORY
    house.stop("alice")
    assert sandbox_traces(house.running.root, sandbox).found() == []
    control("her next server is her own", bool(house.server("alice")))
