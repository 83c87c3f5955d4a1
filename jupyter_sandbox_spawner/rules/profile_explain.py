"""What would each profile give this user, and why not? The answers of the form, for admins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ..errors import ProfileRefusedError
from ..units import format_duration
from .ends import clock_words
from .grants import decide_grants
from .lifetimes import Lifetimes, Subject, in_force
from .profile_choices import may_choose, reason_against_choice, resolve
from .profiles import Profile, reason_against

__all__ = ["ChoiceVerdict", "ProfileVerdict", "explain", "given_view", "time_words", "verdict_view"]


@dataclass(frozen=True, kw_only=True)
class ChoiceVerdict:
    """One choice of an option; `why` is empty where it may be taken."""

    option: str
    choice: str
    default: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class ProfileVerdict:
    """One profile: `why` is empty where it may be taken, and then `gives` is it with its defaults worked in.

    `secrets` are the names granted with it, `withheld` those that are not, each with its reason.
    """

    slug: str
    display_name: str
    why: str
    gives: Profile | None = None
    choices: tuple[ChoiceVerdict, ...] = ()
    texts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()


def explain(profiles: Sequence[Profile], user: str, groups: Collection[str]) -> tuple[ProfileVerdict, ...]:
    """A verdict for each profile, in the order of the file."""
    return tuple(_verdict(profile, user, groups) for profile in profiles)


def _verdict(profile: Profile, user: str, groups: Collection[str]) -> ProfileVerdict:
    why, gives = reason_against(profile, groups), None
    if not why and profile.deprecated is not None:
        told = profile.deprecated
        why = f"It is not offered any more and leads to {told.use!r}: {told.message}"
    if not why:
        try:
            gives = resolve(profile, {}, user, groups)
        except ProfileRefusedError as error:
            why = str(error)
    grants = decide_grants(user, groups, gives.secrets if gives else ())
    return ProfileVerdict(
        slug=profile.slug,
        display_name=profile.display_name,
        why=why,
        gives=gives,
        choices=tuple(
            ChoiceVerdict(
                option=option.slug,
                choice=choice.slug,
                default=choice in may_choose(option, groups)[:1],
                why=reason_against_choice(choice, groups),
            )
            for option in profile.options
            for choice in option.choices
        ),
        texts=tuple(option.slug for option in profile.options if option.free_text),
        secrets=tuple(grant.name for grant in grants.granted),
        withheld=tuple(f"{item.name}: {item.why}" for item in grants.refused),
    )


def time_words(lifetimes: Lifetimes, now: datetime, profile: Profile, groups: Collection[str]) -> str:
    """Which rule about time holds now for a server of this profile, and what it says; "" without rules."""
    if not lifetimes.rules:
        return ""
    gpus = profile.gpu.count if profile.gpu else 0
    asked = Subject(profile=profile.slug, groups=groups, gpus=gpus, idle_timeout=profile.idle_timeout)
    found = in_force(lifetimes, now, asked)
    said = [f"by the rule {found.rule}" if found.rule else "no rule matches"]
    if found.closed_until:
        said.append(f"closed until {clock_words(found.closed_until, now, lifetimes.timezone)}")
        return ", ".join(said)
    for words, limit in (
        ("idle limit", found.idle_timeout),
        ("idle limit of its GPU", found.gpu_idle_timeout),
        ("oldest", found.max_age),
    ):
        if limit is not None:
            said.append(f"{words} {format_duration(limit)}")
    if found.closes_at:
        when = clock_words(found.closes_at, now, lifetimes.timezone)
        said.append(f"closes at {when} by the rule {found.closing}")
    return ", ".join(said)


def verdict_view(verdict: ProfileVerdict, time: str = "") -> dict[str, Any]:
    """A verdict as a document; `time` is what `time_words` says of it."""
    gives = None if verdict.gives is None else given_view(verdict.gives)
    return {**asdict(verdict), "gives": gives, "time": time}


def given_view(profile: Profile) -> dict[str, Any]:
    """What a server of this profile gets, in numbers of bytes, cores and seconds."""
    limits = profile.resources
    return {
        "cpu": limits.cpu,
        "memory": limits.memory,
        "pids": limits.pids,
        "disk": limits.disk,
        "gpu": asdict(profile.gpu) if profile.gpu else None,
        "ttl": profile.ttl,
        "idle_timeout": profile.idle_timeout,
        "egress": [rule.text or rule.pattern for rule in profile.egress.rules],
        "datasets": list(profile.datasets),
        "variables": dict(profile.variables),
        "runtime": profile.runtime,
        "environment": profile.environment,
    }
