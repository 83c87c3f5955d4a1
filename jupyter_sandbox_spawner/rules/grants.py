"""Which sandbox may read which secret? A profile grants names; a sandbox has what it was admitted with.

Law: nothing is granted by default, no pattern grants several secrets, and whether a secret exists is told to
nobody without a grant for it. What a policy engine vetoes is never granted; it cannot add anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..errors import ConfigurationError
from ..names import name_part
from ..secret_names import is_secret_name
from .identity import fits

__all__ = [
    "GROUP_PART",
    "PROJECT_GROUPS",
    "PROJECT_PART",
    "USER_PARTS",
    "Asker",
    "Delivery",
    "Grant",
    "GrantVerdict",
    "Holder",
    "ReadVerdict",
    "Refused",
    "SecretKind",
    "decide_grants",
    "decide_list",
    "decide_read",
]

# Who takes the secret: `kv` the user's own code, `aws` boto3, `database` a user made for this sandbox, `git`
# and `pip` those programs, `http` code that calls one host, `vault` a Vault token of its own (wrapped).
SecretKind = Literal["kv", "aws", "database", "git", "pip", "http", "vault"]
# `value`: the sandbox may read the value. `proxy`: the broker adds it to requests, and it never comes inside.
Delivery = Literal["value", "proxy"]
USER_PARTS = ("{username}", "{user}")  # a whole part of a granted name; it becomes the name of who asks
GROUP_PART = "{group}"  # one grant for each group of who asks
PROJECT_PART = "{project}"  # one grant for each group that is a project's
PROJECT_GROUPS = "project-"  # a group of this beginning is a project's; the rest is the project's name
_TEMPLATE = re.compile(r"\{[^/]*\}")


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One secret that a profile lets its sandboxes read.

    `environment`: variable to field, for `use`. `host`: `name` or `name:port` (443) where git, pip or the
    broker's proxy may use it, and nowhere else. `path`: where an engine of Vault makes it, such as
    `database/creds/reports`; "" is the KV secret of this name. `version`: of KV, None is the newest.
    `header`: how the proxy sends it; "" is Authorization (credential_header.py).
    `required`: no server starts where it cannot be given.
    """

    name: str
    kind: SecretKind = "kv"
    environment: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = "value"
    host: str = ""
    path: str = ""
    version: int | None = None
    header: str = ""
    required: bool = False

    @property
    def static(self) -> bool:
        """Does its value outlive the sandbox that reads it? What an engine makes ends with the sandbox."""
        return not self.path and self.kind != "vault"


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A grant of the profile that this person does not get, and why."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class GrantVerdict:
    """What one person gets of a profile's grants, with names filled in, and what not."""

    granted: tuple[Grant, ...]
    refused: tuple[Refused, ...] = ()


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


def decide_grants(
    user: str,
    groups: Collection[str],
    granted: Sequence[Grant],
    vetoed: Mapping[str, str] | None = None,
) -> GrantVerdict:
    """A profile's grants as this person gets them. `vetoed`: a secret's name to the policy's reason.

    A part like `{username}` becomes the name itself where that is plain, else its `name_part`, so that one
    user's secret is never another's; a name without a canonical form (`Alice`, `+`) gets no such grant.
    """
    found: dict[str, Grant] = {}
    refused = []
    for grant in granted:
        try:
            filled = list(_filled(user, sorted(groups), grant))
        except ConfigurationError as error:
            refused.append(Refused(name=grant.name, why=f"{error.message} {error.remedy}"))
            continue
        if not filled:
            what = "project" if PROJECT_PART in grant.name else "group"
            refused.append(Refused(name=grant.name, why=f"{user} is in no {what}."))
        for item in filled:
            if item.name in (vetoed or {}):
                refused.append(Refused(name=item.name, why=(vetoed or {})[item.name]))
            elif not is_secret_name(item.name):
                refused.append(Refused(name=item.name, why="With this name in it, it is too long."))
            else:
                # A name that an earlier line grants already keeps that line's terms.
                found.setdefault(item.name, item)
    return GrantVerdict(granted=tuple(found.values()), refused=tuple(refused))


def _filled(user: str, groups: Sequence[str], grant: Grant) -> Iterator[Grant]:
    """The grant for each group or project that it speaks of; itself where it speaks of nobody."""
    used = set(_TEMPLATE.findall(f"{grant.name}/{grant.path}"))
    own = {part: name_part(user) for part in USER_PARTS} if used & set(USER_PARTS) else {}
    projects = [name.removeprefix(PROJECT_GROUPS) for name in groups if name.startswith(PROJECT_GROUPS)]
    for group in _parts(groups) if GROUP_PART in used else [""]:
        for project in _parts(projects) if PROJECT_PART in used else [""]:
            values = {**own, GROUP_PART: group, PROJECT_PART: project}
            yield replace(grant, name=_with(grant.name, values), path=_with(grant.path, values))


def _parts(names: Sequence[str]) -> list[str]:
    """Names as parts of a secret's name; one that has no canonical form is nobody's."""
    found = []
    for name in names:
        try:
            found.append(name_part(name))
        except ConfigurationError:
            # Such a group gets no grant; it must not take the others' away.
            continue
    return found


def _with(text: str, values: Mapping[str, str]) -> str:
    return "/".join(values.get(part, part) for part in text.split("/"))


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


def decide_read(asker: Asker, holder: Holder | None, name: str, delivery: Delivery = "value") -> ReadVerdict:
    """May this be read now? `delivery` is how: a grant for the proxy lets no value into the sandbox."""
    refusal = decide_list(asker, holder)
    if refusal is not None or holder is None:
        return refusal or _no("sandbox.unknown", "There is no such server.", status=404)
    for grant in holder.grants:
        if grant.name == name:
            return _delivered(grant, delivery)
    return _no(
        "secret.not_granted",
        f"The profile {holder.profile!r} grants this server no secret {name[:80]!r}.",
        f"{_granted(holder.grants)} Ask the hub's admin for more.",
    )


def _delivered(grant: Grant, delivery: Delivery) -> ReadVerdict:
    if delivery == "proxy" and not grant.host:
        return _no(
            "secret.no_host",
            f"The secret {grant.name!r} is granted for no host, so nothing can be sent with it.",
            "Ask the hub's admin to give its grant a host.",
        )
    if delivery == "value" and grant.delivery == "proxy":
        return _no(
            "secret.proxy_only",
            f"The value of {grant.name!r} never enters a sandbox; the broker adds it to requests.",
            f"Send them to secrets/{grant.name}/proxy/ of this server's API: %sandbox secrets status",
        )
    return ReadVerdict(grant=grant, status=200)


def _granted(grants: Collection[Grant]) -> str:
    names = ", ".join(sorted(grant.name for grant in grants))
    return f"It grants: {names}." if names else "It grants none."


def _no(code: str, message: str, remedy: str = "", status: int = 403) -> ReadVerdict:
    return ReadVerdict(code=code, message=message, remedy=remedy, status=status)
