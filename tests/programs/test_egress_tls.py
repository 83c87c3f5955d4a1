"""Does the TLS hello have to name the host that was asked for?"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from jupyter_sandbox_spawner.gateway.egress import Limits

from .egress_support import (
    Account,
    Control,
    Door,
    Server,
    account,
    connect_head,
    open_door,
    serving,
    web,
)

AUTHORITY = trustme.CA()
ACCESS_DENIED = bytes((0x15, 3, 3, 0, 2, 2, 49))


def server_context() -> ssl.SSLContext:
    """TLS for ok.test and for a name that is never asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("ok.test", "evil.test").configure_cert(context)
    return context


def client_context(newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client that trusts the test authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    context.maximum_version = newest
    return context


def hello(name: str | None, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first bytes of a TLS client that asks for this name."""
    context = client_context(newest)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@asynccontextmanager
async def between(server: Server, **limits: float) -> AsyncIterator[tuple[Door, Account]]:
    """A door whose ok.test:443 is this server."""
    who = account("ok.test", "10.0.0.0/8")
    services = {"ok.test:443": server.place, "10.0.0.1:443": server.place}
    async with open_door(who, services=services, limits=Limits(**limits)) as door:  # type: ignore[arg-type]
        yield door, who


def fetch(door: Door, name: str, context: ssl.SSLContext) -> bytes:
    """A whole HTTPS request by CONNECT, as a library would do it; runs in a thread."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(door.path)
        raw.sendall(connect_head("ok.test:443"))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += raw.recv(1)
        with context.wrap_socket(raw, server_hostname=name) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
            got = b""
            while data := secure.recv(65536):
                got += data
            return got


@pytest.mark.proves("E07")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_https_works_end_to_end(version: ssl.TLSVersion) -> None:
    """An HTTPS client verifies the server's own certificate through the door, in TLS 1.2 and 1.3."""
    async with web(tls=server_context()) as server, between(server) as (door, who):
        got = await asyncio.to_thread(fetch, door, "ok.test", client_context(version))
    assert got.endswith(b"hello")
    assert who.codes == ["egress.allowed"]


@pytest.mark.proves("E13")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["evil.test", "sub.ok.test", None])
async def test_another_server_name_is_cut(
    name: str | None, version: ssl.TLSVersion, control: Control
) -> None:
    """A hello that names another host, or none, never reaches the server and is audited."""
    async with _byte_counter() as (server, received), between(server) as (door, who):
        answer = await door.ask(connect_head("ok.test:443") + hello(name, version))
        assert answer.split(b"\r\n\r\n", 1)[1] == ACCESS_DENIED
        assert who.codes == ["egress.sni_mismatch"]
        assert received == []
        good = hello("ok.test", version)
        await door.ask(connect_head("ok.test:443") + good)
        control("the right name arrives unchanged", b"".join(received) == good)


@pytest.mark.proves("E13")
async def test_a_library_is_told(control: Control) -> None:
    """A TLS library that asks for another name fails at once with "access denied"."""
    async with web(tls=server_context()) as server, between(server) as (door, who):
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await asyncio.to_thread(fetch, door, "evil.test", client_context())
        control(
            "the right name is served",
            (await asyncio.to_thread(fetch, door, "ok.test", client_context())).endswith(b"hello"),
        )
    assert who.codes == ["egress.sni_mismatch", "egress.allowed"]


@pytest.mark.proves("E13")
@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 600,
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\x80\x2e\x01\x00\x02" + b"\x00" * 64,
    ],
)
async def test_no_hello_is_cut(raw: bytes, control: Control) -> None:
    """On port 443 anything but a TLS hello is cut and never reaches the server."""
    async with _byte_counter() as (server, received), between(server) as (door, who):
        answer = await door.ask(connect_head("ok.test:443") + raw)
        assert answer.split(b"\r\n\r\n", 1)[1] == ACCESS_DENIED
        assert who.codes == ["egress.sni_mismatch"]
        assert received == []
        await door.ask(connect_head("ok.test:443") + hello("ok.test"))
        control("a hello arrives", received != [])


@pytest.mark.proves("E13")
@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize(
    ("name", "code"), [("ok.test", "egress.allowed"), ("evil.test", "egress.sni_mismatch")]
)
async def test_a_split_hello_is_read_whole(name: str, code: str, size: int) -> None:
    """A hello in small pieces is judged like a whole one, and passes unchanged if its name is right."""
    async with _byte_counter() as (server, received), between(server) as (door, who):
        whole = hello(name)
        client = await door.connect("ok.test:443")
        loop = asyncio.get_running_loop()
        for at in range(0, len(whole), size):
            await loop.sock_sendall(client, whole[at : at + size])
            await asyncio.sleep(0)
        client.shutdown(socket.SHUT_WR)
        while await asyncio.wait_for(loop.sock_recv(client, 100), 5):
            pass
        client.close()
    assert who.codes == [code]
    assert b"".join(received) == (whole if code == "egress.allowed" else b"")


@pytest.mark.proves("E13", "E19")
async def test_an_endless_hello_is_cut(control: Control) -> None:
    """A hello that never ends is cut at its deadline, and one without end in size at 64 KiB."""
    async with _byte_counter() as (server, received), between(server, hello_seconds=0.5) as (door, who):
        waiting = await door.ask(connect_head("ok.test:443") + hello("ok.test")[:50])
        record = b"\x16\x03\x01\x40\x00" + b"\x01\x01\xff\xff" + b"\x03\x03" + b"\x00" * 16378
        await door.ask(connect_head("ok.test:443") + record * 5)
        assert waiting.endswith(ACCESS_DENIED)
        assert who.codes == ["egress.sni_mismatch", "egress.sni_mismatch"]
        assert received == []
        await door.ask(connect_head("ok.test:443") + hello("ok.test"))
        control("a whole hello arrives", received != [])


async def test_an_address_may_go_without_a_name() -> None:
    """To an address that a network rule allows, a hello without a name passes; another name does not."""
    async with _byte_counter() as (server, received), between(server) as (door, who):
        await door.ask(connect_head("10.0.0.1:443") + hello(None))
        assert len(received) == 1
        await door.ask(connect_head("10.0.0.1:443") + hello("evil.test"))
        assert len(received) == 1
    assert who.codes == ["egress.allowed", "egress.sni_mismatch"]


@asynccontextmanager
async def _byte_counter() -> AsyncIterator[tuple[Server, list[bytes]]]:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(65536)
        if data:
            received.append(data)

    async with serving(serve) as server:
        yield server, received
