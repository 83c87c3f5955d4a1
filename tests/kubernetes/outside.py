"""What is there to be reached from a pod? Servers at places that attackers try, and the program that tries.

The cluster has no way out of the machine, so a public address is one of this machine's, with a way to it;
metadata services and the node's own services are sockets in the cluster's network.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_config.kubernetes.cluster import room
from tests.support.cluster import Cluster
from tests.support.sinks import TCP_PORTS, UDP_PORTS, Sinks, open_sinks

__all__ = ["METADATA", "Outside", "Plan", "attempts", "open_outside", "program"]

METADATA = ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200")
_NEW_NETWORK = 0x40000000
Plan = dict[str, tuple[str, str, int]]
# Each attempt gives "ok", or what refused it. Datagrams are "ok" when somebody answers.
_PROGRAM = """
import errno, json, os, socket, struct, threading
plan, met = json.loads(%r), {}
question = struct.pack(">6H", 4711, 0x0100, 1, 0, 0, 0) + b"\\x06secret\\x04test\\x00\\x00\\x01\\x00\\x01"
def neighbour():
    # The address that the other end of our link has by IPv6, made from the card's that ARP told.
    for line in open("/proc/net/arp").read().splitlines()[1:]:
        card = bytes.fromhex(line.split()[3].replace(":", ""))
        if any(card):
            end = bytes([card[0] ^ 2]) + card[1:3] + b"\\xff\\xfe" + card[3:]
            return socket.inet_ntop(socket.AF_INET6, b"\\xfe\\x80" + bytes(6) + end)
    raise OSError(errno.ENETUNREACH, "nobody is there")
def gateway():
    for line in open("/proc/net/route").read().splitlines()[1:]:
        words = line.split()
        if words[1] == "00000000":
            return socket.inet_ntoa(struct.pack("<I", int(words[2], 16)))
def place(host, port):
    host = gateway() if host == "gateway" else host
    if host == "neighbour":
        return neighbour(), port, 0, socket.if_nametoindex("eth0")
    return (host, port, 0, 0) if ":" in host else (host, port)
def attempt(kind, host, port):
    there = place(host, port)
    family = socket.AF_INET6 if len(there) == 4 else socket.AF_INET
    stream, datagram, raw = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
    kinds = {"tcp": (stream, 0), "dns by tcp": (stream, 0), "sctp": (stream, 132), "udp": (datagram, 0),
             "icmp": (datagram, 1), "raw": (raw, 1), "packet": (raw, 0), "lease": (datagram, 0)}
    if kind == "packet":
        family = socket.AF_PACKET
    with socket.socket(family, *kinds[kind]) as client:
        client.settimeout(2.5)
        if kind in ("tcp", "dns by tcp", "sctp"):
            client.connect(there)
            if kind == "dns by tcp":
                client.sendall(struct.pack(">H", len(question)) + question)
            return
        if kind == "lease":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        echo = struct.pack(">BBHHH", 8, 0, 0, 1, 1)
        client.sendto(echo if kind in ("icmp", "raw") else question, there)
        client.recvfrom(512)
def tried(name, words):
    try:
        attempt(*words)
        met[name] = "ok"
    except TimeoutError:
        met[name] = "ETIMEDOUT"
    except OSError as error:
        met[name] = errno.errorcode.get(error.errno, type(error).__name__)
threads = [threading.Thread(target=tried, args=item) for item in plan.items()]
for thread in threads: thread.start()
for thread in threads: thread.join()
try:
    socket.getaddrinfo("kubernetes.default.svc.cluster.local", 443)
    met["a name"] = "ok"
except socket.gaierror as error:
    met["a name"] = "none"
