"""What may an admin write below `profile_options:`? Questions of a form, each with choices, text, or both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigurationError
from . import profile_fields as fields
from .profile_nodes import Node
from .profile_options import FreeText, OptionChoice, ProfileOption
from .profiles import Profile
from .sandbox_keys import KEYS, SandboxReading, worked_in
from .text_patterns import runs_away

__all__ = ["CHOICE_KEYS", "OPTION_KEYS", "TEXT_KEYS", "read_options"]

OPTION_KEYS = ("display_name", "choices", "unlisted_choice")
CHOICE_KEYS = ("display_name", "default", "allowed_groups", "sandbox")
TEXT_KEYS = ("pattern", "variable", "message", "longest")
_MOST_OPTIONS = 20
_MOST_CHOICES = 200
_LONGEST_TEXT = 1000

Wrong = Callable[[Profile], "tuple[str, str] | None"]


def read_options(
    node: Node, profile: Profile, reader: SandboxReading, wrong_whole: Wrong
) -> tuple[ProfileOption, ...]:
    """The options of a profile. `wrong_whole` says what is wrong with a profile that a choice gives."""
    if node.keys is None or not 0 < len(node.keys) <= _MOST_OPTIONS:
        remedy = "Write size: {display_name: Size, choices: {...}}."
        reader.add(node, node.field, f"is no mapping of 1 to {_MOST_OPTIONS} options. {remedy}")
        return ()
    reading = _Options(profile, reader, wrong_whole)
    found = [reading.option(slug, item) for slug, item in node.keys.items()]
    options = tuple(option for option in found if option is not None)
    reading.refuse_shared(node, options)
    return options


class _Options:
    def __init__(self, profile: Profile, reader: SandboxReading, wrong_whole: Wrong) -> None:
        self._profile = profile
        self._reader = reader
        self._wrong_whole = wrong_whole

    def option(self, slug: str, node: Node) -> ProfileOption | None:
        reader = self._reader
        keys = reader.keys(node, OPTION_KEYS)
        self._check_slug(slug, node)
        if keys is None:
            return None
        name = reader.text(keys, "display_name", node, fields.line_of_text, required=True)
        if "choices" not in keys and "unlisted_choice" not in keys:
            reader.add(node, node.field, "has nothing to choose. Write choices, unlisted_choice, or both.")
        choices = self._choices(keys["choices"]) if "choices" in keys else ()
        text = self._text(keys["unlisted_choice"]) if "unlisted_choice" in keys else None
        return ProfileOption(slug=slug, display_name=name or slug, choices=choices, free_text=text)

    def _choices(self, node: Node) -> tuple[OptionChoice, ...]:
        if node.keys is None or not 0 < len(node.keys) <= _MOST_CHOICES:
            remedy = "Write small: {display_name: Small, sandbox: {memory: 2G}}."
            self._reader.add(node, node.field, f"is no mapping of 1 to {_MOST_CHOICES} choices. {remedy}")
            return ()
        found = [self._choice(slug, item) for slug, item in node.keys.items()]
        choices = tuple(choice for choice in found if choice is not None)
        for choice in [choice for choice in choices if choice.default][1:]:
            inner = node.keys[choice.slug]
            self._reader.add(inner, f"{inner.field}.default", "is true for two choices. Keep it for one.")
        return choices

    def _choice(self, slug: str, node: Node) -> OptionChoice | None:
        reader = self._reader
        keys = reader.keys(node, CHOICE_KEYS)
        self._check_slug(slug, node)
        if keys is None:
            return None
        name = reader.text(keys, "display_name", node, fields.line_of_text, required=True)
        return OptionChoice(
            slug=slug,
            display_name=name or slug,
            default=reader.field(keys, "default", fields.boolean) or False,
            allowed_groups=reader.field(keys, "allowed_groups", fields.groups),
            overrides=self._overrides(keys["sandbox"]) if "sandbox" in keys else {},
        )

    def _overrides(self, node: Node) -> Mapping[str, Any]:
        """As they were written; what they give is a whole profile, tried here."""
        reader, before = self._reader, len(self._reader.problems)
        keys = reader.keys(node, KEYS)
        if keys is None:
            return {}
        values = reader.values({name: item for name, item in keys.items() if name in KEYS})
        if len(reader.problems) == before:
            wrong = self._wrong_whole(worked_in(self._profile, values))
            if wrong and not self._wrong_whole(self._profile):
                reader.add(keys.get(wrong[0], node), f"{node.field}.{wrong[0]}", wrong[1])
        return {name: item.value for name, item in keys.items()}

    def _text(self, node: Node) -> FreeText | None:
        reader = self._reader
        keys = reader.keys(node, TEXT_KEYS)
        if keys is None:
            return None
        pattern = reader.text(keys, "pattern", node, _pattern, required=True)
        variable = reader.text(keys, "variable", node, _variable, required=True)
        message = reader.text(keys, "message", node, fields.paragraph) or ""
        longest = reader.field(keys, "longest", _longest) or 200
        if pattern is None or variable is None:
            return None
        return FreeText(pattern=pattern, variable=variable, message=message, longest=longest)

    def _check_slug(self, slug: str, node: Node) -> None:
        self._reader.convert(Node(value=slug, line=node.line, field=node.field), fields.slug)

    def refuse_shared(self, node: Node, options: tuple[ProfileOption, ...]) -> None:
        """Two options that set the same would undo one another, and the form could not say so."""
        owners: dict[str, str] = {}
        for option in options:
            for name in sorted(_set_by(option)):
                other = owners.setdefault(name, option.slug)
                if other != option.slug:
                    inner = (node.keys or {})[option.slug]
                    sentence = f"{name} is set by the option {other!r} as well. Let one of them set it."
                    self._reader.add(inner, inner.field, sentence)


def _set_by(option: ProfileOption) -> set[str]:
    found = {f"variables.{option.free_text.variable}"} if option.free_text else set()
    for choice in option.choices:
        for name, value in choice.overrides.items():
            if name == "variables" and isinstance(value, Mapping):
                found |= {f"variables.{variable}" for variable in value}
            else:
                found.add(name)
    return found


def _pattern(value: Any, field: str) -> str:
    remedy = "Write a regular expression for the whole text, such as [a-z]+:[0-9.]+, in quotes."
    if not isinstance(value, str) or not 0 < len(value) <= 500:
        raise fields.wrong(field, value, "is not a pattern of at most 500 characters", remedy)
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise fields.wrong(field, value, f"is not a pattern: {error}", remedy) from None
    wrong = runs_away(value)
    if wrong:
        raise fields.wrong(field, value, *wrong)
    return value


def _variable(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise fields.wrong(field, value, "is not the name of a variable", "Write a name, such as DATE.")
    try:
        fields.variables({value: ""}, field)
    except ConfigurationError:
        remedy = "Write a name of letters, digits and _ that the sandbox does not set itself."
        raise fields.wrong(field, value, "cannot be the variable of a text", remedy) from None
    return value


def _longest(value: Any, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LONGEST_TEXT:
        return value
    raise fields.wrong(
        field, value, f"is not a length from 1 to {_LONGEST_TEXT}", "Write 200, or leave it out."
    )
