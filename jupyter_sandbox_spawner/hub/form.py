"""What does a user see before a server starts? One card a profile, as plain HTML; it needs no JavaScript."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ..rules.choosing import Choice
from ..rules.offers import Offer
from ..rules.profile_choices import may_choose, reason_against_choice
from ..rules.profile_options import ProfileOption
from ..rules.profiles import Profile, reason_against
from ..units import format_duration, format_size
from .form_fields import OWN_TEXT, option_field, text_field
from .notes import Note

__all__ = ["Heading", "profile_form"]


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What stands above the cards: a sentence, why the server ended, and `alarm`, for admins only."""

    notice: str = ""
    ending: Note | None = None
    alarm: str = ""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One line of a list. `reason`: why it may not be taken."""

    value: str
    text: str
    reason: str
    selected: bool


@dataclass(frozen=True, kw_only=True)
class _Question:
    option: ProfileOption
    list_name: str
    text_name: str
    entries: tuple[_Entry, ...]
    text: str
    own: str = OWN_TEXT


@dataclass(frozen=True, kw_only=True)
class _Card:
    profile: Profile
    limits: tuple[tuple[str, str], ...]
    reason: str
    free: str
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
    cards = [
        _card(profile, groups, current, (offers or {}).get(profile.slug))
        for profile in profiles
        if profile.deprecated is None
    ]
    return _template().render(cards=cards, heading=heading or Heading())


def _card(profile: Profile, groups: Collection[str], current: Choice | None, offer: Offer | None) -> _Card:
    reason = reason_against(profile, groups)
    if offer is not None and not offer.allowed:
        reason = reason or offer.reason
    is_current = current is not None and profile.slug == current.profile.slug
    options = current.options if current is not None and is_current else {}
    return _Card(
        profile=profile,
        limits=_limits(profile),
        reason=reason,
        free=offer.free if offer is not None else "",
        # A disabled card is not sent, so the browser must ask for another.
        checked=is_current and not reason,
        questions=tuple(
            _question(profile, option, options.get(option.slug), groups) for option in profile.options
        ),
    )


def _question(
    profile: Profile, option: ProfileOption, value: str | None, groups: Collection[str]
) -> _Question:
    slugs = [choice.slug for choice in option.choices]
    is_text = bool(value) and value not in slugs
    first = next((choice.slug for choice in may_choose(option, groups)), OWN_TEXT)
    selected = OWN_TEXT if is_text else value or first
    entries = [
        _Entry(
            value=choice.slug,
            text=choice.display_name,
            reason=reason_against_choice(choice, groups),
            selected=choice.slug == selected,
        )
        for choice in option.choices
    ]
    if entries and option.free_text:
        own = "Something else, as written beside"
        entries.append(_Entry(value=OWN_TEXT, text=own, reason="", selected=selected == OWN_TEXT))
    return _Question(
        option=option,
        list_name=option_field(profile.slug, option.slug),
        text_name=text_field(profile.slug, option.slug),
        entries=tuple(entries),
        text=value or "" if is_text else "",
    )


def _limits(profile: Profile) -> tuple[tuple[str, str], ...]:
    resources = profile.resources
    found = [
        ("CPU", f"{resources.cpu:g} {'core' if resources.cpu == 1 else 'cores'}"),
        ("Memory", format_size(resources.memory)),
        ("Processes", str(resources.pids)),
    ]
    if profile.gpu:
        kind = "" if profile.gpu.kind == "any" else f" ({profile.gpu.kind})"
        found.append(("GPU", f"{profile.gpu.count}{kind}"))
    if profile.datasets:
        found.append(("Data", ", ".join(profile.datasets)))
    if resources.disk:
        found.append(("Disk", format_size(resources.disk)))
    if profile.ttl:
        found.append(("Stops after", format_duration(profile.ttl)))
    if profile.idle_timeout:
        found.append(("Stops when idle for", format_duration(profile.idle_timeout)))
    network = ", ".join(rule.text or rule.pattern for rule in profile.egress.rules)
    found.append(("Network", network or "none"))
    if not profile.browser.downloads:
        found.append(("Downloads", "off"))
    if profile.browser.bytes_per_day is not None:
        found.append(("To the browser", f"{format_size(profile.browser.bytes_per_day)} a day"))
    if profile.isolation == "hard":
        found.append(("Isolation", "hard, or it does not start"))
    return tuple(found)


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
