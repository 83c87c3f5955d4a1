"""Are both bodies of a request with a secret streamed, and does a stream end when it must?"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from jupyter_sandbox_spawner.broker.exchanges import ExchangeTimes
from jupyter_sandbox_spawner.broker.permits import PermitTimes
from jupyter_sandbox_spawner.models import EgressPolicy
from tests.programs.proxy_street import CAROL, TOKEN, ProxyStreet, proxy_street
from tests.programs.test_gateway_api import request
from tests.support.waiting import until

Control = Callable[[str, bool], None]
PATH = "/services/sandbox/api/secrets/git/main/proxy"
SHOWN = {"Authorization": f"token {TOKEN}"}
LARGE = 200 << 20
QUICK = ExchangeTimes(look=0.05, control=0.1, still=60.0, alone=1.0)
IMPATIENT = ExchangeTimes(look=0.05, still=3.0)


@pytest.fixture
async def street() -> AsyncIterator[ProxyStreet]:
    """Carol's door and a host; control is asked often."""
    async with proxy_street(QUICK, PermitTimes(believed=0.2, audited=60.0)) as found:
        yield found


@pytest.fixture
async def impatient() -> AsyncIterator[ProxyStreet]:
    """The same with little patience for silence."""
    async with proxy_street(IMPATIENT) as found:
        yield found


