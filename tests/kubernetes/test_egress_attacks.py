"""Does anything leave a real pod but by its link? Attacks E01 to E06, I13, O01 and O03, all at once.

Law: the same program in a pod without policies, while nothing enforces any, reaches what it tries. That is
the twin of every refusal.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.backends.tiny import UID_BASE
from tests.support.cluster import Cluster, restricted_pod

from .bench import PodBench, open_bench
from .images import IMAGE, PREFIX
from .outside import METADATA, Outside, Plan, attempts, open_outside, program

Control = Callable[[str, bool], None]
CLOSED = {"ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL"}  # and nobody has said no
NO_SOCKET = {"EPERM", "EACCES", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"}
SERVES = """
import os, signal, socket
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server = socket.create_server(("", 8888))
print("hello from inside", flush=True)
signal.pause()
"""


@dataclass(frozen=True)
class Walk:
    """What a sandbox met, what a pod without policies met, and what was heard of the sandbox."""

    met: dict[str, Any]
    free: dict[str, Any]
    heard: list[str]

    def closed(self, *names: str) -> bool:
        """Was each of these tried, and met by silence or by no way?"""
        return {self.met[name] for name in names} <= CLOSED

    def open(self, *names: str) -> bool:
        """Did the other pod reach each of these?"""
        return [name for name in names if self.free[name] != "ok"] == []


def free_pod(cluster: Cluster, namespace: str, name: str) -> str:
    """A pod without policies that answers at 8888; its address."""
    pod = restricted_pod(name, [f"{PREFIX}/bin/python", "-c", SERVES])
    pod["metadata"]["namespace"] = namespace
    pod["spec"]["containers"][0] |= {"image": IMAGE, "resources": {}}
    cluster.apply(pod)
    return cluster.wait_for_pod(namespace, name)


def walk_free(cluster: Cluster, namespace: str, plan: Plan) -> dict[str, Any]:
    """The program in a pod without policies."""
    words = [f"{PREFIX}/bin/python", "-c", program(plan)]
    status, said = cluster.run_in(namespace, "free", words)
    assert status == 0, said
    return dict(json.loads(said))


async def walk_closed(
    bench: PodBench, outside: Outside, there: str, closed: int
) -> tuple[Plan, dict[str, Any]]:
    """The program in a sandbox, with a neighbour beside it."""
    async with asyncio.timeout(200):
        neighbour = await bench.running(bench.spec(user="bob", main=SERVES, host_uid=UID_BASE + 2))
        status = await bench.backend.status(neighbour.id)
        assert status is not None
        others = {"another sandbox": status.address, "another pod": there}
        plan = attempts(bench.cluster, outside, others, closed)
        return plan, await bench.ask(program(plan))


@pytest.fixture(scope="module")
def walk(with_image: Cluster) -> Iterator[Walk]:
    """Both ways, one after the other."""
    cluster, free = with_image, "test-egress-free"
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="jss-"))
        stack.callback(shutil.rmtree, directory)
        for name in (free, "test-egress"):
            cluster.make_namespace(name)
            stack.callback(cluster.drop_namespace, name, wait=False)
        there = free_pod(cluster, free, "free")
        outside = stack.enter_context(open_outside(cluster))
        other = stack.enter_context(socket.create_server((cluster.host_address, 0)))

        async def both() -> Walk:
            async with open_bench(directory, cluster, "test-egress") as bench:
                plan, met = await walk_closed(bench, outside, there, other.getsockname()[1])
                heard = [*outside.sinks.heard, *outside.heard]
                cluster.enforce(on=False)
                try:
                    open_ways = await asyncio.to_thread(walk_free, cluster, free, plan)
                finally:
                    cluster.enforce(on=True)
                return Walk(met, open_ways, heard)

        yield asyncio.run(both())


@pytest.mark.proves("E01")
def test_no_tcp_to_a_public_address(walk: Walk, control: Control) -> None:
    """At no port of a public address does anybody answer, and nothing has arrived there."""
    names = [name for name in walk.met if name.startswith("public tcp")]
    control("a pod without policies reaches each", walk.open(*names))
    assert walk.closed(*names), walk.met
    assert walk.heard == []


@pytest.mark.proves("E02")
def test_no_datagram_to_a_public_address(walk: Walk, control: Control) -> None:
    """Datagrams do not arrive; there are no sockets for ICMP and none for SCTP that lead anywhere."""
    names = [name for name in walk.met if name.startswith("public udp")]
    control("a pod without policies is answered", walk.open(*names))
    assert walk.closed(*names), walk.met
    assert walk.met["public raw"] in NO_SOCKET
    assert {walk.met["public icmp"], walk.met["public sctp"]} <= CLOSED | NO_SOCKET, walk.met
    assert walk.heard == []


@pytest.mark.proves("E03")
def test_no_ipv6(walk: Walk, control: Control) -> None:
    """No address by IPv6 leads anywhere, nor that which the node's end of a pod's link has by itself."""
    control("that one answers where nothing is enforced", walk.open("ipv6 link"))
    assert walk.closed("ipv6 public", "ipv6 unique local", "ipv6 link", "metadata ipv6"), walk.met
    assert walk.met["interfaces"] == ["eth0", "lo"]


@pytest.mark.proves("E04")
def test_no_names(walk: Walk, control: Control) -> None:
    """No name server answers, the cluster's or another's, and the library finds no name."""
    names = ("names by udp", "names by tcp", "names of others")
    control("a pod without policies is answered by each", walk.open(*names))
    assert walk.closed(*names), walk.met
    assert walk.met["a name"] == "none"


@pytest.mark.proves("E05")
def test_no_metadata(walk: Walk, control: Control) -> None:
    """Services that tell machines their credentials are out of reach."""
    names = [f"metadata {address}" for address in METADATA]
    control("a pod without policies reaches each", walk.open(*names))
    assert walk.closed(*names), walk.met


@pytest.mark.proves("E06", "I13")
def test_no_service_of_the_node(walk: Walk, control: Control) -> None:
    """The API server, the kubelet and other services of the node, by each of its addresses."""
    names = ("kubelet", "api server", "api service", "api by the link")
    services = ("node's service", "node's service by the link")
    control("a pod without policies reaches each", walk.open(*names, *services))
    assert walk.closed(*names, *services), walk.met


@pytest.mark.proves("E06")
def test_no_other_port_of_the_gateway(walk: Walk, control: Control) -> None:
    """At the gateway's address the port of the links is open and no other."""
    control("a pod without policies reaches it", walk.open("gateway's other port"))
    assert walk.closed("gateway's other port"), walk.met


@pytest.mark.proves("O01")
def test_no_other_pod(walk: Walk, control: Control) -> None:
    """Neither another sandbox nor a pod that nothing protects."""
    control("each listens", walk.open("another sandbox", "another pod"))
    assert walk.closed("another sandbox", "another pod"), walk.met


@pytest.mark.proves("O03")
def test_no_word_to_the_neighbourhood(walk: Walk, control: Control) -> None:
    """No frame of one's own, so no ARP and no router's advertisement; a question for a lease is not heard."""
    control("a pod without policies is heard", walk.open("address lease"))
    assert {walk.met["packet"], walk.met["public raw"]} <= NO_SOCKET, walk.met
    assert walk.closed("address lease"), walk.met
    assert walk.heard == []
