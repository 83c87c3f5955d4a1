"""Does a detour inside a sandbox, or another's name, change what its egress door decides? E16, E18."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hub_config.demo.upstream import GREETING, INDEX_HOST, MIRROR_HOST
from tests.attacks.test_egress import PROXY
from tests.support.house import House

Control = Callable[[str, bool], None]

# A proxy of the attacker's own: whatever comes to its port goes on to the door, byte for byte.
CHAIN = """
import threading
chain = socket.create_server(("127.0.0.1", 0))
chain_port = chain.getsockname()[1]

def pipe(source, target):
    try:
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def forward():
    while True:
        client, _ = chain.accept()
        door = socket.create_connection(("127.0.0.1", 3128), 10)
        for ends in ((client, door), (door, client)):
            threading.Thread(target=pipe, args=ends, daemon=True).start()
threading.Thread(target=forward, daemon=True).start()
"""


@pytest.mark.proves("E16")
def test_e16_a_chain_of_proxies_gets_the_same_verdict(house: House, control: Control) -> None:
    """By a proxy of one's own in the sandbox a request is decided as it is without, and audited."""
    house.fresh("alice")
    seen = house.attack(
        "alice",
        f"""{PROXY}{CHAIN}
def both(verb, target, host):
    lines = f"{{verb}} {{target}} HTTP/1.1\\r\\nHost: {{host}}\\r\\n\\r\\n".encode()
    return [through_proxy(lines, port, whole=verb == "GET") for port in (3128, chain_port)]
for name, verb, target, host in (
    ("allowed get", "GET", "http://{MIRROR_HOST}/", "{MIRROR_HOST}"),
    ("allowed tunnel", "CONNECT", "{MIRROR_HOST}:80", "{MIRROR_HOST}"),
    ("denied get", "GET", "http://chained.example/", "chained.example"),
    ("denied tunnel", "CONNECT", "chained.example:443", "chained.example"),
    ("address", "CONNECT", "169.254.169.254:80", "169.254.169.254"),
):
    attempt(name, lambda: both(verb, target, host))
""",
    )
    control("the chain carries what is allowed", GREETING in seen["allowed get"]["value"][1])
    verdicts = {name: [text[:12] for text in found["value"]] for name, found in seen.items()}
    allowed, denied = ["HTTP/1.1 200"] * 2, ["HTTP/1.1 403"] * 2
    expected = {
        "allowed get": allowed,
        "allowed tunnel": allowed,
        "denied get": denied,
        "denied tunnel": denied,
    }
    assert verdicts == {**expected, "address": denied}
    events = [event.detail.get("host") for event in house.events("egress.denied", "alice")]
    assert events.count("chained.example") >= 2


@pytest.mark.proves("E18")
def test_e18_nobody_speaks_with_anothers_name_at_the_proxy(house: House, control: Control) -> None:
    """Bob may reach less than alice; saying that he is alice, in any header, changes nothing."""
    alice = house.server("alice")
    house.server("bob")
    house.stop("bob")
    house.server("bob", "guarded")  # a profile that may reach nothing
    try:
        own = house.attack(
            "alice", f'{PROXY}\nattempt("get", lambda: get("http://{MIRROR_HOST}/", "{MIRROR_HOST}"))'
        )
        control("alice may", GREETING in own["get"].get("value", ""))
        seen = house.attack(
            "bob",
            f"""{PROXY}
import base64, glob
claims = {{
    "plain": "",
    "proxy user": "Proxy-Authorization: Basic " + base64.b64encode(b"alice:x").decode(),
    "our headers": "X-Sandbox-Id: {alice}\\r\\nX-Sandbox-User: alice",
    "underscores": "X_Sandbox_Id: {alice}\\r\\nX_Sandbox_User: alice",
    "forwarded": "X-Forwarded-For: alice\\r\\nForwarded: for=alice",
}}
for name, claim in claims.items():
    lines = ["GET http://{INDEX_HOST}/ HTTP/1.1", "Host: {INDEX_HOST}", *filter(None, [claim]), "", ""]
    attempt(name, lambda: through_proxy("\\r\\n".join(lines).encode()))
attempt("doors", lambda: sorted(os.listdir("/run/sandbox/doors")))
attempt("sockets", lambda: "{alice}" in open("/proc/net/unix").read() + open("/proc/self/mountinfo").read())
""",
        )
        doors, sockets = seen.pop("doors")["value"], seen.pop("sockets")
        control("bob's own doors are there", "egress.sock" in doors)
        assert sockets["value"] is False
        assert {name: str(found.get("value"))[:12] for name, found in seen.items()} == dict.fromkeys(
            seen, "HTTP/1.1 403"
        )
        denied = house.events("egress.denied", "bob")
        assert {event.detail["host"] for event in denied} >= {INDEX_HOST}
        assert alice not in {event.sandbox for event in denied}
    finally:
        house.stop("bob")
