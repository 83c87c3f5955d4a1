"""What would an hour of this profile cost, and what does each choice inside it add?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..rules.offers import Offer
from ..rules.prices import Prices, hourly
from ..rules.profile_choices import may_choose, with_choice
from ..rules.profiles import Profile

__all__ = ["with_prices"]


def with_prices(
    offer: Offer, profile: Profile, first: Profile, prices: Prices, groups: Collection[str]
) -> Offer:
    """The offer with prices of an hour, where the admin wrote any; `first` has the default choices."""
    price, without = hourly(prices, first), hourly(prices, profile)
    if price is None or without is None:
        return offer
    adds = {}
    for option in profile.options:
        for choice in may_choose(option, groups):
            # No two options set the same, so that what choices add may be summed.
            adds[f"{option.slug}.{choice.slug}"] = (
                hourly(prices, with_choice(profile, choice)) or 0.0
            ) - without
    return replace(offer, price=price, currency=prices.currency, choice_adds=adds)
