"""Do the gateway's events reach audit and user, with none lost while something is away or full?"""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_sandbox_spawner.control.gateway_events import GatewayEvents
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.models import Event

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
