"""Do the doors let in only the sandbox they belong to, and do they survive floods and restarts?"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

import jupyter_sandbox_spawner
from tests.programs.gateway_house import GatewayHouse, boot_document, entry, gateway_house
from tests.programs.gateway_strangers import (
    CONNECT_AS,
    REPLACE_AS,
    STRANGER,
    reachable,
    run_as,
    through,
    told,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
REFUSED_CALL = b"GET /hub/admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
# One sandbox opens as many connections as it can and keeps them.
FLOOD = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held, refused = [], 0
for number in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX); s.setblocking(False)
    try:
        s.connect(sys.argv[1]); held.append(s)
    except OSError:
        refused += 1; s.close()
print(len(held), refused, flush=True)
sys.stdin.read()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[GatewayHouse]:
    async with gateway_house() as running:
        yield running


async def test_doors_are_where_only_the_sandbox_gets_them(house: GatewayHouse) -> None:
    """Four sockets (0666) in a directory (0755) below one that only the gateway may enter (0700)."""
    _, directory = await house.open(entry("m1"))
    assert sorted(os.listdir(directory)) == ["api.sock", "boot.sock", "egress.sock", "ingress.sock"]
    assert directory == directory.lower()
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (house.site.doors_dir, directory)]
    assert modes == [0o700, 0o755]
    assert {stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) for name in os.listdir(directory)} == {0o666}


@pytest.mark.lane("root")
@pytest.mark.proves("X05", "O04")
async def test_another_local_user_gets_nowhere(house: GatewayHouse, control: Control) -> None:
    """Another uid cannot reach the doors' directory; if it could, each door closes on it and tells."""
    name, directory = await house.open(entry("x5"))
    for door in ("api", "egress", "ingress", "boot"):
        assert await run_as(STRANGER, CONNECT_AS, f"{directory}/{door}.sock") == "PermissionError"
    reachable(house, True)
    try:
        for door in ("api", "egress", "ingress"):
            assert await run_as(STRANGER, CONNECT_AS, f"{directory}/{door}.sock") == "read 0"
        own, own_directory = await house.open(entry("x5own", uid=STRANGER))
        await house.client.boot(own, boot_document())
        got = await run_as(STRANGER, CONNECT_AS, f"{own_directory}/boot.sock")
        control("its own sandbox's door lets that uid in", got == "read 100")
        assert await run_as(STRANGER, CONNECT_AS, house.site.gateway_socket) == "PermissionError"
    finally:
        reachable(house, False)
    events = await told(house, "door.foreign", name)
    assert {(e.detail["door"], e.detail["uid"]) for e in events} == {
        (door, STRANGER) for door in ("api", "egress", "ingress")
    }


@pytest.mark.lane("root")
@pytest.mark.proves("I11", "T2")
async def test_a_sandbox_cannot_replace_its_doors(house: GatewayHouse, control: Control) -> None:
    """The sandbox's uid may connect to its doors but not unlink them or put a symlink there."""
    name, directory = await house.open(entry("i11", uid=STRANGER))
    reachable(house, True)
    try:
        assert await run_as(STRANGER, REPLACE_AS, f"{directory}/ingress.sock") == "PermissionError"
        await house.client.boot(name, boot_document())
        got = await run_as(STRANGER, CONNECT_AS, f"{directory}/boot.sock")
        control("it may connect", got == "read 100")
    finally:
        reachable(house, False)


@pytest.mark.proves("T2", "I11")
async def test_the_gateway_dials_no_door() -> None:
    """A door is only ever listened on: the gateway connects to control's socket and MLflow's alone."""
    package = Path(jupyter_sandbox_spawner.__file__).parent / "gateway"
    dialling = {
        "open_unix_connection",
        "create_unix_connection",
        "UnixConnector",
        "UnixClient",
        "UnixHTTPConnection",
    }
    unix = set()
    for path in package.rglob("*.py"):
        names = {
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, (ast.Attribute, ast.Name))
        }
        assert path.name == "asking.py" or names.isdisjoint(dialling), path
        unix |= {path.name} if "AF_UNIX" in names else set()
        assert path.name == "own.py" or not (
            {"AF_UNIX"} <= names and {"connect", "sock_connect", "connect_ex"} & names
        ), path
    assert unix == {"door.py", "own.py"}
    assert re.findall(r"path=([^,)]+)", (package / "app.py").read_text()) == ["site.tracking_socket"]
    assert "AskedProgram(path=control_socket, held=True)" in (package / "api.py").read_text()


