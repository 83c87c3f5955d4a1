"""Does a sandbox whose doors are a link live as one whose doors are the gateway's own? The real programs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.models import BootDocument, EgressPolicy, IngressPlan, RelayPort
from jupyter_sandbox_spawner.rules.egress import compile_rules
from tests.programs.gateway_house import entry
from tests.programs.streams import raw_request, serving
from tests.programs.wires_street import Street, eventually, free_ports, street

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.asyncio
GREETING = b"from outside" * 20_000
# The server inside: it answers with its token's first letters and how much it was sent.
SERVER = """
import os, sys, http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(os.environ["WORD"].encode())
    def do_POST(self):
        self.answer(str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@dataclass
class Life:
    """A sandbox that runs behind a link."""

    street: Street
    client: GatewayClient
    sandbox: str
    pod: Path
    relay_port: int

    async def get(self, method: str = "GET", body: bytes = b"") -> bytes:
        """What the server inside answers to a browser."""
        lines = [f"{method} /user/ada/ HTTP/1.1", "Host: hub.test", "Connection: close"]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return await raw_request(self.street.front_port, "\r\n".join(lines).encode() + body, 90)

    async def outside(self, target: str) -> bytes:
        """What a program inside gets through its proxy."""
        head = f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"
        return await raw_request(self.relay_port, head.encode(), 60)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(GREETING))
    writer.write(GREETING)
    await writer.drain()


def _document(street: Street, word: str) -> tuple[BootDocument, int]:
    server, relay = free_ports(2)
    document = BootDocument(
        version=1,
        environment={"PATH": os.defpath, "WORD": word},
        argv=(sys.executable, "-c", SERVER, str(server)),
        working_directory=str(street.root),
        relay=(RelayPort(listen=relay, door="egress"),),
        ingress=IngressPlan(port=server, idle_connections=4),
        expires_at=datetime.now(timezone.utc) + timedelta(seconds=60),
    )
    return document, relay


@asynccontextmanager
async def life(port: int, late: bool = False) -> AsyncIterator[Life]:
    """A gateway, its wires, a link and pid 1; `late`: pid 1 comes before the gateway's wires and address."""
    async with street() as made:
        made.change("gateway", internal_services={"files.site:80": f"127.0.0.1:{port}"})
        await made.gateway()
        async with GatewayClient(made.machine("gateway").gateway_socket) as client:
            await made.wires("gateway")
            sandbox, ticket = await made.pod(address="" if late else "127.0.0.1")
            rules = compile_rules([{"host": "files.site", "ports": [80]}], "egress")
            await client.open(sandbox, replace(entry(), egress=EgressPolicy(rules=rules)))
            document, relay = _document(made, "inside-4711")
            if late:
                made.end("wires-gateway")
            else:
                await client.boot(sandbox, document)
            pod = made.link(sandbox, ticket)
            await eventually((pod / "doors/ingress.sock").exists, lambda: made.log(f"link-{sandbox}"))
            inside = (sys.executable, "-I", "-S", "-B", str(pod / "inside"))
            made.launch("inside", *inside, "--doors", str(pod / "doors"), environment={"PATH": os.defpath})
            if late:
                await client.boot(sandbox, document)
                await made.wires("gateway")
                async with made.pods() as pods:
                    await pods.address(sandbox, "127.0.0.1")
            ready = await client.ready(sandbox, 90)
            assert ready, made.log("inside") + made.log(f"link-{sandbox}") + made.log_of("gateway")
            yield Life(made, client, sandbox, pod, relay)
            made.end("inside")


async def test_a_sandbox_boots_serves_and_goes_out_through_its_link(control: Control) -> None:
    """The document, a browser's requests and a download pass; what is not allowed stays refused."""
    async with serving(_greet) as port, life(port) as alive:
        assert (await alive.get()).endswith(b"\r\n\r\ninside-4711")
        assert (await alive.get("POST", b"x" * 5_000_000)).endswith(b"\r\n\r\n5000000")
        got = await alive.outside("files.site")
        control("what the policy allows is reached", got.endswith(b"\r\n\r\n" + GREETING))
        assert b"egress.not_allowed" in await alive.outside("elsewhere.site")
        found = {item.id: item.denials for item in await alive.client.inventory()}
        assert found[alive.sandbox] == 1


def holding(root: Path, secrets: tuple[bytes, ...]) -> set[str]:
    """The directories below a root with a file that holds one of these."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.parent.name for path in files if any(secret in path.read_bytes() for secret in secrets)}


def record_modes(street: Street) -> list[int]:
    """The modes of what the gateway's wires keep of pods."""
    return [path.stat().st_mode & 0o777 for path in Path(street.machine("gateway").pods_dir).iterdir()]


async def test_nothing_of_a_ticket_or_key_is_where_it_should_not_be() -> None:
    """The ticket bought a key that is 0600 in the link's memory; no log and no record holds either."""
    async with serving(_greet) as port, life(port) as alive:
        key = alive.pod / "memory/key"
        assert key.stat().st_mode & 0o777 == 0o600
        secrets = (key.read_bytes(), (alive.pod / "secret/ticket").read_bytes())
        assert holding(alive.street.root, secrets) == {"memory", "secret"}
        assert record_modes(alive.street) == [0o600]


async def test_a_pod_that_is_faster_than_the_site_waits(control: Control) -> None:
    """Pid 1 dials while the gateway's wires are away and its address is unknown: it boots when they come."""
    async with serving(_greet) as port, life(port, late=True) as alive:
        said = alive.street.log(f"link-{alive.sandbox}")
        control("the link had to wait", "not reached yet" in said)
        assert (await alive.get()).endswith(b"inside-4711")


async def test_a_sandbox_outlives_its_gateway_its_wires_and_its_link() -> None:
    """After each of the three was killed and started again the same server answers, without a new ticket."""
    async with serving(_greet) as port, life(port) as alive:
        made = alive.street
        made.end("gateway", signal.SIGKILL)
        await made.gateway()
        assert (await alive.get()).endswith(b"inside-4711")
        made.end("wires-gateway", signal.SIGKILL)
        await made.wires("gateway")
        assert (await alive.get()).endswith(b"inside-4711")
        made.end(f"link-{alive.sandbox}", signal.SIGKILL)
        made.link(alive.sandbox, (alive.pod / "secret/ticket").read_text())
        assert (await alive.get()).endswith(b"inside-4711")
        assert GREETING in await alive.outside("files.site")
