"""What must keep secrets for the broker? A port of five verbs, and what crosses it.

Law: a value is never in a repr, an error or a log; whoever implements the port passes the contract suite
(tests/programs/test_secret_store.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..errors import ConfigurationError, ProgramError, RefusedError
from ..secret_names import is_field_name

__all__ = [
    "LARGEST",
    "MOST_FIELDS",
    "MOST_SECRETS",
    "Secret",
    "SecretStore",
    "Stored",
    "check_fields",
    "missing",
    "unusable",
]

LARGEST = 64 << 10  # bytes of a secret's values in UTF-8; an environment variable takes 128 KiB at most
MOST_FIELDS = 32
MOST_SECRETS = 10_000


@dataclass(frozen=True, kw_only=True)
class Secret:
    """Values by field. `expires_at` None: it does not expire by itself."""

    name: str
    fields: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What may be told of a secret without its values; `size` is their bytes."""

    name: str
    fields: tuple[str, ...]
    size: int
    changed_at: datetime
    changed_by: str


class SecretStore(Protocol):
    """Verbs: `names`, `describe`, `read`, `put`, `delete`.

    `static`: values outlive the sandbox that read them. Names and fields are checked before a verb is called.
    Every verb raises ProgramError `secret.store_*` where the store cannot be used.
    """

    static: bool

    async def names(self) -> frozenset[str]:
        """What there is."""
        ...

    async def describe(self) -> tuple[Stored, ...]:
        """What there is, with sizes and dates, by name; never a value."""
        ...

    async def read(self, name: str) -> Secret:
        """The values. Raises RefusedError `secret.missing`."""
        ...

    async def put(self, name: str, fields: Mapping[str, str], by: str) -> None:
        """Store or replace; on disk when it returns, and never half of it."""
        ...

    async def delete(self, name: str) -> bool:
        """Forget it; False if there was none."""
        ...


def check_fields(fields: Mapping[str, str]) -> Mapping[str, str]:
    """The fields. Raises ConfigurationError `secret.value_*`; no value is in its text."""
    if not 1 <= len(fields) <= MOST_FIELDS:
        raise _wrong(f"it has {len(fields)} fields", f"Give 1 to {MOST_FIELDS} fields.")
    size = 0
    for name, value in fields.items():
        if not is_field_name(name):
            raise _wrong(
                f"{name[:80]!r} is not a field's name", "Use letters, digits, '_', '.' and '-', at most 64."
            )
        if not value:
            raise _wrong(f"the field {name!r} is empty", "Give it a value, or leave the field out.")
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _wrong(f"the field {name!r} is binary", "Encode it first, such as with: base64 -w0 FILE")
        size += len(value.encode())
    if size > LARGEST:
        raise _wrong(
            f"it has {size} bytes; at most {LARGEST} are kept",
            "Keep large things as a file or data set, and only their key here.",
        )
    return fields


def missing(name: str) -> RefusedError:
    """A profile grants it, and nobody has stored it."""
    return RefusedError(
        f"The secret {name!r} is granted, but nobody has stored it yet.",
        code="secret.missing",
        remedy=f"Ask the hub's admin for: jupyter-sandbox-admin secrets put {name}",
        status=404,
    )


def unusable(why: str, code: str = "secret.store_unusable", remedy: str = "") -> ProgramError:
    """The store cannot be used now."""
    return ProgramError(f"The store of secrets cannot be used: {why}.", code=code, remedy=remedy, status=503)


def _wrong(what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"The secret is refused: {what}.", code="secret.value_invalid", field="fields", remedy=remedy
    )
