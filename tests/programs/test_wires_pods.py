"""Who gets through the gateway's wires to the doors of a sandbox? Its own pod, from its own address."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import signal
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.pods import PodsClient
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.wires import digest
from tests.programs.gateway_house import boot_document, entry
from tests.programs.streams import connected, shut
from tests.programs.wires_street import HOSTS, Street, eventually, street, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
KEY = "the-link-made-this-key"
ELSEWHERE = "127.0.0.9"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def road() -> AsyncIterator[Street]:
    """The gateway and its wires."""
    async with street() as made:
        await made.gateway()
        await made.wires("gateway", "--patience", "6")
        yield made


def _basic(sandbox: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{sandbox}:{secret}".encode()).decode()


async def _say(road: Street, raw: str, source: str = "127.0.0.1") -> tuple[int, bytes]:
    context = road.certificates.client()
    return await talk(road.pods_port, HOSTS["gateway"], raw.encode(), context, source)


async def buy(
    road: Street, sandbox: str, ticket: str, source: str = "127.0.0.1", key: str = KEY
) -> tuple[int, bytes]:
    """Offer a ticket for a key; the status and the answer."""
    body = json.dumps({"key_sha256": digest(key)})
    head = f"POST /ticket HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return await _say(road, f"{head}Authorization: {_basic(sandbox, ticket)}\r\n\r\n{body}", source)


async def reach(
    road: Street, sandbox: str, door: str = "boot", key: str = KEY, source: str = "127.0.0.1"
) -> tuple[int, bytes]:
    """Ask for a door; the status, and what came through it up to its end."""
    head = f"CONNECT {door}.sandbox:443 HTTP/1.1\r\nHost: x\r\n"
    return await _say(road, f"{head}Proxy-Authorization: {_basic(sandbox, key)}\r\n\r\n", source)


async def opened(road: Street, server: str, word: str, address: str = "127.0.0.1") -> tuple[str, str]:
    """A sandbox with a boot document that holds a word, and its pod; its id and ticket."""
    sandbox, ticket = await road.pod(server, address)
    async with GatewayClient(road.machine("gateway").gateway_socket) as client:
        await client.open(sandbox, entry(server=server))
        await client.boot(sandbox, boot_document(WORD=word))
    return sandbox, ticket


async def refused(road: Street, reason: str) -> int:
    """How often the wires have refused a pod for this reason."""
    async with connected(road.machine("gateway").pods_socket) as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = (await asyncio.wait_for(reader.read(), 40)).decode()
    found = re.search(rf'sandbox_wires_pods_refused_total{{reason="{reason}"}} (\d+)', text)
    return int(found[1]) if found else 0


async def test_a_ticket_buys_one_key_and_is_useless_afterwards(road: Street, control: Control) -> None:
    """A second key for the same ticket is refused, counted and logged; the first goes on opening doors."""
    sandbox, ticket = await opened(road, "t1", "w0rd")
    before = await refused(road, "ticket_used")
    assert (await buy(road, sandbox, ticket))[0] == 204
    status, raw = await buy(road, sandbox, ticket, key="a-thief-made-this")
    assert (status, b"pods.ticket_used" in raw) == (403, True)
    assert (await reach(road, sandbox, key="a-thief-made-this"))[0] == 407
    assert (await reach(road, sandbox, key=ticket))[0] == 407
    assert await refused(road, "ticket_used") == before + 1
    assert "pods.ticket_used" in road.log_of("gateway")
    assert ticket not in road.log_of("gateway")
    control("the pod's own key opens", b"w0rd" in (await reach(road, sandbox))[1])


async def test_a_used_ticket_stays_used_when_the_wires_are_killed(control: Control) -> None:
    """What a ticket bought is on disk before the pod hears of it: after kill -9 the same holds."""
    async with street() as made:
        await made.gateway()
        await made.wires("gateway")
        sandbox, ticket = await opened(made, "k1", "w0rd")
        assert (await buy(made, sandbox, ticket))[0] == 204
        made.end("wires-gateway", signal.SIGKILL)
        await made.wires("gateway")
        assert (await buy(made, sandbox, ticket, key="another"))[0] == 403
        assert (await buy(made, sandbox, ticket))[0] == 204
        control("the key that was bought still opens", b"w0rd" in (await reach(made, sandbox))[1])


@pytest.mark.proves("E18")
async def test_e18_nothing_counts_from_another_address(road: Street, control: Control) -> None:
    """A pod that has another's ticket or key, and everything else right, is refused: it is elsewhere."""
    sandbox, ticket = await opened(road, "a1", "w0rd")
    status, raw = await buy(road, sandbox, ticket, source=ELSEWHERE)
    assert (status, b"pods.address_foreign" in raw) == (403, True)
    assert (await buy(road, sandbox, ticket))[0] == 204
    status, raw = await reach(road, sandbox, source=ELSEWHERE)
    assert (status, b"pods.address_foreign" in raw, b"w0rd" in raw) == (403, True, False)
    assert f"{ELSEWHERE} refused (pods.address_foreign)" in road.log_of("gateway")
    control("from its own address it is served", b"w0rd" in (await reach(road, sandbox))[1])


