"""What do `{username}` and `{group}` become in a profile's variables and datasets?

Law: a name is filled in as `name_part`, so no name brings a `/`, a line break or another's spelling along;
what a user wrote is never looked at for templates.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, ProfileRefusedError
from ..names import name_part

if TYPE_CHECKING:
    from .profiles import Profile

__all__ = [
    "GROUP",
    "USERNAME",
    "deciding_group",
    "fill",
    "has_group",
    "is_part",
    "templates_of",
    "without_templates",
]

USERNAME = "{username}"
GROUP = "{group}"
_ANY = re.compile(r"\{username\}|\{group\}")


def without_templates(text: str) -> str:
    """The text with a plain name for each template, to be checked as if it were filled in."""
    return _ANY.sub("x", text)


def has_group(texts: Collection[str]) -> bool:
    """Does one of them speak of the user's group?"""
    return any(GROUP in text for text in texts)


def templates_of(profile: Profile) -> tuple[str, ...]:
    """The texts of a profile in which names are filled in here. Secrets fill in their own."""
    return (*profile.variables.values(), *profile.datasets)


def deciding_group(allowed: Collection[str] | None, groups: Collection[str]) -> str:
    """The first of the profile's groups that the user is in, by which it was allowed; "" for none."""
    return next((name for name in allowed or () if name in groups), "")


def fill(texts: Mapping[str, str], user: str, group: str) -> dict[str, str]:
    """The texts with the names in them. Raises ProfileRefusedError where a name cannot stand there."""
    names: dict[str, str] = {}
    for template, name in ((USERNAME, user), (GROUP, group)):
        if any(template in text for text in texts.values()):
            names[template] = _part(template, name)
    return {key: _ANY.sub(lambda found: names[found[0]], text) for key, text in texts.items()}


def is_part(name: str) -> bool:
    """May this name stand for a template?"""
    try:
        name_part(name)
    except ConfigurationError:
        return False
    return True


def _part(template: str, name: str) -> str:
    try:
        return name_part(name)
    except ConfigurationError as error:
        raise ProfileRefusedError(
            f"The profile fills in {template}, and {name!r} cannot stand there.",
            code="profile.template",
            field="profile",
            remedy="Take another profile, or tell your admin.",
        ) from error
