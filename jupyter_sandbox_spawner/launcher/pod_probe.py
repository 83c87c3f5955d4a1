"""What does a probe on a cluster try besides? Runs inside a pod, needs the standard library only.

Arguments: the source of the other probe (canary_probe.py), and JSON: `gateway` [host, port] must answer,
`closed` by name [kind, host, port] must not. Prints lines as the other probe does.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
import threading
import time

__all__ = ["MARK", "main"]

MARK = "canary: "
PATIENCE = 2.0  # seconds for each attempt; all are made at once
GATEWAY = 20.0  # seconds until the network of a new pod has to know its way out
MOST = 4200  # processes and threads; below it the kubelet has to stop a pod
KUBELET = 10250
LINK = bytes.fromhex("fe80000000000000")
# A question for the name server: example.org, type A.
QUESTION = struct.pack(">6H", 4711, 0x0100, 1, 0, 0, 0) + b"\x07example\x03org\x00\x00\x01\x00\x01"


def _tcp(host: str, port: int) -> None:
    """Reach a TCP port."""
    socket.create_connection((host, port), PATIENCE).close()


def _udp(host: str, port: int) -> None:
    """Get an answer of a name server."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE)
        sender.sendto(QUESTION, (host, port))
        sender.recvfrom(512)


def _attempt(kind: str, host: str, port: int) -> str:
    try:
        (_udp if kind == "udp" else _tcp)(host, port)
    except OSError as error:
        return type(error).__name__
    return "ok"


def _closed(places: dict[str, list[object]]) -> dict[str, str]:
    """Every attempt at once, and what each met."""
    found: dict[str, str] = {}

    def attempt(name: str, kind: str, host: str, port: int) -> None:
        found[name] = _attempt(kind, host, port)

    workers = [
        threading.Thread(target=attempt, args=(name, str(kind), str(host), int(str(port))))
        for name, (kind, host, port) in places.items()
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return found


def _node_at(hosts: list[str]) -> str:
    """Is the node reached at one of these addresses of its? "absent" where there are none."""
    met = list(_closed({host: ["tcp", host, KUBELET] for host in hosts}).values())
    return "ok" if "ok" in met else met[0] if met else "absent"


def _beside_us(net: str = "/proc/net") -> list[str]:
    """The node's addresses on the links that we share with it, global, unique-local or of the link alone.

    Routes name them; the last kind follows from the hardware's address of whoever answers for IPv4, too.
    """
    hosts = []
    for line in _lines(f"{net}/ipv6_route"):
        words = line.split()
        if len(words) == 10 and any(hop := _bytes(words[4], 16)):
            scope = f"%{words[9]}" if hop.startswith(LINK) else ""
            hosts.append(socket.inet_ntop(socket.AF_INET6, hop) + scope)
    for line in _lines(f"{net}/arp")[1:]:
        words = line.split()
        if len(words) == 6 and any(raw := _bytes(words[3].replace(":", ""), 6)):
            half = bytes([raw[0] ^ 2, *raw[1:3], 0xFF, 0xFE, *raw[3:6]])
            hosts.append(f"{socket.inet_ntop(socket.AF_INET6, LINK + half)}%{words[5]}")
    return list(dict.fromkeys(hosts))


def _bytes(text: str, number: int) -> bytes:
    """So many bytes; none where a kernel wrote something else there."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return b""
    return found if len(found) == number else b""


def _lines(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:  # a kernel without IPv6, or none of Linux's
        return []


def _gateway(host: str, port: int) -> str:
    """The positive control: the one way out is open."""
    deadline = time.monotonic() + GATEWAY
    while True:
        met = _attempt("tcp", host, port)
        if met == "ok" or time.monotonic() > deadline:
            return met
        time.sleep(0.2)


def _endless() -> str:
    """Start threads until something stops us; "ok" where nothing does. They go with the process.

    Without Python in them: four thousand that want its lock take a minute of a quarter of a processor.
    """
    libc = ctypes.CDLL(None)
    small = ctypes.create_string_buffer(128)  # more than a pthread_attr_t anywhere
    libc.pthread_attr_init(small)
    libc.pthread_attr_setstacksize(small, 64 << 10)
    wait = ctypes.cast(libc.pause, ctypes.c_void_p)
    made = ctypes.c_ulong()
    for _ in range(MOST):
        if libc.pthread_create(ctypes.byref(made), small, wait, None):
            return "refused"
    return "ok"


def _account() -> bool:
    """Is there anything by which the cluster's API would know us?"""
    files = os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token")
    return files or bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def main(source: str, plan: str) -> None:
    """Run both probes; each prints a line, and a third says whether the number of processes has an end."""
    asked = json.loads(plan)
    places = dict(asked["closed"])
    first, *more = os.environ.get("NODE_ADDRESSES", "").split(",")
    if first:
        places["the node's kubelet"] = ["tcp", first, KUBELET]
    found = _closed(places)
    found["gateway"] = _gateway(*asked["gateway"])
    # Once more, now that the pod's network is complete: some networks know their rules late.
    found |= {name: met for name, met in _closed(places).items() if met == "ok"}
    found["the node by IPv6"] = _node_at([host for host in more if ":" in host])
    found["the node by its link"] = _node_at(_beside_us())
    found["account"] = "ok" if _account() else "refused"
    probe: dict[str, object] = {"__name__": "canary_probe"}
    exec(compile(source, "canary_probe", "exec"), probe)  # noqa: S102 - our own, from the command line
    probe["main"]([])  # type: ignore[operator]
    print(MARK + json.dumps(found), flush=True)  # noqa: T201
    # Last and apart: where nothing stops it, it may end with us.
    print(MARK + json.dumps({"endless processes": _endless()}), flush=True)  # noqa: T201
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
