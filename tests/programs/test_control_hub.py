"""Does control's client understand real hubs, with no more scopes than its role has?"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jupyter_sandbox_spawner.clients.hub import HubClient
from jupyter_sandbox_spawner.errors import AnswerError, UnreachableError
from tests.lanes import VENVS

CONFIG = Path(__file__).with_name("control_hub_config.py")


class RealHub:
    """A hub process, and the test's own admin of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = HubClient(url, "control-token")

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call as the test's service."""
        headers = {"Authorization": "token test-token"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=headers, json=body) as answer,
        ):
            assert answer.status < 400, await answer.text()
            return await answer.json() if "json" in answer.content_type else None

    async def start(self, user: str, server: str = "") -> None:
        """A running server of a user, made first if need be."""
        if user not in [item["name"] for item in await self.admin("GET", "/users")]:
            await self.admin("POST", f"/users/{user}")
        path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
        await self.admin("POST", path)
        for _ in range(200):
            found = {(item.user, item.server): item for item in await self.client.servers()}
            if (user, server) in found and found[user, server].ready:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{user}/{server} did not start")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("hub", marks=pytest.mark.lane("hub6")),
        pytest.param("hub5", marks=pytest.mark.lane("hub5")),
    ],
)
def hub_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A real hub, one for all tests of this file: a start takes seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp") as state:
        process = subprocess.Popen(
            [VENVS / request.param / "bin/python", "-m", "jupyterhub", "-f", CONFIG],
            cwd=state,
            env={"PATH": os.environ["PATH"], "PORT": str(port), "STATE": state},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            _until_up(port, process)
            yield f"http://127.0.0.1:{port}/hub/api"
        finally:
            process.kill()
            process.wait()


def _until_up(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)  # the hub tells nobody when it listens
    raise AssertionError("the hub does not answer")


@pytest.fixture
async def hub(hub_url: str) -> AsyncIterator[RealHub]:
    """The hub with a client of this test's own; what the test started is stopped."""
    found = RealHub(hub_url)
    yield found
    for server in await found.client.servers():
        await found.client.stop_server(server.user, server.server)
    await found.client.close()


async def test_servers_are_listed_stopped_and_stopped_again(hub: RealHub) -> None:
    """Default and named servers are listed with paths; a stop is harmless when repeated."""
    await hub.start("alice")
    await hub.start("alice", "gpu")
    found = sorted((item.user, item.server, item.prefix) for item in await hub.client.servers())
    assert found == [("alice", "", "/user/alice/"), ("alice", "gpu", "/user/alice/gpu/")]
    for server in ("", "gpu"):
        for _ in range(40):
            if await hub.client.stop_server("alice", server):
                break
        assert await hub.client.stop_server("alice", server)
    assert await hub.client.servers() == ()
    assert await hub.client.stop_server("nobody", "x")


async def test_a_deleted_route_is_put_back(hub: RealHub) -> None:
    """Routes are read with control's scopes, and the hub puts back what was deleted by hand."""
    await hub.start("bob")
    target = (await hub.client.routes())["/user/bob/"]
    async with aiohttp.ClientSession() as session, session.get(f"{target}/forget"):
        pass
    assert "/user/bob/" not in await hub.client.routes()
    await hub.client.check_routes()
    assert (await hub.client.routes())["/user/bob/"] == target


async def test_the_hub_says_whose_token_it_is(hub: RealHub) -> None:
    """A server's scope names the server; an unknown token is nobody's."""
    await hub.start("alice")
    made = await hub.admin("POST", "/users/alice/tokens", {"scopes": ["custom:sandbox:self!server=alice/"]})
    owner = await hub.client.whose(made["token"])
    assert owner is not None
    assert (owner.name, owner.kind) == ("alice", "user")
    assert "custom:sandbox:self!server=alice/" in owner.scopes
    assert await hub.client.whose("nonsense") is None


async def test_controls_role_can_do_nothing_else(hub: RealHub, control: Callable[[str, bool], None]) -> None:
    """With control's scopes no user is made, no server started, no token read, no group and no state seen."""
    await hub.start("bob")
    await hub.start("alice")
    control("control lists servers", len(await hub.client.servers()) == 2)
    for method, path in (
        ("POST", "/users/mallory"),
        ("POST", "/users/bob/servers/more"),
        ("GET", "/users/alice/tokens"),
        ("POST", "/users/alice/tokens"),
        ("GET", "/groups"),
        ("DELETE", "/users/alice"),
    ):
        with pytest.raises(AnswerError) as caught:
            await hub.client._call(method, path)
        assert caught.value.status in (403, 404), path
    _, page = await hub.client._call("GET", "/users/alice")
    assert "state" not in page["servers"][""]
    assert "groups" not in page


async def test_a_hub_that_is_gone_is_unreachable() -> None:
    """Nobody at the port is an error of its own, not an empty list."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = HubClient(f"http://127.0.0.1:{port}/hub/api", "t")
    with pytest.raises(UnreachableError) as caught:
        await client.servers()
    await client.close()
    assert caught.value.code == "hub.unreachable"
