"""Do the gateway's events reach audit and user, with none lost while something is away or full?"""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_sandbox_spawner.control.gateway_events import GatewayEvents
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.models import Event

from .control_neighbours import spec
from .test_control_api import ALICE, BOB, Control, control_program

__all__ = ["control_program"]


async def test_denials_and_events_are_the_sandboxs_own(control_program: Control) -> None:
    """A gateway's denial is audited, listed for that sandbox and no other, and acknowledged."""
    gateway = control_program.here.gateway
    detail: dict[str, Any] = {"host": "evil.example", "port": 443, "code": "egress.not_allowed", "rule": ""}
    gateway.spool = [
        Event(
            seq=n,
            time=control_program.here.clock.now(),
            kind="egress.denied",
            sandbox=ALICE.id,
            user="alice",
            server="",
            detail={**detail, "count": 2},
        )
        for n in (1, 2)
    ]
    events = GatewayEvents(control_program.parts)
    assert await events.step(0.1) == 2
    assert gateway.acknowledged == 2
    assert await events.step(0.1) == 0
    _, mine = await control_program.ask("GET", "/api/self/egress")
    assert [(item["host"], item["count"]) for item in mine["denied"]] == [("evil.example", 4)]
    _, others = await control_program.ask("GET", "/api/self/egress", BOB.id)
    assert others["denied"] == []
    _, audit = await control_program.ask("GET", "/api/self/audit")
    assert [line["detail"].get("source_seq") for line in audit["items"][:2]] == [2, 1]
    assert {line["subject"]["user"] for line in audit["items"]} == {"alice"}


async def test_who_knocked_as_its_pod_is_no_host_that_it_asked_for(control_program: Control) -> None:
    """What was refused at the pods' port is audited, and not among the hosts that a sandbox was denied."""
    now = control_program.here.clock.now()
    codes = {"pods.denied": "pods.stranger", "egress.denied": "egress.not_allowed"}
    control_program.here.gateway.spool = [
        Event(
            seq=n,
            time=now,
            kind=kind,
            sandbox=ALICE.id,
            user="alice",
            detail={"host": f"10.0.0.{n}", "code": code},
        )
        for n, (kind, code) in enumerate(codes.items(), 1)
    ]
    assert await GatewayEvents(control_program.parts).step(0.1) == 2
    _, mine = await control_program.ask("GET", "/api/self/egress")
    assert [item["host"] for item in mine["denied"]] == ["10.0.0.2"]
    lines = await control_program.parts.audit.lines(sandbox=ALICE.id, limit=10)
    assert set(codes) <= {line["action"] for line in lines}


@pytest.mark.parametrize("reader", ["", "phi"])
async def test_the_audit_carries_no_words_between_zones(control_program: Control, reader: str) -> None:
    """Of another zone's line, and of one whose sandbox nobody knows, a sandbox reads no word that was chosen
    there, nor a hash that confirms a guess; its own zone's lines it reads whole."""
    chosen = {"": spec("alice", "plain"), "phi": spec("alice", "guarded", zone="phi")}
    asking = spec("alice", "asking", zone=reader)
    for wanted in (*chosen.values(), asking):
        await control_program.start(wanted)
    names = [
        *[(item.id, zone or "plain") for zone, item in chosen.items()],
        ("sb-" + "q" * 20, "unknown"),
        ("", "none"),
    ]
    now = control_program.here.clock.now()
    control_program.here.gateway.spool = [
        Event(
            seq=n,
            time=now,
            kind="egress.denied",
            sandbox=name,
            user="alice",
            detail={"host": f"{word}.example"},
        )
        for n, (name, word) in enumerate(names, 1)
    ]
    await GatewayEvents(control_program.parts).step(0.1)
    _, audit = await control_program.ask("GET", "/api/self/audit", asking.id)
    words = [line["detail"].get("host") for line in audit["items"] if line["action"] == "egress.denied"]
    assert words == [None, None, *(["phi.example", None] if reader else [None, "plain.example"])]
    own = [line for line in audit["items"] if line["subject"]["sandbox"] == asking.id]
    assert own[0]["detail"]["profile"] == "cpu-small"
    assert not any({"hash", "prev"} & set(line) for line in audit["items"])


async def test_events_wait_while_the_audit_is_full(control_program: Control) -> None:
    """What could not be audited is not acknowledged and comes again."""
    gateway = control_program.here.gateway
    now = control_program.here.clock.now()
    gateway.spool = [Event(seq=1, time=now, kind="boot.second_reader", sandbox=ALICE.id, user="alice")]
    events = GatewayEvents(control_program.parts)
    audit = control_program.parts.audit
    write = audit.write

    async def full(*entries: Any, security: bool = True) -> int:
        raise AnswerError("full", code="audit.full")

    audit.write = full  # type: ignore[method-assign]
    with pytest.raises(AnswerError):
        await events.step(0.1)
    assert gateway.acknowledged == 0
    audit.write = write  # type: ignore[method-assign]
    assert await events.step(0.1) == 1
    assert gateway.acknowledged == 1


async def test_a_gateway_that_lost_its_spool_is_heard_again(control_program: Control) -> None:
    """Numbers that start over are noticed and nothing is missed."""
    gateway = control_program.here.gateway
    now = control_program.here.clock.now()
    events = GatewayEvents(control_program.parts)
    gateway.spool = [Event(seq=50, time=now, kind="door.capped", sandbox=ALICE.id, user="alice")]
    assert await events.step(0.1) == 1
    gateway.spool = [Event(seq=1, time=now, kind="door.capped", sandbox=ALICE.id, user="alice")]
    assert await events.step(0.1) == 0
    assert await events.step(0.1) == 1
