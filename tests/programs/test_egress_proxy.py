"""Which hosts does the egress door let a sandbox reach, and what does a refused client read?"""

from __future__ import annotations

import asyncio

import pytest

from jupyter_sandbox_spawner.gateway.egress import Limits

from .egress_support import (
    LOOPBACK,
    Control,
    RecordingResolver,
    account,
    allowed,
    code_of,
    connect_head,
    get_head,
    open_door,
    private,
    serving,
    web,
)

METADATA = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "fd00:ec2::254"]
NOT_PUBLIC = [
    ("127.0.0.1",),
    ("10.0.0.5",),
    ("100.64.0.1",),
    ("64:ff9b::a00:5",),
    ("::ffff:127.0.0.1",),
    ("93.184.216.34", "127.0.0.1"),
]


def status_line(answer: bytes) -> str:
    """The first line of an answer."""
    return answer.split(b"\r\n", 1)[0].decode()


@pytest.mark.proves("E07")
async def test_an_allowed_host_answers_by_both_verbs() -> None:
    """An allowed host is reached by CONNECT and by plain HTTP, and both are audited with the address."""
    async with web() as server:
        who = account(private("ok.test", server.port))
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            plain = await door.ask(get_head(f"http://ok.test:{server.port}/a?b=1"))
            through = await door.ask(
                connect_head(f"ok.test:{server.port}") + b"GET /c HTTP/1.1\r\nHost: ok.test\r\n\r\n"
            )
    assert plain.startswith(b"HTTP/1.1 200 OK\r\n")
    assert plain.endswith(b"hello")
    assert through.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert [head.split(b"\r\n")[0] for head in server.heads] == [b"GET /a?b=1 HTTP/1.1", b"GET /c HTTP/1.1"]
    assert who.decided == [
        ("ok.test", server.port, verb, "egress.allowed", LOOPBACK) for verb in ("GET", "CONNECT")
    ]
    assert who.up > 0
    assert who.down > 0


@pytest.mark.proves("E08")
@pytest.mark.parametrize("raw", [connect_head("evil.test:443"), get_head("http://evil.test/")])
async def test_a_denied_host_is_refused_before_dns(raw: bytes, control: Control) -> None:
    """A denied host is refused by both verbs, the reason in the status line, and no lookup is made."""
    async with web() as server:
        who = account(private("ok.test", server.port))
        resolver = RecordingResolver({"ok.test": (LOOPBACK,), "evil.test": (LOOPBACK,)})
        async with open_door(who, resolver) as door:
            answer = await door.ask(raw)
            assert status_line(answer) == "HTTP/1.1 403 Blocked by sandbox: evil.test; see %sandbox egress"
            assert code_of(answer) == "egress.not_allowed"
            assert b"evil.test is not on the allowlist" in answer
            assert who.codes == ["egress.not_allowed"]
            assert resolver.lookups == []
            control("the allowed twin answers", await allowed(door, server.port))
            control("its lookup was recorded", resolver.lookups == ["ok.test"])


@pytest.mark.proves("E05")
@pytest.mark.parametrize("address", METADATA)
async def test_metadata_services_are_refused(address: str, control: Control) -> None:
    """Cloud metadata addresses are refused by address and behind an allowed name."""
    literal = f"[{address}]" if ":" in address else address
    async with web() as server:
        who = account(private("ok.test", server.port), "cloud.test:80", "metadata.google.internal:80")
        names = {
            "ok.test": (LOOPBACK,),
            "cloud.test": (address,),
            "metadata.google.internal": ("169.254.169.254",),
        }
        async with open_door(who, RecordingResolver(names)) as door:
            for raw in (connect_head(f"{literal}:80"), get_head(f"http://{literal}/latest/meta-data/")):
                assert code_of(await door.ask(raw)) == "egress.ip_literal"
            for host in ("cloud.test", "metadata.google.internal"):
                for raw in (connect_head(f"{host}:80"), get_head(f"http://{host}/")):
                    assert code_of(await door.ask(raw)) == "egress.resolved_private"
            control("the allowed twin answers", await allowed(door, server.port))


