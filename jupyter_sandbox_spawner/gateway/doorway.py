"""Which doors does a sandbox have, with which caps, and who serves each?"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..models import EgressPolicy
from .answers import Refusal, plain_refusal
from .door import Door, DoorPlan, Reserve
from .sandbox import OpenSandbox

__all__ = ["Carriers", "open_doors", "resize_egress"]

Carry = Callable[[socket.socket, OpenSandbox], Awaitable[None]]

_BOOT_CONNECTIONS = 8
_CONNECTS_PER_SECOND = 400.0  # of one door; what is above waits in that door's own backlog
# Of the egress door: a connection that is refused costs the gateway as much as a small request. Twice the
# policy's rate, so that refusals are told, and this at least, so that they do not wait long for it.
_EGRESS_AT_LEAST = 50.0
# The egress proxy answers above its policy's caps with a sentence; it needs room to say so.
_ROOM_TO_REFUSE = 64


@dataclass(frozen=True, kw_only=True)
class Carriers:
    """Who serves the egress and API doors of every sandbox."""

    egress: Carry
    api: Carry


def open_doors(sandbox: OpenSandbox, directory: str, carriers: Carriers, reserve: Reserve) -> list[Door]:
    """Bind the four doors of a sandbox in its directory; either all are open or none."""
    limits = sandbox.entry.limits
    too_many = f"Blocked by sandbox: more than {limits.api_connections} connections to the hub's API"
    plans = [
        _plan(sandbox, directory, "boot", _BOOT_CONNECTIONS, sandbox.boot.handle, b""),
        _plan(
            sandbox,
            directory,
            "egress",
            sandbox.policy.max_connections + _ROOM_TO_REFUSE,
            lambda connection: carriers.egress(connection, sandbox),
        ),
        _plan(
            sandbox,
            directory,
            "api",
            limits.api_connections,
            lambda connection: carriers.api(connection, sandbox),
            plain_refusal(Refusal(503, "door.capped", too_many, True)),
        ),
        _plan(sandbox, directory, "ingress", limits.ingress_connections, sandbox.ingress.handle),
    ]
    doors: list[Door] = []
    try:
        for plan in plans:
            door = Door(plan, reserve)
            door.open()
            doors.append(door)
    except OSError:
        for door in doors:
            door.stop_listening()
        raise
    return doors


def resize_egress(sandbox: OpenSandbox) -> None:
    """Fit the egress door to the policy that holds now."""
    for door in sandbox.doors:
        if door.plan.name == "egress":
            door.resize(sandbox.policy.max_connections + _ROOM_TO_REFUSE, _egress_rate(sandbox.policy))


def _egress_rate(policy: EgressPolicy) -> float:
    return max(_EGRESS_AT_LEAST, 2 * policy.new_connections_per_second)


def _plan(
    sandbox: OpenSandbox,
    directory: str,
    name: str,
    connections: int,
    handler: Callable[[socket.socket], Awaitable[None]],
    refusal: bytes | None = None,
) -> DoorPlan:
    return DoorPlan(
        name=name,
        path=f"{directory}/{name}.sock",
        uid=sandbox.entry.host_uid,
        connections=connections,
        per_second=_egress_rate(sandbox.policy) if name == "egress" else _CONNECTS_PER_SECOND,
        handler=handler,
        on_foreign=lambda door, uid: _foreign(sandbox, door, uid),
        on_capped=lambda what: sandbox.reporter.report("door.capped", {"door": what, "code": "door.capped"}),
        refusal=refusal,
    )


def _foreign(sandbox: OpenSandbox, door: str, uid: int) -> None:
    if door == "boot":
        sandbox.boot.foreign(uid)
    else:
        sandbox.deny("door.foreign", {"door": door, "uid": uid, "code": "door.foreign"})
