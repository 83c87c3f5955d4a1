"""What may stand below `secrets:` in a profile? Names, each with a kind and variables for `use`."""

from __future__ import annotations

from typing import Any

from ..secret_names import NAME_RULE, is_field_name, is_secret_name, is_variable_name, reason_against_variable
from .grants import USER_PART, Grant, SecretKind
from .profile_fields import shown, wrong

__all__ = ["grant"]

_KEYS = ("name", "kind", "environment")
_MOST_VARIABLES = 64


def grant(value: Any, field: str) -> Grant:
    """One item of the list: a name, or a mapping with `name`, `kind` and `environment`."""
    item = {"name": value} if isinstance(value, str) else value
    if not isinstance(item, dict) or "name" not in item:
        raise wrong(
            field, value, "is not a secret's name", "Write db/warehouse, or {name: db/warehouse, ...}."
        )
    for key in item:
        if key not in _KEYS:
            raise wrong(f"{field}.{key}", item[key], "belongs to no key", f"Known keys: {', '.join(_KEYS)}.")
    kind = _kind(item.get("kind", "kv"), f"{field}.kind")
    variables = _variables(item.get("environment", {}), f"{field}.environment")
    if kind == "aws" and variables:
        remedy = "Remove environment: boto3 asks by itself, and `use` sets its three variables."
        raise wrong(f"{field}.environment", item["environment"], "is not for kind aws", remedy)
    return Grant(name=_name(item["name"], f"{field}.name"), kind=kind, environment=variables)


def _name(value: Any, field: str) -> str:
    if isinstance(value, str):
        parts = ["user" if part == USER_PART else part for part in value.split("/")]
        if is_secret_name("/".join(parts)):
            return value
    raise wrong(
        field, value, "is not a secret's name", f"Write {NAME_RULE}; {USER_PART} may be a whole part."
    )


def _kind(value: Any, field: str) -> SecretKind:
    if value == "kv":
        return "kv"
    if value == "aws":
        return "aws"
    raise wrong(field, value, "is not a kind", "Write kv or aws, or leave it out for kv.")


def _variables(value: Any, field: str) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST_VARIABLES:
        raise wrong(field, value, "is not a mapping of a few variables", "Write VARIABLE: field.")
    for name, part in value.items():
        place = f"{field}.{name}"
        if not isinstance(name, str) or not is_variable_name(name):
            raise wrong(
                field, name, "is not a variable's name", "Write letters, digits and _, such as DB_PASSWORD."
            )
        why = reason_against_variable(name)
        if why:
            raise wrong(place, part, f"is refused: {shown(name)} {why}", "Choose another variable.")
        if not isinstance(part, str) or not is_field_name(part):
            raise wrong(
                place, part, "is not the name of a field", "Write the field's name; a lone value is: value."
            )
    return dict(value)