@pytest.mark.proves("T5")
async def test_doors_come_back_in_the_same_directory() -> None:
    """After kill -9 and a restart a bind of the old directory leads to working doors again."""
    async with gateway_house() as house:
        item = entry("ada")
        name, directory = await house.open(item)
        held = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        inside = f"/proc/self/fd/{held}"  # as a bind mount, it follows the directory and not its name
        await house.client.boot(name, boot_document())
        assert b'"version":1' in await through(f"{inside}/boot.sock")
        assert await through(f"{inside}/api.sock", REFUSED_CALL) != b""
        house.end(signal.SIGKILL)
        with pytest.raises(OSError, match="refused"):
            await through(f"{inside}/api.sock", REFUSED_CALL)
        begun = time.monotonic()
        await house.start()
        print(f"gateway back after {time.monotonic() - begun:.2f} s")
        assert (await through(f"{inside}/api.sock", REFUSED_CALL)).startswith(b"HTTP/1.1 403")
        assert await through(f"{inside}/boot.sock") == b""
        (found,) = await house.client.inventory()
        assert (found.id, found.user, found.booted, found.prefix) == (name, "ada", True, item.prefix)
        assert (await house.client.open(name, item)).directory == directory
        os.close(held)


@pytest.mark.proves("T15", "E19", "Q06")
async def test_a_flood_at_one_door_leaves_anothers_answering(house: GatewayHouse, control: Control) -> None:
    """While one sandbox opens 20 000 connections, 5 000 at each door, another's door answers."""
    name, directory = await house.open(entry("flood"))
    _, other = await house.open(entry("calm", api_requests_per_second=10_000))
    before = await _answer_times(other)
    async with contextlib.AsyncExitStack() as floods:
        running = [
            await floods.enter_async_context(_flood(f"{directory}/{door}.sock", 5000))
            for door in ("api", "egress", "ingress", "boot")
        ]
        during = await _answer_times(other)
        for flood in running:
            made, refused = (await flood.readline()).split()
            assert int(made) + int(refused) == 5000
        after = await _answer_times(other)
    print(f"p95 ms before, during, after: {before:.1f} {during:.1f} {after:.1f}")
    control("the flooded sandbox answers again", await _recovers(f"{directory}/api.sock"))
    assert max(during, after) < 1000
    (seen,) = [item for item in await house.client.inventory() if item.user == "calm"]
    assert seen.connections == 0
    assert await told(house, "door.capped", name)


@contextlib.asynccontextmanager
async def _flood(path: str, number: int) -> AsyncIterator[asyncio.StreamReader]:
    flood = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLOOD, path, str(number), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert flood.stdout is not None
    assert flood.stdin is not None
    try:
        yield flood.stdout
    finally:
        flood.stdin.close()  # its end of file ends the flood
        await flood.wait()


async def _answer_times(directory: str) -> float:
    times = []
    for _ in range(40):
        begun = time.perf_counter()
        assert (await through(f"{directory}/api.sock", REFUSED_CALL)).startswith(b"HTTP/1.1 403")
        times.append(time.perf_counter() - begun)
    return sorted(times)[37] * 1000


async def _recovers(path: str) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if (await through(path, REFUSED_CALL, 5)).startswith(b"HTTP/1.1 403"):
                return True
        except (OSError, asyncio.TimeoutError):
            await asyncio.sleep(0.2)  # the backlog of the flood is being worked off
    return False


async def _logged(house: GatewayHouse, text: str) -> None:
    for _ in range(100):
        if text in house.log():
            return
        await asyncio.sleep(0.1)  # the program's log is the only sign
    raise AssertionError(house.log())


@pytest.mark.proves("T15")
async def test_running_out_of_descriptors_is_survived(control: Control) -> None:
    """With too few descriptors for a flood the gateway stays, says so, and every door answers afterwards."""
    async with gateway_house(hard_files=150) as house:
        _, directory = await house.open(entry("flood"))
        _, other = await house.open(entry("calm"))
        control("it answered before", await _recovers(f"{other}/api.sock"))
        async with _flood(f"{directory}/egress.sock", 400) as output:
            await output.readline()
            await _logged(house, "no descriptor left")
        assert await _recovers(f"{other}/api.sock")
        assert await _recovers(f"{directory}/api.sock")
        assert await house.client.health()
