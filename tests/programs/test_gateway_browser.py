"""Does the front keep back downloads and what is past the cap, and let work be saved? Attack X02."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.models import BrowserPolicy
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house
from tests.programs.notebook_stand_in import BLOCK, Server, notebook

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
CAP = 4 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[GatewayHouse]:
    async with gateway_house("--start-hold", "10") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def web(house: GatewayHouse) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{house.front_port}") as session:
        yield session


@asynccontextmanager
async def served(house: GatewayHouse, name: str, policy: BrowserPolicy) -> AsyncIterator[Server]:
    """A server of this person under the policy."""
    sandbox, directory = await house.open(replace(entry(name), browser=policy))
    async with notebook(name, directory) as server:
        yield server
    await house.client.close_sandbox(sandbox)


async def denied(house: GatewayHouse, user: str) -> list[str]:
    """Codes of what the front refused this person."""
    found = await house.client.events(0, 0)
    return [
        str(event.detail["code"]) for event in found if event.user == user and event.kind == "front.denied"
    ]


async def fetch(web: aiohttp.ClientSession, path: str) -> tuple[int, str, int]:
    """Status, code of ours and bytes that came; an answer that breaks off counts as far as it came."""
    count = 0
    async with web.get(path) as answer:
        try:
            async for chunk in answer.content.iter_chunked(1 << 16):
                count += len(chunk)
        except aiohttp.ClientPayloadError:
            return answer.status, "broken off", count
        return answer.status, answer.headers.get("X-Sandbox-Deny", ""), count


@pytest.mark.proves("X02")
async def test_a_download_ends_at_the_cap(
    house: GatewayHouse, web: aiohttp.ClientSession, control: Control
) -> None:
    """Of 100 MiB what the profile allows arrives, the next page is refused with the reason, it is audited."""
    async with served(house, "ada", BrowserPolicy(bytes_per_day=CAP)), served(house, "bob", BrowserPolicy()):
        assert (await fetch(web, "/user/bob/bulk"))[2] == 100 * len(BLOCK)
        control("without a cap all of it comes", True)
        status, end, count = await fetch(web, "/user/ada/bulk")
        assert (status, end) == (200, "broken off")
        assert CAP * 0.9 < count <= CAP + (1 << 20)
        async with web.get("/user/ada/who") as answer:
            assert (answer.status, answer.headers["X-Sandbox-Deny"]) == (403, "front.bytes_capped")
            assert "saving still works" in str(answer.reason)
        assert set(await denied(house, "ada")) == {"front.bytes_capped"}


@pytest.mark.proves("X02")
async def test_past_the_cap_work_can_be_saved(
    house: GatewayHouse, web: aiohttp.ClientSession, control: Control
) -> None:
    """A PUT still goes in and is answered; what it answers is bounded as well."""
    async with served(house, "ida", BrowserPolicy(bytes_per_day=CAP)):
        async with web.put("/user/ida/digest", data=b"work") as answer:
            control("before the cap it is saved", answer.status == 200)
        await fetch(web, "/user/ida/bulk")
        async with web.put("/user/ida/digest", data=b"work" * 1000) as answer:
            assert (answer.status, len(await answer.text())) == (200, 64)
        assert (await fetch(web, "/user/ida/who"))[:2] == (403, "front.bytes_capped")


@pytest.mark.proves("X02")
async def test_an_open_websocket_ends_at_the_cap(
    house: GatewayHouse, web: aiohttp.ClientSession, control: Control
) -> None:
    """What a kernel sends counts as well: past the cap its connection ends."""
    async with served(house, "eva", BrowserPolicy(bytes_per_day=CAP)):
        async with web.ws_connect("/user/eva/echo", max_msg_size=8 << 20) as socket:
            count = 0
            for _ in range(20):
                await socket.send_bytes(BLOCK)
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                count += len(message.data)
        control("messages within the cap came back", count >= len(BLOCK))
        assert count <= CAP


async def test_the_count_outlives_the_gateway(house: GatewayHouse, web: aiohttp.ClientSession) -> None:
    """Who restarts the gateway gives nobody a second cap."""
    policy = BrowserPolicy(bytes_per_day=CAP)
    async with served(house, "una", policy):
        await fetch(web, "/user/una/bulk")
        house.end(signal.SIGTERM)
        await house.start()
        assert (await fetch(web, "/user/una/who"))[:2] == (403, "front.bytes_capped")


async def test_where_downloads_are_off_files_stay(
    house: GatewayHouse, web: aiohttp.ClientSession, control: Control
) -> None:
    """Files, converted notebooks and attachments are refused with the reason; an editor still reads files."""
    async with served(house, "max", BrowserPolicy(downloads=False)), served(house, "tom", BrowserPolicy()):
        control("elsewhere files come", (await fetch(web, "/user/tom/files/data.csv"))[0] == 200)
        control("elsewhere attachments come", (await fetch(web, "/user/tom/attachment"))[0] == 200)
        for path in ("files/data.csv", "nbconvert/pdf/x.ipynb", "api/contents/x?download=1", "attachment"):
            assert (await fetch(web, f"/user/max/{path}"))[:2] == (403, "front.downloads_off"), path
        assert (await fetch(web, "/user/max/api/contents/data.csv?content=1"))[0] == 200
        assert set(await denied(house, "max")) == {"front.downloads_off"}


async def test_pages_may_load_from_hosts_of_the_profile(
    house: GatewayHouse, web: aiohttp.ClientSession
) -> None:
    """The policy of every answer names them, and nobody else's does."""
    host = "https://cdn.example.org"
    async with served(house, "leo", BrowserPolicy(hosts=(host,))), served(house, "kim", BrowserPolicy()):
        found = {}
        for name in ("leo", "kim"):
            async with web.get(f"/user/{name}/who") as answer:
                found[name] = answer.headers["Content-Security-Policy"]
        assert f"img-src 'self' {host} data: blob:" in found["leo"]
        assert f"form-action 'self' {host}" not in found["leo"]
        assert "https:" not in found["kim"]
