"""What may a user have of a profile at this moment? One offer a profile, as the form and the API show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Offer"]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One profile to one user now. `reason` says why not, `free` what is left (`3 of 4 GPUs free`).

    A profile whose devices are all taken is allowed: asking for it is what takes a place in the queue.

    `eta` is when it is likely to be free; `position` is the user's place in the queue, 0 where a device is
    reserved, None where they do not wait.

    `price` is that of an hour with the default choices, in `currency`; None where the admin wrote no prices.
    `choice_adds` is what each choice that may be taken adds to the price of the profile without it, by
    `OPTION.CHOICE`.
    """

    slug: str
    allowed: bool
    code: str = ""
    reason: str = ""
    free: str = ""
    eta: datetime | None = None
    position: int | None = None
    price: float | None = None
    currency: str = ""
    choice_adds: Mapping[str, float] = field(default_factory=dict)
