"""Which profile does a server get, with which choices? What was asked for now, saved, or the default.

Law: what somebody asks for now is given or refused; what was saved gives way, and says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ProfileRefusedError
from .profile_choices import chosen, resolve
from .profiles import Profile, reason_against
from .user_options import Asked, asked

__all__ = ["Choice", "choose", "decide", "requested_profile"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The profile a server gets, and the options that were taken.

    `notice` is a sentence for the user where it is not what they saved, or asked for by an older name.
    """

    profile: Profile
    options: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""


def decide(
    profiles: Sequence[Profile], user_options: object, explicit: bool, user: str, groups: Collection[str]
) -> Choice:
    """What a server gets, with everything worked in (`resolve`).

    `explicit`: raw `user_options` came with the request, and are refused where they may not be had; else
    they are an earlier choice. Raises ProfileRefusedError, for an earlier choice only if nothing is left.
    """
    wanted = _asked(user_options, explicit)
    if explicit:
        choice = choose(profiles, wanted.profile, None, groups)
    else:
        choice = choose(profiles, None, wanted.profile, groups)
    options, notice = dict(wanted.options), choice.notice
    if wanted.profile not in (None, choice.profile.slug):
        notice, options = f"{notice} Its options are left out." if options else notice, {}
    elif not explicit:
        options, lost = _still_good(choice.profile, options, groups)
        notice = " ".join(filter(None, (notice, lost)))
    profile = resolve(choice.profile, options, user, groups)
    return Choice(profile=profile, options=options, notice=notice)


def _asked(user_options: object, explicit: bool) -> Asked:
    try:
        return asked(user_options)
    except ProfileRefusedError:
        if explicit:
            raise
        return Asked()


def _still_good(
    profile: Profile, options: Mapping[str, str], groups: Collection[str]
) -> tuple[dict[str, str], str]:
    """Of an earlier choice what may still be had, and a sentence about what not."""
    known = {option.slug: option for option in profile.options}
    kept, lost = {}, []
    for name, value in options.items():
        try:
            if name in known:
                chosen(known[name], value, groups)
                kept[name] = value
            else:
                lost.append(f"There is no option {name!r} any more.")
        except ProfileRefusedError as error:
            lost.append(error.message)
    if not lost:
        return kept, ""
    return kept, f"Your last choice is not available. {' '.join(lost)} You get the default there."


def requested_profile(user_options: object) -> str | None:
    """The slug that raw `user_options` ask for, or None where they ask for nothing (`asked`)."""
    return asked(user_options).profile


def choose(
    profiles: Sequence[Profile], requested: str | None, saved: str | None, groups: Collection[str]
) -> Choice:
    """Decide which profile a server gets.

    It has its options yet. `requested` is what somebody asked for now and is refused where it may not be
    had (status 403, or 400 where it does not exist); `saved` is an earlier choice, which gives way to the
    default with a notice.
    """
    if requested is not None:
        return _explicit(profiles, requested, groups)
    fallback = _default(profiles, groups)
    if saved is None or saved == fallback.slug:
        return Choice(profile=fallback)
    known = {profile.slug: profile for profile in profiles}.get(saved)
    name = known.display_name if known else saved[:80]
    why = "It does not exist any more."
    if known is not None:
        following, notice = _followed(profiles, known)
        why = reason_against(following, groups)
        if not why:
            return Choice(profile=following, notice=notice)
        why = f"{notice} {why}".strip()
    return Choice(
        profile=fallback,
        notice=f"Your last profile {name!r} is not available. {why} You get {fallback.display_name!r}.",
    )


def _explicit(profiles: Sequence[Profile], requested: str, groups: Collection[str]) -> Choice:
    for profile in profiles:
        if profile.slug == requested:
            following, notice = _followed(profiles, profile)
            why = reason_against(following, groups)
            if not why:
                return Choice(profile=following, notice=notice)
            refused = f"You may not take the profile {following.display_name!r}. {why}"
            raise ProfileRefusedError(
                f"{notice} {refused}".strip(),
                field="profile",
                remedy=_alternatives(profiles, groups),
            )
    close = difflib.get_close_matches(requested[:80], [profile.slug for profile in profiles], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else _alternatives(profiles, groups)
    raise ProfileRefusedError(
        f"There is no profile {requested[:80]!r}.",
        code="profile.unknown",
        field="profile",
        remedy=hint,
        status=400,
    )


def _followed(profiles: Sequence[Profile], profile: Profile) -> tuple[Profile, str]:
    """Where a deprecated profile leads to in the end, with a sentence; itself where it is not deprecated."""
    known = {item.slug: item for item in profiles}
    last, seen = profile, set[str]()
    while last.deprecated and last.deprecated.use in known and last.slug not in seen:
        seen.add(last.slug)
        last = known[last.deprecated.use]
    if last is profile or profile.deprecated is None:
        return profile, ""
    why = f"{profile.display_name!r} is not offered any more: {profile.deprecated.message}"
    return last, f"{why} You get {last.display_name!r}."


def _default(profiles: Sequence[Profile], groups: Collection[str]) -> Profile:
    ordered = sorted(profiles, key=lambda profile: not profile.default)
    for profile in ordered:
        if profile.deprecated is None and not reason_against(profile, groups):
            return profile
    raise ProfileRefusedError(
        "There is no profile that you may take.",
        code="profile.none",
        field="profile",
        remedy="Ask your admin to add you to a group.",
    )


def _alternatives(profiles: Sequence[Profile], groups: Collection[str]) -> str:
    open_to_user = [
        profile.slug
        for profile in profiles
        if profile.deprecated is None and not reason_against(profile, groups)
    ]
    return f"You may take: {', '.join(open_to_user)}." if open_to_user else ""
