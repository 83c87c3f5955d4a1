"""What may stand below `secrets:` in a profile? Names, each with its kind, host and variables for `use`."""

from __future__ import annotations

import re
from typing import Any, get_args

from ..secret_names import NAME_RULE, is_field_name, is_secret_name, is_variable_name, reason_against_variable
from .grants import GROUP_PART, PROJECT_PART, USER_PARTS, Delivery, Grant, SecretKind
from .hostnames import is_ip_literal, normalise_host
from .profile_fields import boolean, shown, wrong

__all__ = ["grant"]

_KEYS = ("name", "kind", "environment", "delivery", "host", "path", "version", "header", "required")
_MOST_VARIABLES = 64
_PARTS = (*USER_PARTS, GROUP_PART, PROJECT_PART)
_KINDS: tuple[SecretKind, ...] = get_args(SecretKind)
_DELIVERIES: tuple[Delivery, ...] = get_args(Delivery)
_WITH_HOST = ("git", "pip", "http")  # kinds that are for one host and nowhere else
_OWN_WAY = ("aws", "vault")  # kinds whose variables are known, or that have none
_MADE = ("database", "vault")  # kinds that only an engine of Vault makes
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
# What carries the request itself, and so is never a secret's.
_CARRYING = re.compile(
    r"(?i)(host|content-.*|transfer-encoding|connection|te|trailer|upgrade|cookie|x-sandbox-.*)"
)
_PROXIED = ("proxy", "read", "renew", "revoke")  # words that stand behind a name in a path


def grant(value: Any, field: str) -> Grant:
    """One item of the list: a name, or a mapping with the keys of a Grant."""
    item = {"name": value} if isinstance(value, str) else value
    if not isinstance(item, dict) or "name" not in item:
        raise wrong(
            field, value, "is not a secret's name", "Write db/warehouse, or {name: db/warehouse, ...}."
        )
    for key in item:
        if key not in _KEYS:
            raise wrong(f"{field}.{key}", item[key], "belongs to no key", f"Known keys: {', '.join(_KEYS)}.")
    found = Grant(
        name=_name(item["name"], f"{field}.name"),
        kind=_kind(item.get("kind", "kv"), f"{field}.kind"),
        environment=_variables(item.get("environment", {}), f"{field}.environment"),
        delivery=_delivery(item.get("delivery", "value"), f"{field}.delivery"),
        host=_host(item["host"], f"{field}.host") if "host" in item else "",
        path=_path(item["path"], f"{field}.path") if "path" in item else "",
        version=_version(item.get("version"), f"{field}.version"),
        header=_header(item["header"], f"{field}.header") if "header" in item else "",
        required=boolean(item.get("required", False), f"{field}.required"),
    )
    _check_whole(found, field)
    return found


def _check_whole(found: Grant, field: str) -> None:
    """Refuse keys that do not go together."""
    if found.kind in _OWN_WAY and found.environment:
        remedy = "Remove environment: boto3 asks by itself, and `use` sets its three variables."
        if found.kind == "vault":
            remedy = "Remove environment: the token goes into a file."
        raise wrong(f"{field}.environment", dict(found.environment), f"is not for kind {found.kind}", remedy)
    if "proxy" in found.name.split("/"):
        # With a host or without: the first `/proxy/` of a path ends the name.
        raise wrong(f"{field}.name", found.name, "would be read as a path of the proxy", "Rename it.")
    _check_host(found, field)
    _check_engine(found, field)


def _check_host(found: Grant, field: str) -> None:
    if not found.host:
        if found.kind in _WITH_HOST:
            raise wrong(
                f"{field}.host", "", f"is needed for kind {found.kind}", "Write host: git.example.org"
            )
        if found.delivery == "proxy":
            raise wrong(f"{field}.host", "", "is needed for the proxy", "Write host: api.example.org")
    elif any(part in _PROXIED for part in found.name.split("/")):
        remedy = f"Choose a name without these parts: {', '.join(_PROXIED)}."
        raise wrong(f"{field}.name", found.name, "would be read as a path of the proxy", remedy)
    if found.delivery == "proxy" and found.kind in ("aws", *_MADE):
        remedy = "Use git, pip, http or kv: the proxy adds one header to requests."
        raise wrong(f"{field}.delivery", "proxy", f"is not for kind {found.kind}", remedy)


def _check_engine(found: Grant, field: str) -> None:
    if found.kind == "database" and not found.path:
        remedy = "Write path: database/creds/ROLE, as Vault's database engine has it."
        raise wrong(f"{field}.path", "", "is needed for kind database", remedy)
    if found.kind == "vault" and found.path:
        raise wrong(f"{field}.path", found.path, "is not for kind vault", "Remove it.")
    for part in (GROUP_PART, PROJECT_PART):
        if part in found.path and part not in found.name:
            remedy = f"Let the name have {part} too, so that each has a secret of its own."
            raise wrong(f"{field}.path", found.path, f"has a {part}, and the name has none", remedy)
    if found.version is not None and (found.path or found.kind in _MADE):
        remedy = "Remove version, or path: only values of the KV store have versions."
        raise wrong(f"{field}.version", found.version, "goes with no engine", remedy)


def _name(value: Any, field: str) -> str:
    if isinstance(value, str) and _is_template(value):
        return value
    remedy = f"Write {NAME_RULE}; a whole part may be {', '.join(_PARTS)}."
    raise wrong(field, value, "is not a secret's name", remedy)


def _is_template(value: str) -> bool:
    return is_secret_name("/".join("x" if part in _PARTS else part for part in value.split("/")))


def _is_path(value: str) -> bool:
    # Letters of both cases are usual in names of mounts and roles, and in no template.
    return is_secret_name("/".join("x" if part in _PARTS else part.lower() for part in value.split("/")))


def _path(value: Any, field: str) -> str:
    if isinstance(value, str) and _is_path(value) and "/" in value:
        return value
    raise wrong(field, value, "is not a path of an engine", "Write it as Vault does: database/creds/reports")


def _kind(value: Any, field: str) -> SecretKind:
    for kind in _KINDS:
        if value == kind:
            return kind
    raise wrong(field, value, "is not a kind", f"Write one of {', '.join(_KINDS)}, or leave it out for kv.")


def _delivery(value: Any, field: str) -> Delivery:
    for delivery in _DELIVERIES:
        if value == delivery:
            return delivery
    raise wrong(field, value, "is no way of delivery", f"Write one of {', '.join(_DELIVERIES)}.")


def _host(value: Any, field: str) -> str:
    """`name` or `name:port`; the port 443 is not written."""
    if isinstance(value, str):
        name, mark, port = value.partition(":")
        normal = normalise_host(name)
        digits = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
        if normal and normal == name and not is_ip_literal(normal) and (digits or not mark):
            return normal if port in ("", "443") else f"{normal}:{int(port)}"
    remedy = "Write its name in lower case, with a port where it is not 443: git.example.org:8443"
    raise wrong(field, value, "is not a host", f"{remedy}. No scheme, no path, no address.")


def _version(value: Any, field: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise wrong(field, value, "is not a version", "Write a whole number from 1, or leave it out.")


def _header(value: Any, field: str) -> str:
    if isinstance(value, str) and _HEADER.fullmatch(value) and not _CARRYING.fullmatch(value):
        return value
    raise wrong(field, value, "is not a header for a secret", "Write such as X-Api-Key, or leave it out.")


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
