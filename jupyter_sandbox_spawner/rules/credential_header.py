"""How is a secret sent to its host: in which header, and of which field?

Law: a value that could be read as more than a value, or not be found again in an answer, is not sent.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import RefusedError
from .grants import Grant

__all__ = ["SHORTEST", "Sent", "check_kind", "sent_credential"]

SHORTEST = 6  # bytes; what is shorter would be found by chance in any large answer
_LONGEST = 8 << 10  # bytes of a header that servers take
_VALUES = ("value", "token", "password")
_USERS = ("user", "username")
# What a program's server needs for a name where the secret has none: package indexes take this one for
# tokens, servers of git take any.
_TOKEN_USER = "__token__"  # noqa: S105 a user's name
_SPEAK_BASIC = ("git", "pip")
# Made anew for each read, or no one header.
_NO_HEADER = ("aws", "database", "vault")


@dataclass(frozen=True)
class Sent:
    """A header, and the values that must not come back in an answer."""

    name: str
    value: str = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False)


def check_kind(grant: Grant) -> None:
    """Raises RefusedError `secret.unsendable` for kinds that no request is sent with."""
    if grant.kind in _NO_HEADER:
        raise _unsendable(grant, f"kind {grant.kind} is read, not sent")


def sent_credential(grant: Grant, fields: Mapping[str, str]) -> Sent:
    """The grant's `header`, else Authorization: Basic for a user (and for git and pip), else Bearer.

    Raises RefusedError `secret.unsendable`.
    """
    order = ("password", "token", "value") if _user(fields) and not grant.header else _VALUES
    secret = next((fields[name] for name in order if name in fields), None)
    if secret is None:
        raise _unsendable(grant, f"it has none of the fields {', '.join(_VALUES)}")
    size = len(secret.encode())
    if size < SHORTEST:
        raise _unsendable(grant, f"its value has under {SHORTEST} bytes, which no answer could be cleaned of")
    name, value = _header(grant, _user(fields), secret)
    if not value.isascii() or not value.isprintable() or len(value) > _LONGEST:
        raise _unsendable(grant, f"its value is over {_LONGEST} bytes, or not plain ASCII in one line")
    further = (text for key, text in fields.items() if key not in _USERS and len(text.encode()) >= SHORTEST)
    return Sent(name, value, tuple(dict.fromkeys((secret, *further))))


def _header(grant: Grant, user: str, secret: str) -> tuple[str, str]:
    if grant.header:
        return grant.header, secret
    if not user and grant.kind in _SPEAK_BASIC:
        user = _TOKEN_USER
    if user:
        return "Authorization", "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
    return "Authorization", f"Bearer {secret}"


def _user(fields: Mapping[str, str]) -> str:
    return next((fields[name] for name in _USERS if name in fields), "")


def _unsendable(grant: Grant, why: str) -> RefusedError:
    return RefusedError(
        f"The secret {grant.name!r} cannot be sent to {grant.host}: {why}.",
        code="secret.unsendable",
        remedy="Ask the hub's admin to store it anew.",
        status=409,
    )