met["interfaces"] = sorted(name for _, name in socket.if_nameindex())
print(json.dumps(met))
"""


@dataclass
class Outside:
    """`heard` is which questions for a lease arrived at the node."""

    sinks: Sinks
    node: int  # a TCP port that a service of the node, as its exporter of metrics, has at all its addresses
    heard: list[str] = field(default_factory=list)


def program(plan: Plan) -> str:
    """The program that makes all attempts at once and prints what each met."""
    return _PROGRAM % (json.dumps(plan),)


def attempts(cluster: Cluster, outside: Outside, others: Mapping[str, str], closed: int) -> Plan:
    """Everything to try. `others`: addresses of pods; `closed`: another port of the gateway's address."""
    layout, public = cluster.layout, outside.sinks.address
    plan: Plan = {
        **{f"public tcp {port}": ("tcp", public, port) for port in TCP_PORTS},
        **{f"public udp {port}": ("udp", public, port) for port in UDP_PORTS},
        "public icmp": ("icmp", public, 0),
        "public raw": ("raw", public, 0),
        "public sctp": ("sctp", public, 5000),
        "names by udp": ("udp", layout.names_address, 53),
        "names by tcp": ("dns by tcp", public, 53),
        "names of others": ("udp", public, 53),
        **{f"metadata {address}": ("tcp", address, 80) for address in METADATA},
        "metadata ipv6": ("tcp", "fd00:ec2::254", 80),
        "ipv6 public": ("tcp", "2001:db8::1", 443),
        "ipv6 unique local": ("tcp", "fd00::1", 443),
        "ipv6 link": ("tcp", "neighbour", outside.node),
        "kubelet": ("tcp", layout.node_address, 10250),
        "api server": ("tcp", layout.node_address, 6443),
        "api service": ("tcp", layout.services.replace(".0/24", ".1"), 443),
        "api by the link": ("tcp", "gateway", 6443),
        "node's service": ("tcp", layout.node_address, outside.node),
        "node's service by the link": ("tcp", "gateway", outside.node),
        "gateway's other port": ("tcp", cluster.host_address, closed),
        "address lease": ("lease", "255.255.255.255", 67),
        "packet": ("packet", "eth0", 0),
    }
    plan |= {name: ("tcp", address, 8888) for name, address in others.items()}
    return plan


@contextmanager
def open_outside(cluster: Cluster) -> Iterator[Outside]:
    """Everything listens until the block ends."""
    with ExitStack() as stack:
        sinks = stack.enter_context(open_sinks())
        _must(cluster, "ip", "route", "add", f"{sinks.address}/32", "via", cluster.host_address)
        stack.callback(_must, cluster, "ip", "route", "del", f"{sinks.address}/32")
        for address in METADATA:
            _must(cluster, "ip", "addr", "add", f"{address}/32", "dev", "lo")
            stack.callback(_must, cluster, "ip", "addr", "del", f"{address}/32", "dev", "lo")
        made = _inside(cluster, _sockets)
        for item in made:
            stack.enter_context(item)
        found = Outside(sinks, made[0].getsockname()[1])
        stack.enter_context(_hearing(made[-1], found.heard))
        yield found


def _sockets() -> list[socket.socket]:
    everywhere = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    listeners = [socket.create_server((address, 80)) for address in METADATA]
    leases = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    leases.bind(("", 67))
    return [everywhere, *listeners, leases]


def _must(cluster: Cluster, *words: str) -> None:
    subprocess.run(room.enter(cluster.first, words), check=True, capture_output=True)


def _inside(cluster: Cluster, act: Callable[[], Any]) -> Any:
    """What `act` gives when it runs in the cluster's network: sockets stay where they were made."""
    answer: list[Any] = []

    def run() -> None:
        place = os.open(Path(f"/proc/{cluster.first}/ns/net"), os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(place, _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")
            answer.append(act())
        finally:
            os.close(place)

    thread = threading.Thread(target=run)  # one of its own, as it does not come back
    thread.start()
    thread.join()
    return answer[0]


@contextmanager
def _hearing(listener: socket.socket, heard: list[str]) -> Iterator[None]:
    """Datagrams are noted and answered."""
    wake, waker = socket.socketpair()
    with wake, waker, selectors.DefaultSelector() as watcher:
        for end in (wake, listener):
            watcher.register(end, selectors.EVENT_READ)

        def hear() -> None:
            while all(key.fileobj is not wake for key, _ in watcher.select()):
                data, peer = listener.recvfrom(512)
                heard.append(f"{peer[0]}: {data!r}")
                listener.sendto(data, peer)

        thread = threading.Thread(target=hear)
        thread.start()
        try:
            yield
        finally:
            waker.send(b"x")
            thread.join()
