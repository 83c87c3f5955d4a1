"""Which sandbox may read which secret? A profile grants names; a sandbox has what it was admitted with.

Law: nothing is granted by default, no pattern grants several secrets, and whether a secret exists is told to
nobody without a grant for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..secret_names import is_secret_name
from .identity import fits

__all__ = [
    "USER_PART",
    "Asker",
    "Grant",
    "Holder",
    "ReadVerdict",
    "SecretKind",
    "decide_list",
    "decide_read",
    "grants_for",
]

SecretKind = Literal["kv", "aws"]
USER_PART = "{user}"  # a whole part of a granted name; it becomes the name of who asks


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One secret that a profile lets its sandboxes read. `environment`: variable to field, for `use`."""

    name: str
    kind: SecretKind = "kv"
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Whose token was shown, by the hub's word. `owner` None: none was shown; "": the hub knows it not."""

    owner: str | None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A sandbox as control knows it. `runs`: it was admitted and nobody has decided its end."""

    user: str
    server: str
    profile: str
    runs: bool
    grants: tuple[Grant, ...]


@dataclass(frozen=True, kw_only=True)
class ReadVerdict:
    """`grant` is set where the read is allowed; else code, sentence, remedy and status say why not."""

    grant: Grant | None = None
    code: str = ""
    message: str = ""
    remedy: str = ""
    status: int = 403


def grants_for(user: str, granted: Sequence[Grant]) -> tuple[Grant, ...]:
    """A profile's grants with the user's name in the place of `{user}`.

    A name that could not be a part of a secret's name (`Alice`, `+`, `a/b`) gets no such grant: one user's
    must never become another's.
    """
    found = []
    for grant in granted:
        parts = [user if part == USER_PART else part for part in grant.name.split("/")]
        personal = USER_PART in grant.name
        name = "/".join(parts)
        if is_secret_name(name) and not (personal and "/" in user):
            found.append(replace(grant, name=name))
    return tuple(found)


def decide_list(asker: Asker, holder: Holder | None) -> ReadVerdict | None:
    """Why the list may not be read; None if it may."""
    if holder is None or not holder.runs:
        return _no(
            "sandbox.unknown", "This server does not run any more, so it may read no secret.", status=404
        )
    if asker.owner is None:
        return _no("identity.missing", "This needs the server's token.", status=401)
    if not asker.owner:
        return _no("identity.unknown", "The hub does not know this token.", status=401)
    if not fits(asker.owner, asker.scopes, holder.user, holder.server):
        return _no(
            "identity.mismatch",
            "This token belongs to another server; use the one this server was started with.",
        )
    return None


def decide_read(asker: Asker, holder: Holder | None, name: str) -> ReadVerdict:
    """May this be read now?"""
    refusal = decide_list(asker, holder)
    if refusal is not None or holder is None:
        return refusal or _no("sandbox.unknown", "There is no such server.", status=404)
    for grant in holder.grants:
        if grant.name == name:
            return ReadVerdict(grant=grant, status=200)
    return _no(
        "secret.not_granted",
        f"The profile {holder.profile!r} grants this server no secret {name[:80]!r}.",
        f"{_granted(holder.grants)} Ask the hub's admin for more.",
    )


def _granted(grants: Collection[Grant]) -> str:
    names = ", ".join(sorted(grant.name for grant in grants))
    return f"It grants: {names}." if names else "It grants none."


def _no(code: str, message: str, remedy: str = "", status: int = 403) -> ReadVerdict:
    return ReadVerdict(code=code, message=message, remedy=remedy, status=status)
