"""Who waits for a GPU, in which place, and until about when? Tickets and what is known of their turn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["Ticket"]


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A place in the queue. `position` 1 is next, 0: a device is reserved until `reserved_until`.

    `eta` is when its turn comes by the deadlines of what runs now; None where something ahead has none.
    """

    id: str
    position: int
    eta: datetime | None = None
    reserved_until: datetime | None = None
