"""What does a profile allow to this user with these choices? The profile as their server gets it.

Law: a choice changes keys of `sandbox:` alone, and what a user writes becomes one variable; slug, groups and
caps stay those of the profile.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from ..errors import ProfileRefusedError
from .profile_nodes import node_of
from .profile_options import FreeText, OptionChoice, ProfileOption
from .profile_templates import deciding_group, fill
from .profiles import Profile, profile_digest
from .sandbox_keys import SandboxReading, worked_in

__all__ = [
    "chosen",
    "may_choose",
    "named_datasets",
    "reason_against_choice",
    "resolve",
    "text_remedy",
    "with_choice",
]


def resolve(profile: Profile, options: Mapping[str, str], user: str, groups: Collection[str]) -> Profile:
    """The profile with choices, texts and names worked in; without options, and with its first digest.

    Where `options` are silent the defaults count. Raises ProfileRefusedError: `options.unknown`,
    `options.choice` and `options.text` (status 400), `options.not_allowed` (403), `profile.template`.
    """
    _refuse_unknown(profile, options)
    found, texts = profile, {}
    for option in profile.options:
        choice = chosen(option, options.get(option.slug), groups)
        if isinstance(choice, OptionChoice):
            found = with_choice(found, choice)
        elif choice and option.free_text:
            texts[option.free_text.variable] = choice
    filled = _filled(found, user, deciding_group(profile.allowed_groups, groups))
    # Only now: what a user wrote is not looked at for templates.
    variables = {**filled.variables, **texts}
    return replace(filled, variables=variables, options=(), digest=profile_digest(profile))


def named_datasets(
    profile: Profile, options: Mapping[str, str] | None, user: str, groups: Collection[str]
) -> tuple[str, ...]:
    """The datasets that a start with these choices asks for, by name.

    Where the choices are not known (None), or are none of this profile any more, only names are filled in.
    """
    for choosable, known in ((profile, options), (replace(profile, options=()), {})):
        if known is None:
            continue
        try:
            return resolve(choosable, known, user, groups).datasets
        except ProfileRefusedError:
            continue  # the file has changed since that start
    return ()


def chosen(option: ProfileOption, value: str | None, groups: Collection[str]) -> OptionChoice | str:
    """The choice of this name, or the text; for None or "" the default that the user may take, or "".

    Raises ProfileRefusedError as `resolve` does.
    """
    if not value:
        return _default(option, groups)
    for choice in option.choices:
        if choice.slug == value:
            why = reason_against_choice(choice, groups)
            if not why:
                return choice
            raise ProfileRefusedError(
                f"You may not take {choice.display_name!r} of {option.display_name!r}. {why}",
                code="options.not_allowed",
                field=f"options.{option.slug}",
                remedy=_may_take(option, groups),
            )
    if option.free_text is None:
        raise _no_choice(option, value, groups)
    return _text(option, option.free_text, value)


def reason_against_choice(choice: OptionChoice, groups: Collection[str]) -> str:
    """Why a member of `groups` may not take the choice, in a sentence; "" if they may."""
    if choice.allowed_groups is None or set(choice.allowed_groups) & set(groups):
        return ""
    if not choice.allowed_groups:
        return "It is closed at the moment; ask your admin."
    return f"It is for group {' or '.join(choice.allowed_groups)}; ask your admin."


def may_choose(option: ProfileOption, groups: Collection[str]) -> tuple[OptionChoice, ...]:
    """The choices that a member of `groups` may take; the one for those who are silent comes first."""
    ordered = sorted(option.choices, key=lambda choice: not choice.default)
    return tuple(choice for choice in ordered if not reason_against_choice(choice, groups))


def _default(option: ProfileOption, groups: Collection[str]) -> OptionChoice | str:
    if not option.choices:
        return ""
    for choice in may_choose(option, groups):
        return choice
    if option.free_text is not None:
        return ""
    raise ProfileRefusedError(
        f"There is no choice of {option.display_name!r} that you may take.",
        code="options.not_allowed",
        field=f"options.{option.slug}",
        remedy="Take another profile, or ask your admin to add you to a group.",
    )


def with_choice(profile: Profile, choice: OptionChoice) -> Profile:
    """The profile as this choice alone changes it; names are not filled in."""
    # They were checked when the file was read, with the environments of the site.
    return worked_in(profile, SandboxReading().values(node_of(choice.overrides).keys or {}))


def _filled(profile: Profile, user: str, group: str) -> Profile:
    named = {f"{index}": name for index, name in enumerate(profile.datasets)}
    return replace(
        profile,
        variables=fill(profile.variables, user, group),
        datasets=tuple(fill(named, user, group).values()),
    )


def _text(option: ProfileOption, rule: FreeText, value: str) -> str:
    # isprintable refuses line breaks, control characters and what turns the direction of writing.
    right = len(value) <= rule.longest and value.isprintable()
    if right and re.fullmatch(rule.pattern, value):
        return value
    raise ProfileRefusedError(
        f"{value[:80]!r} is not right for {option.display_name!r}.",
        code="options.text",
        field=f"options.{option.slug}",
        remedy=text_remedy(rule),
        status=400,
    )


def text_remedy(rule: FreeText) -> str:
    """What somebody reads whose text is refused, in the admin's words: the form says it while they type."""
    remedy = rule.message or f"It must match {rule.pattern}"
    return f"{remedy.rstrip('.')}, in at most {rule.longest} characters."


def _no_choice(option: ProfileOption, value: str, groups: Collection[str]) -> ProfileRefusedError:
    names = [choice.slug for choice in option.choices]
    close = difflib.get_close_matches(value[:80], names, n=1)
    return ProfileRefusedError(
        f"{option.display_name!r} has no choice {value[:80]!r}.",
        code="options.choice",
        field=f"options.{option.slug}",
        remedy=f"Did you mean {close[0]!r}?" if close else _may_take(option, groups),
        status=400,
    )


def _may_take(option: ProfileOption, groups: Collection[str]) -> str:
    names = ", ".join(choice.slug for choice in may_choose(option, groups))
    return f"You may take: {names}." if names else ""


def _refuse_unknown(profile: Profile, options: Mapping[str, str]) -> None:
    known = [option.slug for option in profile.options]
    for name in options:
        if name not in known:
            offered = f"It has: {', '.join(known)}." if known else "It has none."
            raise ProfileRefusedError(
                f"The profile {profile.display_name!r} has no option {name[:80]!r}.",
                code="options.unknown",
                field=f"options.{name[:80]}",
                remedy=offered,
                status=400,
            )
