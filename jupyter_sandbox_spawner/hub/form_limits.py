"""What does a card of the form say of limits and money, and what does each choice change of it?

Law: two options never set the same (option_file.py refuses it), so that what choices change may be put
together in any order, here and in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..rules.offers import Offer
from ..rules.profile_choices import with_choice
from ..rules.profile_options import ProfileOption
from ..rules.profiles import Profile
from ..units import format_duration, format_size

__all__ = ["changes_by_choice", "chosen_limits", "limits_of", "price_words", "total_price"]


def limits_of(profile: Profile) -> dict[str, str]:
    """What it allows, in the order in which a card shows it."""
    resources = profile.resources
    found = {"CPU": f"{resources.cpu:g} {'core' if resources.cpu == 1 else 'cores'}"}
    found["Memory"] = format_size(resources.memory)
    if profile.gpu:
        kind = "" if profile.gpu.kind == "any" else f" ({profile.gpu.kind})"
        found["GPU"] = f"{profile.gpu.count}{kind}"
    if resources.disk:
        found["Disk"] = format_size(resources.disk)
    if profile.ttl:
        found["Stops after"] = format_duration(profile.ttl)
    if profile.idle_timeout:
        found["Stops when idle for"] = format_duration(profile.idle_timeout)
    network = ", ".join(rule.text or rule.pattern for rule in profile.egress.rules)
    found["Network"] = network or "none"
    if profile.datasets:
        found["Data"] = ", ".join(profile.datasets)
    if not profile.browser.downloads:
        found["Downloads"] = "off"
    if profile.browser.bytes_per_day is not None:
        found["To the browser"] = f"{format_size(profile.browser.bytes_per_day)} a day"
    found["Processes"] = str(resources.pids)
    if profile.isolation == "hard":
        found["Isolation"] = "hard, or it does not start"
    return found


def chosen_limits(profile: Profile, selected: Mapping[str, str]) -> dict[str, str]:
    """The limits with the selected choices worked in: slugs of choices by that of their option."""
    found = profile
    for option in profile.options:
        for choice in option.choices:
            if choice.slug == selected.get(option.slug):
                found = with_choice(found, choice)
    return limits_of(found)


def changes_by_choice(profile: Profile, option: ProfileOption) -> dict[str, dict[str, str]]:
    """By choice, every limit that some choice of the option changes; "" where there is none of the kind.

    The entry "" is that of no choice at all.
    """
    plain = limits_of(profile)
    found = {choice.slug: limits_of(with_choice(profile, choice)) for choice in option.choices}
    found[""] = plain
    names = [name for limits in found.values() for name in limits]
    changed = [
        name for name in dict.fromkeys(names) if len({limits.get(name, "") for limits in found.values()}) > 1
    ]
    return {slug: {name: limits.get(name, "") for name in changed} for slug, limits in found.items()}


def total_price(
    offer: Offer | None, defaults: Mapping[str, str], selected: Mapping[str, str]
) -> float | None:
    """The price of an hour with these choices; None where there are no prices or control is away."""
    if offer is None or offer.price is None:
        return None
    added = sum(offer.choice_adds.get(f"{option}.{slug}", 0.0) for option, slug in selected.items())
    before = sum(offer.choice_adds.get(f"{option}.{slug}", 0.0) for option, slug in defaults.items())
    return offer.price - before + added


def price_words(price: float, currency: str) -> str:
    """`0.32 EUR an hour`; small amounts keep two digits that say something."""
    number = f"{price:.2f}" if price >= 0.1 or price < 0.0001 else f"{price:.2g}"
    return f"{number} {currency} an hour"
