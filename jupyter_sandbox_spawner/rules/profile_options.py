"""What may a user choose inside a profile? Options with choices and checked text, as the admin wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Deprecation", "FreeText", "OptionChoice", "ProfileOption"]


@dataclass(frozen=True, kw_only=True)
class OptionChoice:
    """One choice of an option. `overrides` are keys of `sandbox:` as they were written, checked at load.

    `allowed_groups`: None means everyone who may take the profile, an empty tuple nobody.
    """

    slug: str
    display_name: str
    default: bool = False
    allowed_groups: tuple[str, ...] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FreeText:
    """Text that the user writes instead of a choice. It must match `pattern` as a whole (`fullmatch`).

    It becomes the variable `variable` of the server's environment, and nothing else.
    """

    pattern: str
    variable: str
    message: str = ""
    longest: int = 200


@dataclass(frozen=True, kw_only=True)
class ProfileOption:
    """One question of a profile's form: choices, free text, or choices with free text as a further one."""

    slug: str
    display_name: str
    choices: tuple[OptionChoice, ...] = ()
    free_text: FreeText | None = None


@dataclass(frozen=True, kw_only=True)
class Deprecation:
    """A profile that is on its way out. `use` is the slug that its users get instead; "" closes it."""

    message: str
    use: str = ""
