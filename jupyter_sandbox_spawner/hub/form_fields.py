"""What are the fields of the form called, and what do their values ask for?

Every card posts its fields, since nothing here needs JavaScript; those of the chosen profile count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["OWN_TEXT", "option_field", "fields_of", "options_from_form", "text_field"]

# No slug has a dot, so no two options share a field.
_CHOICE, _TEXT = "option", "text"
OWN_TEXT = ".own"  # the entry of a list that means the text beside it


def option_field(profile: str, option: str) -> str:
    """The name of the list with the option's choices."""
    return f"{_CHOICE}.{profile}.{option}"


def text_field(profile: str, option: str) -> str:
    """The name of the line for the option's text."""
    return f"{_TEXT}.{profile}.{option}"


def options_from_form(form_data: Mapping[str, list[Any]]) -> dict[str, Any]:
    """`user_options` of the posted fields; what does not belong there is refused later, in `start`."""
    found: dict[str, Any] = {}
    choices: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    single = {name: values[0] if len(values) == 1 else values for name, values in form_data.items()}
    single.pop("_xsrf", None)
    for name, value in single.items():
        kind, slug, option = _place(name)
        if kind not in (_CHOICE, _TEXT):
            found[name] = value
        elif slug == single.get("profile"):
            (choices if kind == _CHOICE else texts)[option] = value
    options = {
        option: texts.get(option, "") if choices.get(option, OWN_TEXT) == OWN_TEXT else choices[option]
        for option in {**choices, **texts}
    }
    options = {option: value for option, value in options.items() if value != ""}
    # A field of that name is nobody's, and is left to be refused.
    return {"options": options, **found} if options else found


def fields_of(user_options: object) -> list[tuple[str, str]]:
    """The fields that post a saved choice again; none where it names no profile or is of another shape."""
    if not isinstance(user_options, Mapping) or not isinstance(user_options.get("profile"), str):
        return []
    profile, options = user_options["profile"], user_options.get("options")
    found = [("profile", profile)]
    if isinstance(options, Mapping):
        # A text is taken for the choice of that name as well, so one kind of field does for both.
        found += [(text_field(profile, str(name)), str(value)) for name, value in options.items()]
    return found


def _place(name: str) -> tuple[str, str, str]:
    parts = name.split(".")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", "")