@pytest.mark.proves("E18")
async def test_e18_a_key_opens_no_other_sandboxs_doors(road: Street, control: Control) -> None:
    """With its own key and another's id a sandbox gets nowhere, even at that one's address, at any door."""
    mine, my_ticket = await opened(road, "m1", "m1ne")
    other, other_ticket = await opened(road, "o1", "0ther", ELSEWHERE)
    assert (await buy(road, mine, my_ticket))[0] == 204
    assert (await buy(road, other, other_ticket, ELSEWHERE, "the-other-key"))[0] == 204
    for door in ("boot", "egress", "api", "ingress"):
        status, raw = await reach(road, other, door, source=ELSEWHERE)
        assert (status, b"pods.stranger" in raw) == (407, True)
    assert (await buy(road, other, my_ticket, ELSEWHERE))[0] == 401
    control("its own door opens with it", b"m1ne" in (await reach(road, mine))[1])


async def test_nobody_comes_before_the_address_is_known(road: Street, control: Control) -> None:
    """Until the pod's address is told it hears that it may ask again, and a stranger hears nothing of it."""
    sandbox, ticket = await road.pod("n1", address="")
    status, raw = await buy(road, sandbox, ticket)
    assert (status, b"pods.address_unknown" in raw, b"Retry-After" in raw) == (503, True, True)
    assert (await buy(road, sandbox, "guessed"))[0] == 401
    async with road.pods() as pods:
        await pods.address(sandbox, "127.0.0.1")
    control("then it buys", (await buy(road, sandbox, ticket))[0] == 204)


@pytest.mark.parametrize("door", ["own", "../boot", "launcher", "control-hub", "BOOT"])
async def test_there_are_four_doors_and_no_other_socket(road: Street, control: Control, door: str) -> None:
    """A sandbox reaches no socket of a program, whatever it names."""
    sandbox, ticket = await opened(road, f"d{len(door)}{door[0].lower()}", "w0rd")
    assert (await buy(road, sandbox, ticket))[0] == 204
    status, raw = await reach(road, sandbox, door)
    assert (status, b"wires.unknown" in raw) == (404, True)
    control("the boot door opens", b"w0rd" in (await reach(road, sandbox))[1])


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("CONNECT boot.sandbox:443 HTTP/1.1\r\nHost: x\r\n\r\n", 407),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET /pods HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("PUT /pods/sb-aaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST /ticket HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n", 413),
        ("POST /ticket HTTP/1.1\r\nHost: x\r\nX: " + "x" * 20_000 + "\r\n\r\n", 431),
        ("POST /ticket HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{", 408),
        ("POST /ticket HT", 408),
    ],
)
async def test_what_a_stranger_may_say_is_little(road: Street, raw: str, status: int) -> None:
    """Without credentials, with other methods, with too much or too slowly: a refusal in time."""
    found, answer = await _say(road, raw)
    assert found == status
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert {"code", "message"} <= document.keys()


async def test_one_address_cannot_use_up_the_port(road: Street, control: Control) -> None:
    """Of an address only so many connections without a name are held; another address is served meanwhile."""
    sandbox, ticket = await road.pod("f1")
    before = await refused(road, "crowded")
    flood = await asyncio.gather(
        *(
            asyncio.open_connection(HOSTS["gateway"], road.pods_port, local_addr=(ELSEWHERE, 0))
            for _ in range(150)
        )
    )
    try:
        bought = await asyncio.wait_for(buy(road, sandbox, ticket), 20)
        control("another address is served", bought[0] == 204)
        assert await refused(road, "crowded") > before
    finally:
        for _, writer in flood:
            await shut(writer)


