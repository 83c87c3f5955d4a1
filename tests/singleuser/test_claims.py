"""Does control hear from a real server that a kernel is busy, and does the server not depend on it?"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jupyter_sandbox_spawner.clients.control import Claims
from jupyter_sandbox_spawner.singleuser.inside.claims import summary
from jupyter_sandbox_spawner.wire import decode
from tests.singleuser.sandbox import SECRET, Sandbox, eventually
from tests.singleuser.userserver import BASE_URL, UserServer

OFTEN = {"JUPYTER_SANDBOX_CLAIMS_EVERY": "0.2"}
LEAN = pytest.param({}, id="lean start")
ORDINARY = pytest.param({"JUPYTER_SANDBOX_LEAN": "0"}, id="ordinary start")


@pytest.fixture
def alice(place: Sandbox) -> Iterator[UserServer]:
    """Alice's server, not yet started."""
    server = UserServer(place)
    yield server
    server.close()


def test_a_claim_counts_kernels_and_terminals() -> None:
    """Busy kernels are counted, and the latest activity is that of a kernel or a terminal."""
    kernels = [
        {"execution_state": "busy", "last_activity": "2026-11-25T23:28:33.949000Z"},
        {"execution_state": "idle", "last_activity": "2026-11-25T23:30:33.949000Z"},
        {"execution_state": "starting"},
    ]
    claim = summary(kernels, [{"name": "1", "last_activity": "2026-11-25T23:29:33.949000Z"}])
    assert claim == {
        "kernels": 3,
        "busy": 1,
        "terminals": 1,
        "last_activity": "2026-11-25T23:30:33.949000Z",
    }
    assert decode(Claims, claim).busy == 1
    assert decode(Claims, summary([], [])).last_activity is None


async def _run_cell(server: UserServer, code: str) -> str:
    """Start a kernel, send it a cell, and return the kernel's id when the cell has begun."""
    headers = {"Authorization": f"token {SECRET}"}
    address = f"http://127.0.0.1:{server.place.server_port}{BASE_URL}api/kernels"
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(address, json={}) as answer:
            kernel: str = (await answer.json())["id"]
        async with session.ws_connect(f"{address}/{kernel}/channels") as channels:
            header = {"msg_id": "m", "msg_type": "execute_request", "session": "s", "version": "5.3"}
            content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
            await channels.send_json(
                {
                    "channel": "shell",
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "buffers": [],
                }
            )
            async for message in channels:
                if json.loads(message.data)["header"]["msg_type"] == "execute_input":
                    break
    return kernel


@pytest.mark.lane("userenv")
@pytest.mark.timeout(240)  # an ordinary start takes 8 s of processor time
@pytest.mark.parametrize("start", [LEAN, ORDINARY])
def test_a_cell_that_only_sleeps_is_busy(alice: UserServer, start: dict[str, str], control: Any) -> None:
    """A running cell is told as busy although it uses no processor, and as idle when it has ended."""
    alice.start(**OFTEN, **start)
    eventually(lambda: alice.hub.claims, "a first claim")
    control("no kernel is busy before", alice.hub.claims[-1]["busy"] == 0)
    asyncio.run(_run_cell(alice, "import time; time.sleep(8)"))
    eventually(lambda: alice.hub.claims[-1]["busy"] == 1, "the cell is told as busy")
    eventually(lambda: alice.hub.claims[-1]["busy"] == 0, "the cell's end is told")
    assert alice.hub.claims[-1]["kernels"] == 1
    assert decode(Claims, alice.hub.claims[-1]).last_activity is not None


@pytest.mark.lane("userenv")
@pytest.mark.timeout(240)
def test_the_end_of_the_telling_process_ends_nothing(alice: UserServer) -> None:
    """After an ordinary start the process that tells may be killed, and the sandbox runs on."""
    alice.start(**OFTEN, JUPYTER_SANDBOX_LEAN="0")
    (server,) = alice.place.children()
    below = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    (telling,) = [pid for pid in below if b"\0claims\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    shown = Path(f"/proc/{telling}/cmdline").read_bytes()
    assert SECRET.encode() not in shown
    os.kill(int(telling), 9)
    eventually(lambda: b"claims" not in Path(f"/proc/{telling}/cmdline").read_bytes(), "it is dead")
    assert alice.place.children() == [server]
    assert alice.stop() == 0


@pytest.mark.lane("userenv")
def test_a_server_runs_on_where_nobody_listens(alice: UserServer) -> None:
    """A hub and a control that are away, or answer nonsense, change nothing for the server."""
    alice.start(**OFTEN)
    eventually(lambda: len(alice.hub.claims) > 2, "claims come again and again")
    alice.hub.close_for_good()
    told = len(alice.hub.claims)
    kernel = asyncio.run(_run_cell(alice, "1"))
    assert kernel
    assert len(alice.hub.claims) <= told + 1
    assert alice.stop() == 0
