"""What does a user see before a server starts? One card a profile, as plain HTML; it needs no JavaScript."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ..rules.profiles import Profile, reason_against
from ..units import format_duration, format_size
from .notes import Note

__all__ = ["profile_form"]


@dataclass(frozen=True, kw_only=True)
class _Card:
    profile: Profile
    limits: tuple[tuple[str, str], ...]
    reason: str
    checked: bool


def profile_form(
    profiles: Sequence[Profile],
    groups: Collection[str],
    checked: str,
    notice: str = "",
    ending: Note | None = None,
) -> str:
    """The inside of the hub's form: radio cards with limits; what may not be had is grey and says why.

    `checked` is the slug of the profile that is chosen at first; above the cards stand `notice`, a sentence,
    and `ending`, why the server ended the last time.
    """
    cards = [
        _Card(
            profile=profile,
            limits=_limits(profile),
            reason=reason_against(profile, groups),
            checked=profile.slug == checked,
        )
        for profile in profiles
    ]
    return _template().render(cards=cards, notice=notice, ending=ending)


def _limits(profile: Profile) -> tuple[tuple[str, str], ...]:
    resources = profile.resources
    found = [
        ("CPU", f"{resources.cpu:g} {'core' if resources.cpu == 1 else 'cores'}"),
        ("Memory", format_size(resources.memory)),
        ("Processes", str(resources.pids)),
    ]
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
