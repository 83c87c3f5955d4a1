"""What do Vault's answers say of a secret: its values, its versions, who stored it and when?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..errors import ConfigurationError
from ..rules.grants import Grant
from ..secret_names import is_field_name
from .store import Stored, unusable

__all__ = ["created_at", "fields_of", "renamed", "stored_of"]

_AWS = {"access_key": "access_key_id", "secret_key": "secret_access_key", "security_token": "session_token"}


def fields_of(found: Any) -> dict[str, str]:
    """Texts as they are; numbers, lists and such as JSON. Names that are no field's name are left out."""
    if not isinstance(found, dict):
        raise unusable("Vault's answer has no values", "vault.malformed")
    return {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
        if is_field_name(str(name)) and value is not None
    }


def renamed(grant: Grant, values: dict[str, str]) -> dict[str, str]:
    """Under the names that every kind has here, whichever engine made them."""
    if grant.kind != "aws":
        return values
    return {_AWS.get(name, name): value for name, value in values.items()}


def created_at(metadata: Mapping[str, Any], version: int) -> datetime | None:
    """When a version was made; None where there is none, or it is deleted by now."""
    found = metadata.get("versions", {}).get(str(version))
    if not isinstance(found, dict) or found.get("destroyed"):
        return None
    # A mount may delete versions after a time, which then stands here and is still to come.
    deleted = str(found.get("deletion_time") or "")
    if deleted and _instant(deleted) <= datetime.now(timezone.utc):
        return None
    return _instant(str(found.get("created_time", "")))


def stored_of(name: str, metadata: Mapping[str, Any]) -> Stored:
    note = metadata.get("custom_metadata") or {}
    size = str(note.get("size", ""))
    return Stored(
        name=name,
        fields=tuple(filter(None, str(note.get("fields", "")).split(","))),
        size=int(size) if size.isdigit() else 0,
        changed_at=_instant(str(metadata.get("updated_time", ""))),
        changed_by=str(note.get("changed_by", "")) or "somebody at Vault",
    )


def _instant(text: str) -> datetime:
    """Vault's times have nine digits after the dot, which Python before 3.11 does not read."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{whole}.{(rest + '000000')[:6]}+00:00")
    except ValueError:
        raise ConfigurationError(f"Vault says a time that is none: {text[:40]!r}.") from None
