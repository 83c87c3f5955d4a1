"""Does the test cluster's DNS answer as a resolver expects it?"""

from __future__ import annotations

import struct

from hub_config.kubernetes.cluster.names import answer, records

HUB = "hub.programs.svc.cluster.local"
KNOWN = {HUB: ["10.203.9.7"]}


def query(name: str, kind: int = 1) -> bytes:
    """A question as a resolver sends it."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def test_a_service_is_found_by_its_name() -> None:
    """One answer with the Service's address, whatever the case of the name."""
    said = answer(query(HUB.upper()), KNOWN)
    assert struct.unpack(">HHHH", said[:8]) == (77, 0x8500, 1, 1)
    assert said.endswith(bytes([10, 203, 9, 7]))


def test_a_name_of_the_world_does_not_exist() -> None:
    """NXDOMAIN, so that a resolver tries its next suffix."""
    said = answer(query("example.com"), KNOWN)
    assert struct.unpack(">HHHH", said[:8]) == (77, 0x8503, 1, 0)


def test_a_service_has_no_ipv6_address() -> None:
    """It exists, without an answer of that kind."""
    said = answer(query(HUB, kind=28), KNOWN)
    assert struct.unpack(">HHHH", said[:8]) == (77, 0x8500, 1, 0)


def test_what_is_no_question_is_not_answered_with_one() -> None:
    """Half a packet gets an error, an answer gets nothing."""
    assert answer(query(HUB)[:20], KNOWN)[3] & 15 == 1
    assert answer(b"", KNOWN) == b""
    assert answer(answer(query(HUB), KNOWN), KNOWN) == b""


def test_a_headless_service_means_its_ready_pods() -> None:
    """Pods that are not ready are left out."""
    meta = {"namespace": "programs", "name": "hub"}
    ends = [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"], "conditions": {"ready": False}}]
    labels = {"kubernetes.io/service-name": "hub"}
    slices = [{"metadata": {"namespace": "programs", "labels": labels}, "endpoints": ends}]
    headless = [{"metadata": meta, "spec": {"clusterIP": "None"}}]
    assert records(headless, slices) == {HUB: ["10.0.0.1"]}
    assert records([{"metadata": meta, "spec": {"clusterIP": "10.203.9.7"}}], slices) == KNOWN
