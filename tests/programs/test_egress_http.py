"""What reaches the server of one plain HTTP request, and what can a client smuggle past it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from .egress_support import (
    LOOPBACK,
    Account,
    Control,
    Door,
    RecordingResolver,
    Server,
    account,
    get_head,
    open_door,
    private,
    serving,
    web,
)


@asynccontextmanager
async def between(server: Server) -> AsyncIterator[tuple[Door, Account]]:
    """A door through which only `ok.test` on the server's port is allowed."""
    who = account(private("ok.test", server.port))
    names = {"ok.test": (LOOPBACK,), "evil.test": (LOOPBACK,)}
    async with open_door(who, RecordingResolver(names)) as door:
        yield door, who


@pytest.mark.proves("E14")
async def test_host_is_rewritten_and_hop_headers_go(control: Control) -> None:
    """The server reads the checked host, and no hop-by-hop, Proxy-* or Upgrade header."""
    async with web() as server, between(server) as (door, _):
        raw = get_head(
            f"http://ok.test:{server.port}/a",
            "Proxy-Authorization: Basic c2VjcmV0",
            "Proxy-Connection: keep-alive",
            "Connection: keep-alive, X-Hop, Upgrade",
            "X-Hop: 1",
            "Upgrade: websocket",
            "TE: trailers",
            "X-Kept: 2",
        )
        answer = await door.ask(raw.replace(b"Host: whatever.test", b"Host: evil.test"))
        control("the request was served", answer.endswith(b"hello"))
        head = server.heads[0].lower()
        assert f"host: ok.test:{server.port}\r\n".encode() in head
        assert b"x-kept: 2" in head
        assert b"connection: close" in head
        for gone in (b"evil.test", b"proxy-", b"x-hop", b"upgrade", b"te:", b"keep-alive", b"secret"):
            assert gone not in head
        assert b"connection: close" in answer.lower()


@pytest.mark.proves("E14")
async def test_a_second_request_is_not_served(control: Control) -> None:
    """A second request on the connection, pipelined or later, is never forwarded."""
    async with web() as server, between(server) as (door, who):
        first = get_head(f"http://ok.test:{server.port}/1")
        second = get_head(f"http://evil.test:{server.port}/2")
        answer = await door.ask(first + second)
        control("the first was served", answer.endswith(b"hello"))
        assert answer.count(b"HTTP/1.1 ") == 1

        async with door.streams() as (reader, writer):
            writer.write(first)
            got = await asyncio.wait_for(reader.readuntil(b"hello"), 5)
            writer.write(second)
            rest = await asyncio.wait_for(reader.read(), 5)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert rest == b""
        assert server.hits == 2
        assert who.codes == ["egress.allowed", "egress.allowed"]


@pytest.mark.proves("E14")
@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Content-Length: +5",),
        ("Content-Length : 5",),
        ("X: a\nTransfer-Encoding: chunked\x00",),
    ],
)
async def test_two_ways_to_frame_a_body_are_refused(headers: tuple[str, ...], control: Control) -> None:
    """Bodies framed ambiguously are refused with 400 or 501 and nothing is forwarded."""
    async with web() as server, between(server) as (door, _):
        smuggled = b"0\r\n\r\n" + get_head(f"http://evil.test:{server.port}/")
        raw = get_head(f"http://ok.test:{server.port}/", *headers, method="POST")
        answer = await door.ask(raw + smuggled)
        assert answer.split(b" ")[1] in {b"400", b"501"}
        assert server.hits == 0
        plain = get_head(f"http://ok.test:{server.port}/", "Content-Length: 5", method="POST")
        control("a plainly framed body passes", (await door.ask(plain + b"12345")).endswith(b"hello"))


@pytest.mark.proves("E14")
@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_bodies_are_framed_anew(framing: str) -> None:
    """A body goes up and comes back whole, chunked or by length, and what follows it does not."""
    async with serving(_mirror) as server, between(server) as (door, who):
        body = bytes(range(256)) * 2000
        header = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {len(body)}"
        raw = get_head(f"http://ok.test:{server.port}/", header, method="POST")
        sent = _chunked(body) if framing == "chunked" else body
        answer = await door.ask(raw + sent + b"GET http://evil.test/ HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(body)
    assert who.up > len(body)
    assert who.down > len(body)


async def _mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"chunked" in head:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    else:
        body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


def _chunked(body: bytes) -> bytes:
    parts = [body[at : at + 100_000] for at in range(0, len(body), 100_000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nold and closed", b"old and closed\r\n0\r\n\r\n"),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b"\r\n\r\n"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", b"no"),
    ],
)
async def test_every_kind_of_answer_passes(answer: bytes, ends: bytes) -> None:
    """Answers with chunks, without length, with early hints and with errors reach the client whole."""
    async with web(answer) as server, between(server) as (door, _):
        got = await door.ask(get_head(f"http://ok.test:{server.port}/"))
    status = answer.replace(b"HTTP/1.1 103 Early\r\n\r\n", b"").split(b" ")[1]
    assert got.startswith(b"HTTP/1.1 " + status)
    assert got.endswith(ends)


async def test_head_has_no_body() -> None:
    """An answer to HEAD keeps its length and ends after its head."""
    async with (
        web(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n") as server,
        between(server) as (door, _),
    ):
        got = await door.ask(get_head(f"http://ok.test:{server.port}/", method="HEAD"))
    assert b"content-length: 5000" in got.lower()
    assert got.endswith(b"\r\n\r\n")


async def test_expect_continue_is_answered() -> None:
    """A client that waits for 100 Continue gets it and then its answer."""
    async with (
        serving(_mirror) as server,
        between(server) as (door, _),
        door.streams() as (reader, writer),
    ):
        url = f"http://ok.test:{server.port}/"
        writer.write(get_head(url, "Content-Length: 5", "Expect: 100-continue", method="PUT"))
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100")
        writer.write(b"12345")
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"12345")


async def test_an_early_answer_is_delivered() -> None:
    """A server that answers before it has read the whole body and closes is still heard."""
    async with (
        web(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig") as server,
        between(server) as (door, _),
    ):
        url = f"http://ok.test:{server.port}/"
        raw = get_head(url, "Content-Length: 50000000", method="PUT")
        got = await door.ask(raw + b"x" * 100_000)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.endswith(b"big")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000])
async def test_no_answer_is_a_502(answer: bytes) -> None:
    """A server that closes, talks nonsense or sends an endless head is reported as 502."""
    async with web(answer) as server, between(server) as (door, who):
        got = await door.ask(get_head(f"http://ok.test:{server.port}/"))
    assert got.startswith(b"HTTP/1.1 502 Sandbox cannot reach ok.test;")
    assert b"X-Sandbox-Deny: egress.unreachable" in got
    assert who.codes == ["egress.allowed", "egress.unreachable"]


async def test_a_cut_answer_stays_cut() -> None:
    """An answer that ends before its length is not completed or repaired."""
    async with (
        web(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf") as server,
        between(server) as (door, _),
    ):
        got = await door.ask(get_head(f"http://ok.test:{server.port}/"))
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert got.endswith(b"half")


async def test_heads_are_counted() -> None:
    """Bytes in request heads count, so that they are no free way out."""
    async with web() as server, between(server) as (door, who):
        await door.ask(get_head(f"http://ok.test:{server.port}/", "X: " + "a" * 10_000))
    assert who.up > 10_000