@pytest.mark.proves("E09")
@pytest.mark.parametrize(
    "literal",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
async def test_ip_literals_never_reach_loopback(literal: str, control: Control) -> None:
    """No spelling of a loopback address reaches a server there, while the allowed name does."""
    async with web() as server:
        who = account(private("ok.test", server.port), "*.example.org")
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            for raw in (
                connect_head(f"{literal}:{server.port}"),
                get_head(f"http://{literal}:{server.port}/"),
            ):
                answer = await door.ask(raw)
                assert answer.startswith(b"HTTP/1.1 403 ")
                assert code_of(answer) == "egress.ip_literal"
            assert server.hits == 0
            control("the allowed twin answers", await allowed(door, server.port))


@pytest.mark.proves("E10")
@pytest.mark.parametrize("addresses", NOT_PUBLIC)
async def test_a_name_with_one_private_address_is_refused(
    addresses: tuple[str, ...], control: Control
) -> None:
    """A name that resolves to a private address, alone or beside a public one, is refused."""
    async with web() as server:
        who = account(private("ok.test", server.port), f"bad.test:{server.port}")
        names = {"ok.test": (LOOPBACK,), "bad.test": addresses}
        async with open_door(who, RecordingResolver(names)) as door:
            for raw in (
                connect_head(f"bad.test:{server.port}"),
                get_head(f"http://bad.test:{server.port}/"),
            ):
                assert code_of(await door.ask(raw)) == "egress.resolved_private"
            assert server.hits == 0
            control("the allowed twin answers", await allowed(door, server.port))


class RebindingResolver(RecordingResolver):
    """A hostile DNS server: every other answer is an internal address, nothing may be cached."""

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        self.lookups.append(host)
        return ("127.0.0.2",) if len(self.lookups) % 2 else (LOOPBACK,)


@pytest.mark.proves("E11")
async def test_rebinding_never_reaches_the_internal_address(control: Control) -> None:
    """Of 200 parallel tries with answers that change each time, none reaches the internal server."""
    async with (
        serving(_hello, host="127.0.0.2") as outer,
        serving(_hello, host=LOOPBACK, port=outer.port) as inner,
    ):
        who = account(private("re.test", outer.port, "127.0.0.2/32"), new_connections_per_second=1000.0)
        resolver = RebindingResolver()
        async with open_door(who, resolver) as door:
            raw = get_head(f"http://re.test:{outer.port}/")
            for _ in range(4):
                answers = await asyncio.gather(*(door.ask(raw) for _ in range(50)))
                assert {code_of(answer) for answer in answers} == {"", "egress.resolved_private"}
        control("the allowed address was reached", outer.hits == 100)
        assert inner.hits == 0
        assert len(resolver.lookups) == 200


@pytest.mark.proves("E12")
@pytest.mark.parametrize("port", [22, 25, 80, 443, 3306])
async def test_a_wrong_port_is_refused(port: int, control: Control) -> None:
    """An allowed host on another port is refused with its own code and no lookup."""
    async with web() as server:
        who = account(private("ok.test", server.port))
        resolver = RecordingResolver({"ok.test": (LOOPBACK,)})
        async with open_door(who, resolver) as door:
            for raw in (connect_head(f"ok.test:{port}"), get_head(f"http://ok.test:{port}/")):
                assert code_of(await door.ask(raw)) == "egress.port_not_allowed"
            assert resolver.lookups == []
            control("the allowed port answers", await allowed(door, server.port))


@pytest.mark.proves("E15")
@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("evil.test#.ok.test", "egress.bad_host"),
        ("evil.test%00.ok.test", "egress.bad_host"),
        ("ok.test@evil.test", "egress.bad_host"),
        ("evil.test\\.ok.test", "egress.bad_host"),
        ("xok.test", "egress.not_allowed"),
        ("ok.test.evil.test", "egress.not_allowed"),
        ("xn--k-hqb.test", "egress.not_allowed"),
        ("ok.test.", "egress.allowed"),
        ("OK.TEST", "egress.allowed"),
    ],
)
async def test_lookalike_names(host: str, code: str) -> None:
    """Only the allowed name itself, with a trailing dot or in upper case, is served, by both verbs."""
    async with web() as server:
        who = account(private("ok.test", server.port))
        resolver = RecordingResolver({"ok.test": (LOOPBACK,)})
        async with open_door(who, resolver) as door:
            await door.ask(get_head(f"http://{host}:{server.port}/"))
            await door.ask(connect_head(f"{host}:{server.port}") + b"GET / HTTP/1.0\r\n\r\n")
        assert who.codes == [code, code]
        assert server.hits == (2 if code == "egress.allowed" else 0)
        assert set(resolver.lookups) == ({"ok.test"} if code == "egress.allowed" else set())