async def test_a_pod_that_is_forgotten_loses_its_connections(road: Street, control: Control) -> None:
    """Forgetting ends what is open, and neither key nor ticket counts any more; again it is a no-op."""
    sandbox, ticket = await road.pod("g1")
    async with GatewayClient(road.machine("gateway").gateway_socket) as client:
        await client.open(sandbox, entry(server="g1"))
    assert (await buy(road, sandbox, ticket))[0] == 204
    waiting = asyncio.ensure_future(reach(road, sandbox))  # for a document that does not come

    async with road.pods() as pods:

        async def held() -> bool:
            return (await pods.inventory())[sandbox].connections == 1

        await eventually(held, lambda: road.log_of("gateway"))
        control("it is held until then", not waiting.done())
        await pods.forget(sandbox)
        await pods.forget(sandbox)
        assert sandbox not in await pods.inventory()
    results = await asyncio.gather(waiting, return_exceptions=True)
    assert b"sb-" not in repr(results).encode()
    assert (await reach(road, sandbox))[0] == 407
    assert (await buy(road, sandbox, ticket))[0] == 401


async def test_what_is_told_of_a_pod_is_checked(road: Street, control: Control) -> None:
    """No digest, no address, an unknown pod and a change of what was told are refused, each with its code."""
    sandbox, ticket = await road.pod("c1")
    async with road.pods() as pods:
        for call, code in (
            (pods.register(sandbox, "short"), "pods.invalid"),
            (pods.register("../../etc", digest(ticket)), "wire.unknown"),
            (pods.register(sandbox, digest("other")), "pods.differs"),
            (pods.address(sandbox, "pod.example"), "pods.invalid"),
            (pods.address(sandbox, "10.9.9.9"), "pods.differs"),
            (pods.address("sb-" + "z" * 20, "10.9.9.9"), "sandbox.unknown"),
        ):
            with pytest.raises(AnswerError) as caught:
                await call
            assert caught.value.code in (code, "program.answered")
        await pods.register(sandbox, digest(ticket))
        await pods.address(sandbox, "::ffff:127.0.0.1")
        control("the same again changes nothing", (await pods.inventory())[sandbox].address == "127.0.0.1")


async def test_the_hub_tells_of_pods_from_another_machine(road: Street, control: Control) -> None:
    """Through its own wires the hub registers a pod; a program that does not call there cannot."""
    await road.wires("hub")
    async with PodsClient(road.machine("hub").pods_socket) as pods:
        sandbox = sandbox_id("ada", "w1", "1")
        await pods.register(sandbox, digest("ticket"))
        await pods.address(sandbox, "127.0.0.1")
        control("the hub's word counts", (await buy(road, sandbox, "ticket"))[0] == 204)
    head = "CONNECT pods.sandbox:443 HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = {}
    for program in ("hub", "launcher"):
        context = road.certificates.client(road.certificates.make(program, "127.0.0.1"))
        raw = f"{head}GET /health HTTP/1.0\r\n\r\n".encode()
        answers[program] = (await talk(road.port, HOSTS["gateway"], raw, context))[0]
    assert answers == {"hub": 200, "launcher": 403}


async def test_the_link_serves_its_users_uid_alone(road: Street, control: Control) -> None:
    """A process of another uid in the pod is sent away at each door, with nothing carried."""
    served = {}
    for server, uid in (("u1", None), ("u2", 54321)):
        sandbox, ticket = await opened(road, server, "w0rd")
        pod = road.link(sandbox, ticket, uid=uid)
        await eventually((pod / "doors/ingress.sock").exists, lambda name=sandbox: road.log(f"link-{name}"))
        assert (pod / "doors/boot.sock").stat().st_mode & 0o777 == 0o666
        async with connected(str(pod / "doors/boot.sock")) as (reader, _):
            served[server] = b"w0rd" in await asyncio.wait_for(reader.read(), 40)
    control("the user's uid is served", served["u1"])
    assert not served["u2"]


async def test_a_link_with_a_ticket_of_nobody_ends_and_says_why(road: Street) -> None:
    """Where the gateway refuses the ticket for good, the link ends with 3 and the code."""
    sandbox, _ = await road.pod("x1")
    road.link(sandbox, "not-the-ticket")
    process = road.running[f"link-{sandbox}"]
    await eventually(lambda: process.poll() is not None, lambda: road.log(f"link-{sandbox}"))
    assert process.returncode == 3
    assert "pods.stranger" in road.log(f"link-{sandbox}")
