"""What does a user see before a server starts? One card a profile, as plain HTML; it needs no JavaScript."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ..rules.browser_patterns import for_browser
from ..rules.choosing import Choice
from ..rules.offers import Offer
from ..rules.profile_choices import may_choose, reason_against_choice, text_remedy
from ..rules.profile_options import ProfileOption
from ..rules.profiles import Profile, reason_against
from .form_fields import OWN_TEXT, option_field, text_field
from .form_limits import changes_by_choice, chosen_limits, price_words, total_price
from .notes import Note

__all__ = ["Heading", "profile_form"]

# What a card shows large; the rest stands below.
_LARGE = ("CPU", "Memory", "GPU", "Disk")


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What stands above the cards: a sentence, why the server ended, and `alarm`, for admins only.

    `last` is the profile of the last start, "" where there was none.
    """

    notice: str = ""
    ending: Note | None = None
    alarm: str = ""
    last: str = ""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One line of a list. `reason`: why it may not be taken; `changes` are limits by name that it gives."""

    value: str
    text: str
    reason: str
    selected: bool
    changes: Mapping[str, str]
    adds: float = 0.0

    @property
    def words(self) -> str:
        """The text with what the choice gives."""
        if self.value == OWN_TEXT:
            return self.text
        told = ", ".join(f"{name} {text}" for name, text in self.changes.items() if text)
        return f"{self.text}: {told}" if told else self.text


@dataclass(frozen=True, kw_only=True)
class _Question:
    option: ProfileOption
    list_name: str
    text_name: str
    entries: tuple[_Entry, ...]
    text: str
    pattern: str
    hint: str
    own: str = OWN_TEXT


@dataclass(frozen=True, kw_only=True)
class _Card:
    profile: Profile
    limits: tuple[tuple[str, str], ...]
    large: frozenset[str]
    reason: str
    free: str
    taken: bool
    eta: str
    price: float | None
    currency: str
    price_text: str
    is_last: bool
    checked: bool
    questions: tuple[_Question, ...]


def profile_form(
    profiles: Sequence[Profile],
    groups: Collection[str],
    current: Choice | None,
    heading: Heading | None = None,
    offers: Mapping[str, Offer] | None = None,
) -> str:
    """The inside of the hub's form: radio cards with limits; what may not be had is grey and says why.

    `current` is what is chosen at first, None: nothing. `offers` say by slug what is free at this moment.
    """
    heading = heading or Heading()
    cards = [
        _card(profile, groups, current, (offers or {}).get(profile.slug), heading)
        for profile in profiles
        if profile.deprecated is None
    ]
    return _template().render(cards=cards, heading=heading)


def _card(
    profile: Profile, groups: Collection[str], current: Choice | None, offer: Offer | None, heading: Heading
) -> _Card:
    reason = reason_against(profile, groups)
    if offer is not None and not offer.allowed:
        reason = reason or offer.reason
    is_current = current is not None and profile.slug == current.profile.slug
    options = current.options if current is not None and is_current else {}
    questions = tuple(
        _question(profile, option, options.get(option.slug), groups, offer) for option in profile.options
    )
    selected = {
        question.option.slug: entry.value
        for question in questions
        for entry in question.entries
        if entry.selected
    }
    price = total_price(offer, _defaults(profile, groups), selected)
    limits = {name: "" for question in questions for entry in question.entries for name in entry.changes}
    limits = {**chosen_limits(profile, {}), **limits, **chosen_limits(profile, selected)}
    return _Card(
        profile=profile,
        limits=tuple(limits.items()),
        large=frozenset(_LARGE),
        reason=reason,
        free=offer.free if offer is not None else "",
        taken=offer is not None and offer.code == "gpu.all_taken",
        eta=f"{offer.eta:%Y-%m-%dT%H:%M:%SZ}" if offer is not None and offer.eta is not None else "",
        price=price,
        currency=offer.currency if offer is not None else "",
        price_text="" if price is None or offer is None else price_words(price, offer.currency),
        is_last=profile.slug == heading.last,
        # A disabled card is not sent, so the browser must ask for another.
        checked=is_current and not reason,
        questions=questions,
    )


def _defaults(profile: Profile, groups: Collection[str]) -> dict[str, str]:
    """The choices of somebody who chooses nothing, by option."""
    firsts = {option.slug: may_choose(option, groups)[:1] for option in profile.options}
    return {slug: choice.slug for slug, found in firsts.items() for choice in found}


def _question(
    profile: Profile, option: ProfileOption, value: str | None, groups: Collection[str], offer: Offer | None
) -> _Question:
    slugs = [choice.slug for choice in option.choices]
    is_text = bool(value) and value not in slugs
    first = _defaults(profile, groups).get(option.slug, OWN_TEXT)
    selected = OWN_TEXT if is_text else value or first
    changes = changes_by_choice(profile, option)
    entries = [
        _Entry(
            value=choice.slug,
            text=choice.display_name,
            reason=reason_against_choice(choice, groups),
            selected=choice.slug == selected,
            changes=changes[choice.slug],
            adds=offer.choice_adds.get(f"{option.slug}.{choice.slug}", 0.0) if offer is not None else 0.0,
        )
        for choice in option.choices
    ]
    if entries and option.free_text:
        own = "Something else, as written beside"
        entries.append(
            _Entry(value=OWN_TEXT, text=own, reason="", selected=selected == OWN_TEXT, changes=changes[""])
        )
    rule = option.free_text
    return _Question(
        option=option,
        list_name=option_field(profile.slug, option.slug),
        text_name=text_field(profile.slug, option.slug),
        entries=tuple(entries),
        text=value or "" if is_text else "",
        pattern=for_browser(rule.pattern) if rule else "",
        hint=text_remedy(rule) if rule else "",
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("jupyter_sandbox_spawner.hub", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("profile_form.html")
