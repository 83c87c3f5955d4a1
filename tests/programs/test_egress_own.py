"""Is a program of the site reached by its name, told who asks, and told apart when it is away?"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from jupyter_sandbox_spawner.gateway.egress.own import OwnService

from .egress_support import (
    Account,
    Control,
    Door,
    account,
    code_of,
    connect_head,
    get_head,
    open_door,
    shut,
)

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
URL = "http://mlflow.sandbox.internal"


@pytest.fixture
def path() -> Iterator[str]:
    """Where the program would listen."""
    with tempfile.TemporaryDirectory(prefix="own") as directory:
        yield f"{directory}/own.sock"


class Program:
    """Answers /health while `alive`, and everything else after `slow` seconds; heads are kept."""

    def __init__(self) -> None:
        self.alive = True
        self.slow = 0.0
        self.cuts = False
        self.heads: list[bytes] = []
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if not self.alive:
                # Held by the program: a wait that nobody holds is garbage with an open socket.
                await self.over.wait()
            if not head.startswith(b"GET /health "):
                self.heads.append(head)
                await asyncio.sleep(self.slow)
                if self.cuts:
                    return
            writer.write(HELLO)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            await shut(writer)


@asynccontextmanager
async def serving(path: str, who: Account | None = None) -> AsyncIterator[tuple[Door, Program, Account]]:
    """A door, and the program behind it."""
    program, who = Program(), who or account()
    server = await asyncio.start_unix_server(program.serve, path)
    own = (OwnService(name="mlflow.sandbox.internal", port=80, path=path, called="MLflow"),)
    try:
        async with open_door(who, own=own) as door:
            yield door, program, who
    finally:
        program.over.set()
        server.close()


@pytest.mark.proves("C09")
async def test_the_program_is_told_who_asks(path: str, control: Control) -> None:
    """Without any rule it is reached; sandbox, user and server are the door's, whatever a client writes."""
    who = account()
    who.user, who.server = "ada/ü", "second"
    async with serving(path, who) as (door, program, _):
        forged = [
            "X-Sandbox-Id: sb-forged",
            "X-Sandbox-User: bob",
            "x_sandbox_server: bobs",
            "X-SANDBOX-More: 1",
            "X-Sandbox-Zone:",
        ]
        answer = await door.ask(get_head(f"{URL}/api?x=1", *forged, "Authorization: Bearer t"))
        control("it was served", answer.endswith(b"hello"))
        head = program.heads[0].decode().lower()
        assert head.startswith("get /api?x=1 http/1.1\r\nhost: mlflow.sandbox.internal\r\n")
        assert "authorization: bearer t" in head
        found = sorted(line for line in head.split("\r\n") if line.replace("_", "-").startswith("x-sandbox-"))
        assert found == [
            f"x-sandbox-id: {who.id}",
            "x-sandbox-server: second",
            "x-sandbox-user: ada%2f%c3%bc",
        ]
        assert who.codes == ["egress.allowed"]


@pytest.mark.proves("D01")
async def test_the_zone_is_the_doors(path: str) -> None:
    """A sandbox of a zone says so to MLflow, whatever it writes itself."""
    who = account()
    who.zone = "phi"
    async with serving(path, who) as (door, program, _):
        await door.ask(get_head(f"{URL}/", "X-Sandbox-Zone: pii", "x_sandbox_zone: pii"))
        head = program.heads[0].decode().lower()
        found = [line for line in head.split("\r\n") if "zone" in line]
        assert found == ["x-sandbox-zone: phi"]


@pytest.mark.proves("C09")
async def test_only_this_name_and_port_and_no_tunnel(path: str, control: Control) -> None:
    """CONNECT is refused, and so are other ports and names that only look like it."""
    async with serving(path) as (door, program, who):
        control("the name is served", (await door.ask(get_head(f"{URL}/"))).endswith(b"hello"))
        assert code_of(await door.ask(connect_head("mlflow.sandbox.internal:80"))) == "egress.http_only"
        for url in (
            f"{URL}:81/",
            "http://x.mlflow.sandbox.internal/",
            "http://mlflow.sandbox.internal.test/",
        ):
            assert code_of(await door.ask(get_head(url))) == "egress.not_allowed"
        assert len(program.heads) == 1
        assert who.codes[1:] == ["egress.http_only", *["egress.not_allowed"] * 3]


async def test_a_program_that_is_not_there_is_one_sentence(path: str, control: Control) -> None:
    """No socket, or one whose program is dead: 424 within seconds, as MLflow's client reads it."""
    async with serving(path) as (door, program, who):
        control("it is served", (await door.ask(get_head(f"{URL}/"))).endswith(b"hello"))
        program.alive = False
        began = time.monotonic()
        answer = await door.ask(get_head(f"{URL}/"), 30)
        assert time.monotonic() - began < 9
        assert code_of(answer) == "tracking.away"
        document = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        assert document["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "Run the cell again in a minute" in document["message"]
        assert answer.startswith(b"HTTP/1.1 424 ")
        program.alive = True
        assert (await door.ask(get_head(f"{URL}/"))).endswith(b"hello")
        os.unlink(path)
        await asyncio.sleep(2.1)  # an answer proves it alive for two seconds
        assert code_of(await door.ask(get_head(f"{URL}/"))) == "tracking.away"
        assert who.codes[-1] == "tracking.away"


async def test_a_slow_program_is_waited_for(path: str) -> None:
    """A request that takes longer than the patience is carried to its end while /health is answered."""
    async with serving(path) as (door, program, _):
        program.slow = 4.5
        assert (await door.ask(get_head(f"{URL}/"), 30)).endswith(b"hello")


async def test_a_program_that_dies_during_a_request(path: str) -> None:
    """A connection that is cut before an answer is the same sentence; never half an answer."""
    async with serving(path) as (door, program, _):
        program.cuts = True
        assert code_of(await door.ask(get_head(f"{URL}/", method="POST"))) == "tracking.away"


async def test_its_bytes_are_not_the_days_bytes(path: str) -> None:
    """A sandbox that has used up its bytes of today still logs its runs, and logging uses none."""
    who = account()
    who.allowance = 0
    async with serving(path, who) as (door, _, _):
        assert (await door.ask(get_head(f"{URL}/"))).endswith(b"hello")
        assert (who.up, who.down) == (0, 0)


async def test_too_many_calls_wait_their_turn(path: str) -> None:
    """Above the rate of new connections calls are late, not refused: MLflow's client would not try again."""
    who = account(new_connections_per_second=5.0)
    async with serving(path, who) as (door, _, _):
        began = time.monotonic()
        answers = await asyncio.gather(*(door.ask(get_head(f"{URL}/"), 30) for _ in range(10)))
        assert all(answer.endswith(b"hello") for answer in answers)
        assert time.monotonic() - began > 0.8