@pytest.fixture
async def patient() -> AsyncIterator[ProxyStreet]:
    """The same with the broker's own patience."""
    async with proxy_street() as found:
        yield found


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak(pid: int) -> int:
    """The most bytes of memory that a process ever had."""
    with open(f"/proc/{pid}/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


def reset_peak(pid: int) -> None:
    """Let `peak` start from now."""
    with open(f"/proc/{pid}/clear_refs", "w") as clear:
        clear.write("5")


async def chunks(size: int) -> AsyncIterator[bytes]:
    """A body that is never whole in memory."""
    piece = bytes(range(256)) * 256
    for _ in range(size // len(piece)):
        yield piece


async def counted(answer: aiohttp.ClientResponse) -> int:
    """Bytes of an answer's body, which is not kept."""
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
    return size


async def drink(request: web.Request) -> web.Response:
    """A host that counts a body."""
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.Response(text=str(size))


async def pour(request: web.Request) -> web.StreamResponse:
    """A host with a large answer."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    async for chunk in chunks(LARGE):
        await answer.write(chunk)
    await answer.write_eof()
    return answer


@pytest.mark.parametrize("framed", ["length", "chunks"])
async def test_a_large_body_goes_up_without_being_held(patient: ProxyStreet, framed: str) -> None:
    """200 MB arrive whole, and neither gateway nor broker (this process) grows by a tenth of it."""
    patient.host.keeps_bodies, patient.host.answer = False, drink
    assert patient.house.process is not None
    pids = (patient.house.process.pid, os.getpid())
    before = [resident(pid) for pid in pids]
    for pid in pids:
        reset_peak(pid)
    headers = SHOWN | ({"Content-Length": str(LARGE)} if framed == "length" else {})
    begun = time.monotonic()
    async with (
        patient.session() as session,
        session.post(f"{PATH}/up", headers=headers, data=chunks(LARGE)) as answer,
    ):
        assert (answer.status, await answer.text()) == (200, str(LARGE))
    grown = [peak(pid) - was for pid, was in zip(pids, before, strict=True)]
    assert max(grown) < LARGE // 10, grown
    print(f"up {LARGE / (time.monotonic() - begun) / 1e6:.0f} MB/s, grown {grown}")


async def test_a_large_answer_comes_down_without_being_held(patient: ProxyStreet) -> None:
    """The same for an answer."""
    patient.host.answer = pour
    assert patient.house.process is not None
    pids = (patient.house.process.pid, os.getpid())
    before = [resident(pid) for pid in pids]
    for pid in pids:
        reset_peak(pid)
    begun = time.monotonic()
    async with patient.session() as session, session.get(f"{PATH}/down", headers=SHOWN) as answer:
        assert (answer.status, await counted(answer)) == (200, LARGE)
    grown = [peak(pid) - was for pid, was in zip(pids, before, strict=True)]
    assert max(grown) < LARGE // 10, grown
    print(f"down {LARGE / (time.monotonic() - begun) / 1e6:.0f} MB/s, grown {grown}")


async def test_a_slow_reader_holds_the_host_back(street: ProxyStreet) -> None:
    """What the sandbox does not take is not read from the host: it gets rid of a few MB at most."""
    sent = 0

    async def pour_and_count(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        async for chunk in chunks(LARGE):
            await answer.write(chunk)
            sent += len(chunk)
        return answer

    street.host.answer = pour_and_count
    async with street.session() as session, session.get(f"{PATH}/down", headers=SHOWN) as answer:
        await answer.content.readexactly(1000)
        was = -1
        while sent != was:
            was = sent
            await asyncio.sleep(0.2)  # the host has no other sign that it is held back than its standstill
        assert 0 < sent < 16 << 20


async def dripping(request: web.Request) -> web.StreamResponse:
    """A host that sends a line and then a little more for as long as one listens."""
    answer = web.StreamResponse(headers={"X-Begun": "1"})
    await answer.prepare(request)
    await answer.write(b"first " * 1000)
    while True:
        await answer.write(b"more " * 100)
        await asyncio.sleep(0.02)


@asynccontextmanager
async def stream_of(street: ProxyStreet) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer that has begun and would never end."""
    street.host.answer = dripping
    async with street.session() as session, session.get(f"{PATH}/drip", headers=SHOWN) as answer:
        assert (answer.status, answer.headers["X-Begun"]) == (200, "1")
        await answer.content.readexactly(1000)
        yield answer


async def breaks_off(answer: aiohttp.ClientResponse) -> bool:
    """Is it cut off within a few seconds, in a way that no client takes for its end?"""
    try:
        await asyncio.wait_for(counted(answer), 8)
    except aiohttp.ClientPayloadError:
        return True
    return False


@pytest.mark.proves("C10")
async def test_a_released_sandbox_ends_its_streams(street: ProxyStreet, control: Control) -> None:
    """Its end is recorded while an answer runs: the answer breaks off, also while its doors are open."""
    async with stream_of(street) as answer:
        control("it runs while its sandbox does", len(await answer.content.readexactly(20_000)) == 20_000)
        await street.place.release(CAROL)
        assert await breaks_off(answer)
    assert len(street.exchanges) == 0
    status, body, _ = await street.ask("GET again")
    assert (status, json.loads(body)["code"]) == (404, "sandbox.unknown")


async def test_closed_doors_end_their_streams(street: ProxyStreet) -> None:
    """When the gateway closes a sandbox's doors, the broker stops asking its host."""
    async with stream_of(street) as answer:
        await street.house.client.close_sandbox(CAROL.id)
        assert await breaks_off(answer)
    await until(lambda: len(street.exchanges) == 0)


@pytest.mark.proves("C06")
async def test_a_blocked_sandbox_ends_its_streams(street: ProxyStreet, control: Control) -> None:
    """An admin's block ends what runs and refuses what comes, with a line in the audit for a minute of it."""
    control("it was allowed before", (await street.ask("GET a"))[0] == 200)
    async with stream_of(street) as answer:
        street.blocks.add([CAROL.id])
        assert await breaks_off(answer)
    for _ in range(3):
        status, body, _ = await street.ask("GET a")
        assert (status, json.loads(body)["code"]) == (403, "secret.blocked")
    lines = [line for line in await street.place.audit("secret.read") if line.get("code") == "secret.blocked"]
    assert len(lines) == 1


async def test_a_client_that_leaves_ends_its_request(street: ProxyStreet) -> None:
    """The broker does not go on asking for nobody."""
    async with stream_of(street) as answer:
        answer.close()
        await until(lambda: len(street.exchanges) == 0)


async def test_a_silent_host_is_a_504(impatient: ProxyStreet, control: Control) -> None:
    """One that takes the request and says nothing is given up, with its own words."""

    async def wait(request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    impatient.host.answer = wait
    status, body, headers = await impatient.ask("GET slow")
    assert (status, json.loads(body)["code"]) == (504, "secret.host_slow")
    assert headers["X-Sandbox-Deny"] == "secret.host_slow"
    impatient.host.answer = None
    control("a quick one answers", (await impatient.ask("GET quick"))[0] == 200)


async def test_a_slow_upload_is_no_silence(impatient: ProxyStreet) -> None:
    """A body that takes longer than the patience, but moves, arrives whole."""
    impatient.host.keeps_bodies, impatient.host.answer = False, drink

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * 100
            await asyncio.sleep(IMPATIENT.still / 6)

    async with (
        impatient.session() as session,
        session.post(f"{PATH}/up", headers=SHOWN, data=trickle()) as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "800")


@pytest.mark.parametrize("when", ["before the head", "in the body"])
async def test_a_host_that_hangs_up_is_told_from_an_end(street: ProxyStreet, when: str) -> None:
    """Before its answer it is a 502 with its own words; within it, the answer breaks off."""

    async def reset(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        if when == "in the body":
            await answer.prepare(request)
            await answer.write(b"x" * 5000)
        assert request.transport is not None
        request.transport.abort()
        return answer

    street.host.answer = reset
    if when == "before the head":
        status, body, _ = await street.ask("GET a")
        assert (status, json.loads(body)["code"]) == (502, "secret.host_lost")
    else:
        with pytest.raises(aiohttp.ClientPayloadError):
            await street.ask("GET a")


async def test_only_so_many_requests_run_at_once(street: ProxyStreet, control: Control) -> None:
    """The 25th of one sandbox is told to wait; another sandbox is not in its way."""
    gate = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        if "free" not in request.path:
            await gate.wait()
        return web.Response(text="done")

    street.host.answer = wait
    waiting = [asyncio.create_task(street.ask(f"GET {number}")) for number in range(24)]
    await until(lambda: len(street.exchanges) == 24)
    status, body, headers = await street.ask("GET free")
    assert (status, json.loads(body)["code"]) == (429, "secret.too_many_requests")
    assert headers["Retry-After"]
    gate.set()
    assert {status for status, _, _ in await asyncio.gather(*waiting)} == {200}
    control("afterwards there is room", (await street.ask("GET free"))[0] == 200)


async def test_expect_continue_is_answered(street: ProxyStreet) -> None:
    """curl and git wait for it before they send a large body."""
    reader, writer = await asyncio.open_unix_connection(f"{street.doors[CAROL.id]}/api.sock")
    head = request(f"POST {PATH}/x", f"Authorization: token {TOKEN}", "Expect: 100-continue", body=b"hello")
    writer.write(head[:-5])
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")
    writer.write(b"hello")
    assert b"HTTP/1.1 200 " in await asyncio.wait_for(reader.read(), 5)
    assert street.host.bodies == [b"hello"]
    assert "Expect" not in street.host.seen[0].headers
    writer.close()


async def test_one_connection_carries_many_requests(street: ProxyStreet) -> None:
    """A kept connection serves the next request, of the proxy and of others."""
    reader, writer = await asyncio.open_unix_connection(f"{street.doors[CAROL.id]}/api.sock")
    for line, body in (("POST a", b"y"), ("GET b", b""), ("POST c", b"z")):
        method, path = line.split()
        head = request(f"{method} {PATH}/{path}", f"Authorization: token {TOKEN}", body=body)
        writer.write(head.replace(b"Connection: close\r\n", b""))
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(5) == b"hello"
    writer.close()
    assert street.host.paths == ["POST /a", "GET /b", "POST /c"]


async def test_bytes_count_and_their_cap_holds(street: ProxyStreet, control: Control) -> None:
    """What passes counts with what leaves by the egress door; when today's are used up nothing passes."""
    await street.ask("POST a", data=b"x" * 5000)
    (found,) = [item for item in await street.house.client.inventory() if item.id == CAROL.id]
    control("they are counted", found.bytes_out >= 5000 and found.bytes_in >= 5)
    await street.house.client.set_egress(CAROL.id, EgressPolicy(bytes_per_day=5100))
    async with street.session() as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.post(f"{PATH}/b", headers=SHOWN, data=chunks(1 << 20)) as answer:
                answer.raise_for_status()
    status, body, _ = await street.ask("GET c")
    assert (status, json.loads(body)["code"]) == (403, "egress.capped")


async def test_a_permit_is_not_anothers(street: ProxyStreet) -> None:
    """What control allowed one token is not believed of another, nor of another sandbox."""
    assert (await street.ask("GET a"))[0] == 200
    status, body, _ = await street.ask("GET a", token="dave-token")
    assert (status, json.loads(body)["code"]) == (401, "identity.unknown")


async def test_control_that_is_away_ends_streams_in_time(street: ProxyStreet) -> None:
    """Without an answer of control nothing new is sent, and what runs ends after a while."""
    async with stream_of(street) as answer:
        await street.control.cleanup()
        assert await breaks_off(answer)
        status, body, _ = await street.ask("GET a")
        assert (status, json.loads(body)["code"]) == (503, "control.unreachable")