@pytest.mark.parametrize(
    "raw", [b"CONNECT ok.test\x00:1 HTTP/1.1\r\n\r\n", b"GET http://\xd0\xbek.test/ HTTP/1.1\r\n\r\n"]
)
async def test_raw_bytes_in_a_name_are_no_request(raw: bytes) -> None:
    """Zero bytes and raw Unicode in the target are not HTTP and are answered with 400."""
    async with open_door(account("ok.test")) as door:
        assert (await door.ask(raw)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"GET https://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"CONNECT ok.test HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"CONNECT ok.test:https HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"CONNECT http://ok.test:443/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 5\r\n\r\nhello",
        b"GET http://ok.test:8o/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x05\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_anything_but_a_proxy_request_is_refused(raw: bytes) -> None:
    """Origin form, https in absolute form, CONNECT without a port, raw TLS, SOCKS and HTTP/2 get 400."""
    who = account("ok.test", "ok.test:80")
    async with open_door(who, limits=Limits(head_seconds=0.5)) as door:
        answer = await door.ask(raw)
    assert answer.split(b" ")[1] in {b"400", b"408"}
    assert b"see %sandbox egress" in answer.split(b"\r\n")[0]
    assert code_of(answer) == "egress.bad_request"
    assert who.codes == ["egress.bad_request"]


async def test_an_internal_service_answers_without_dns(control: Control) -> None:
    """A named internal service is reached without a lookup, and only where a rule allows it."""
    async with web() as server:
        services = {"pkg.sandbox.internal:80": server.place}
        resolver = RecordingResolver()
        async with open_door(account("other.test"), resolver, services) as door:
            refused = await door.ask(get_head("http://pkg.sandbox.internal/simple/"))
        assert code_of(refused) == "egress.not_allowed"
        async with open_door(account("pkg.sandbox.internal:80"), resolver, services) as door:
            answer = await door.ask(get_head("http://pkg.sandbox.internal/simple/"))
        control("with a rule it answers", answer.endswith(b"hello"))
        assert resolver.lookups == []


async def test_a_name_without_address_is_a_502() -> None:
    """An allowed name without an address is answered with 502 and its own code."""
    async with open_door(account("ok.test")) as door:
        answer = await door.ask(connect_head("ok.test:443"))
    assert status_line(answer) == "HTTP/1.1 502 Sandbox cannot reach ok.test; see %sandbox egress"
    assert code_of(answer) == "egress.unresolved"


async def test_a_closed_port_is_a_502() -> None:
    """An allowed host that refuses the connection is answered with 502 and its own code."""
    async with web() as server:
        port = server.port
    who = account(private("ok.test", port))
    async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
        answer = await door.ask(get_head(f"http://ok.test:{port}/"))
    assert code_of(answer) == "egress.unreachable"
    assert who.codes == ["egress.unreachable"]


async def test_the_next_address_is_tried() -> None:
    """Where the first checked address refuses, the next one is tried."""
    async with web() as server:
        who = account(private("ok.test", server.port, "127.0.0.0/8"))
        names = {"ok.test": ("127.0.0.77", LOOPBACK)}
        async with open_door(who, RecordingResolver(names)) as door:
            assert await allowed(door, server.port)


async def test_a_policy_change_holds_for_the_next_connection() -> None:
    """A rule that is taken away no longer lets the next connection through."""
    async with web() as server:
        who = account(private("ok.test", server.port))
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            assert await allowed(door, server.port)
            who.policy = account().policy
            assert not await allowed(door, server.port)


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    await writer.drain()
