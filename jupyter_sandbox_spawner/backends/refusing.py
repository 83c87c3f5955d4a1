"""How does a backend's `check` refuse a native request? By a code for the guard, the field, the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import IsolationError

__all__ = ["only_known", "refuse"]


def refuse(code: str, field: str, message: str) -> IsolationError:
    """The refusal of the guard `isolation.CODE` about a field of the request."""
    return IsolationError(
        f"{field}: {message}",
        code=f"isolation.{code}",
        field=field,
        remedy="Take this setting out of the overlay (profile or spawner configuration).",
    )


def only_known(found: Mapping[str, Any], known: set[str], field: str) -> None:
    """Refuse a field that nobody has looked at. Raises IsolationError `isolation.unknown_field`."""
    unknown = sorted(set(found) - known)
    if unknown:
        raise refuse("unknown_field", f"{field}{unknown[0]}", "this field is not known to be harmless.")
