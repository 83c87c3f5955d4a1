"""What does the admin's one file say in all? Profiles, quotas, policy, datasets, prices, times: a whole.

Law: a file with one error anywhere is refused as a whole; there is no half of a rule book.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .catalogue import Dataset
from .lifetimes import Lifetimes
from .policy_settings import PolicySettings
from .prices import Prices
from .profiles import Profile
from .quotas import Quotas

__all__ = ["Rulebook"]


@dataclass(frozen=True, kw_only=True)
class Rulebook:
    """Everything of one file. `digest` is the SHA-256 (hex) of its text."""

    profiles: tuple[Profile, ...]
    quotas: Quotas = field(default_factory=Quotas)
    policy: PolicySettings = field(default_factory=PolicySettings)
    datasets: tuple[Dataset, ...] = ()
    prices: Prices = field(default_factory=Prices)
    lifetime: Lifetimes = field(default_factory=Lifetimes)
    digest: str = ""

    def profile(self, slug: str) -> Profile | None:
        """The profile of this name."""
        return next((profile for profile in self.profiles if profile.slug == slug), None)
