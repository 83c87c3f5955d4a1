"""Which doors has a pod, and is there room for one more connection of it? Beside all the others' pods.

Law: while less than half of all room is taken nobody is asked; above, a pod has its equal share of that half,
so that those who hold most cannot keep anybody from having some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ConfigurationError

__all__ = ["DENIED", "DOORS", "PodDenial", "Room", "checked", "is_room", "room_of"]

# Connections of one pod at each door. The link binds them in this order.
DOORS: Mapping[str, int] = {"boot": 8, "egress": 256, "api": 64, "ingress": 128}
# Refusals that no pod of ours earns by itself: the audit hears of them.
DENIED = frozenset({"pods.address_foreign", "pods.stranger", "pods.ticket_used"})
_NAMELESS = 2048
_BY_MEMORY = 12_288  # each holds up to 105 KB while its reader waits: 1.3 GB of the wires' 2 GiB


@dataclass(frozen=True)
class Room:
    """Connections of all pods together: `nameless` before they have said who they are, `carried` after."""

    nameless: int
    carried: int


@dataclass(frozen=True)
class PodDenial:
    """So many attempts at the pods' port that were refused alike: `claimed` is whose pod it said to be."""

    code: str
    address: str = ""
    claimed: str = ""
    count: int = 1


def checked(denial: PodDenial) -> PodDenial:
    """The same one. Raises ConfigurationError where it is none of the refusals, or of a number below one."""
    field = "code" if denial.code not in DENIED else "count" if denial.count < 1 else ""
    if field:
        raise ConfigurationError(
            f"{getattr(denial, field)!r} is no {field} of a refusal at the pods' port.",
            code="wire.invalid",
            field=field,
        )
    return denial


def room_of(descriptors: int) -> Room:
    """What a process with so many descriptors has room for; a quarter of them is left to programs.

    A connection that is carried holds two.
    """
    quarter = descriptors // 4
    return Room(nameless=min(_NAMELESS, quarter), carried=min(_BY_MEMORY, quarter))


def is_room(own: int, all_pods: int, pods: int, room: Room) -> bool:
    """May a pod that has `own` connections have one more, where all have `all_pods` and there are `pods`?"""
    half = room.carried // 2
    share = max(1, half // max(1, pods))
    return all_pods < half or (own < share and all_pods < room.carried)
