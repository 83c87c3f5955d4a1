"""Who knows the names of Services on the test cluster? This small DNS server, over UDP. Test-only.

It answers for `NAME.NAMESPACE.svc.cluster.local` and nothing else: no name of the world is found from a pod.
Started as a module with a cluster's directory and number.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .api import Api, Followed
from .layout import DOMAIN, Layout

__all__ = ["answer", "main", "records"]

_A, _NOT_FOUND, _MALFORMED = 1, 3, 1
_AUTHORITATIVE = 0x8400
_SECONDS = 5  # how long an answer may be kept
Item = Mapping[str, Any]


def records(services: Iterable[Item], slices: Iterable[Item]) -> dict[str, list[str]]:
    """Addresses by name: of a Service its own, of a headless one those of its ready pods."""
    ready: dict[tuple[str, str], list[str]] = {}
    for item in slices:
        meta = item["metadata"]
        owner = meta.get("labels", {}).get("kubernetes.io/service-name", "")
        for endpoint in item.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready", True):
                ready.setdefault((meta["namespace"], owner), []).extend(endpoint["addresses"])
    found = {}
    for item in services:
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        own = item["spec"].get("clusterIP", "")
        if own:
            there = ready.get((namespace, name), []) if own == "None" else [own]
            found[f"{name}.{namespace}.svc.{DOMAIN}"] = sorted(there)
    return found


def answer(query: bytes, known: Mapping[str, list[str]]) -> bytes:
    """The packet that answers a packet; b"" for one that is no question."""
    if len(query) < 12 or query[2] & 0x80:
        return b""
    number, flags, questions = struct.unpack(">HHH", query[:6])
    told = _AUTHORITATIVE | (flags & 0x0100)
    try:
        name, end = _name(query)
        kind = struct.unpack(">H", query[end : end + 2])[0]
    except (IndexError, struct.error, UnicodeDecodeError):
        return struct.pack(">HHHHHH", number, told | _MALFORMED, 0, 0, 0, 0)
    addresses = known.get(name.lower())
    given = [] if addresses is None or kind != _A else addresses
    code = _NOT_FOUND if addresses is None or questions != 1 else 0
    head = struct.pack(">HHHHHH", number, told | code, 1, len(given), 0, 0)
    body = b"".join(
        # The name is the question's, at byte 12.
        struct.pack(">HHHIH4s", 0xC00C, _A, 1, _SECONDS, 4, socket.inet_aton(address))
        for address in given
    )
    return head + query[12 : end + 4] + body


def _name(query: bytes) -> tuple[str, int]:
    """The name asked for, and where it ends."""
    parts, place = [], 12
    while length := query[place]:
        if length > 63:
            raise IndexError(place)  # a reference: nobody needs one in a question
        parts.append(query[place + 1 : place + 1 + length].decode("ascii"))
        place += 1 + length
    return ".".join(parts), place + 1


def main(layout: Layout) -> None:
    """Until it is ended."""
    api, changed = Api(layout), threading.Event()
    services = Followed(api, "/api/v1/services", changed.set)
    slices = Followed(api, "/apis/discovery.k8s.io/v1/endpointslices", changed.set)
    known: dict[str, list[str]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind((layout.names_address, 53))
        while True:
            query, caller = door.recvfrom(4096)
            if changed.is_set():
                changed.clear()
                known = records(services.items.values(), slices.items.values())
            if said := answer(query, known):
                door.sendto(said, caller)


if __name__ == "__main__":
    main(Layout(Path(sys.argv[1]), int(sys.argv[2])))
