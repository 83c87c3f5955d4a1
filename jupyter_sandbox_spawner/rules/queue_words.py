"""What does somebody read who asks for a GPU and gets none now, or looks whether there is one?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..gpus import GpuDevice, GpuWish
from .queue import INTEREST, RESERVED, Turn
from .quotas import Refusal

__all__ = [
    "Pool",
    "at_clock",
    "free_words",
    "none_refusal",
    "place_words",
    "too_many_refusal",
    "wait_refusal",
]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The devices that could be given for one wish: how many there are, and how many have an owner."""

    total: int
    taken: int


def at_clock(now: datetime, instant: datetime) -> str:
    """`16:40 UTC`, with the day where it is another one."""
    day = "" if instant.date() == now.date() else f"{instant:%Y-%m-%d} "
    return f"{day}{instant:%H:%M} UTC"


def none_refusal(wish: GpuWish, pool: Collection[GpuDevice]) -> Refusal:
    """This host has nothing of that kind."""
    kinds = ", ".join(sorted({device.kind for device in pool}))
    if not kinds:
        message, remedy = "This site has no GPU to give.", "Choose a profile without a GPU."
    else:
        message = f"This site has no GPU of kind {wish.kind!r}; it has {kinds}."
        remedy = "Choose another profile; its `gpu.kind` is the admin's to mend."
    return Refusal(code="gpu.none", message=message, remedy=remedy)


def too_many_refusal(wish: GpuWish, total: int) -> Refusal:
    """More than there will ever be: waiting would not help."""
    return Refusal(
        code="gpu.too_many",
        message=f"This server asks for {_counted(wish.count, wish.kind)}, and this site has {total}.",
        remedy="Choose a profile that asks for fewer.",
    )


def wait_refusal(now: datetime, turn: Turn, pool: Pool, kept_until: datetime) -> Refusal:
    """Everything is taken: the place in the queue, and how it is kept."""
    asked = turn.waiting
    eta = f", about {at_clock(now, turn.eta)}" if turn.eta else "; nobody knows when one will be free"
    kept = f"Your place is kept until {at_clock(now, kept_until)}"
    again = (
        f"start the server again {'then' if turn.eta else 'within ' + _minutes(INTEREST)} to take your turn"
    )
    return Refusal(
        code="gpu.all_taken",
        message=f"{_state(pool, asked.count, asked.kind)}; you are number {turn.position}{eta}.",
        remedy=f"{kept}; {again}. A turn lasts {_minutes(RESERVED)} from when it is first seen.",
        retry_at=turn.eta,
    )


def free_words(now: datetime, pool: Pool, free: int, soonest: datetime | None = None) -> str:
    """`1 of 4 GPUs free`, or `0 of 4 GPUs free, next about 16:40 UTC`, for the form."""
    later = f", next about {at_clock(now, soonest)}" if soonest is not None else ""
    return f"{free} of {pool.total} GPU{'' if pool.total == 1 else 's'} free{later}"


def place_words(turn: Turn, has_ticket: bool) -> str:
    """The place in the queue that one has, or that starting would take."""
    if has_ticket:
        return f"you are number {turn.position} in the queue"
    return f"starting takes place {turn.position} in the queue"


def _state(pool: Pool, count: int, kind: str) -> str:
    if pool.total == 1:
        return (
            f"The only GPU{_of_kind(kind)} is {'in use' if pool.taken else 'kept for who waits before you'}"
        )
    if pool.taken >= pool.total:
        return f"All {_counted(pool.total, kind)} are in use"
    if count > pool.total - pool.taken:
        used = f"{pool.taken} of {_counted(pool.total, kind)} {'is' if pool.taken == 1 else 'are'} in use"
        return f"{used}, and this server needs {count}"
    return f"All {_counted(pool.total, kind)} are in use or kept for who waits before you"


def _counted(count: int, kind: str) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}{_of_kind(kind)}"


def _of_kind(kind: str) -> str:
    return "" if kind == "any" else f" of kind {kind}"


def _minutes(duration: timedelta) -> str:
    return f"{int(duration.total_seconds() // 60)} minutes"
