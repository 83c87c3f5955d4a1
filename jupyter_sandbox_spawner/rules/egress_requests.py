"""May this wish for a host be put to an admin, and what does an approved one open, where and until when?

Law: a grant opens names and one port for a time, never a network; a service of the site's own network only by
its whole name, and no other address that is not public; where data takes the network away it opens nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from ..errors import ConfigurationError
from ..models import EgressPolicy, EgressRule, SandboxSpec
from ..units import format_duration
from .catalogue import known_tags, reaches
from .egress import compile_rules, decide, opens_service
from .hostnames import is_ip_literal, normalise_host

__all__ = [
    "LONGEST",
    "LONGEST_WAIT",
    "LONGEST_WHY",
    "MOST_AN_HOUR",
    "MOST_WAITING",
    "SHORTEST",
    "STATUSES",
    "EgressGrant",
    "EgressWish",
    "Opening",
    "Refusal",
    "Scope",
    "Status",
    "Terms",
    "applies",
    "cleaned",
    "is_guarded",
    "merged",
    "opening",
    "refusal",
    "rule_of",
    "rule_text",
    "status_of",
    "too_many",
    "wish",
]

LONGEST_WHY = 500  # characters
LONGEST_WAIT = 30 * 86400  # seconds; nobody answered
MOST_WAITING = 10  # of one user
MOST_AN_HOUR = 60  # of one user: each has lines in the audit, which a program inside must not fill
SHORTEST = 60  # seconds
LONGEST = 31 * 86400  # seconds

Scope = Literal["sandbox", "user", "group"]
Status = Literal["waiting", "approved", "denied", "withdrawn", "expired", "revoked"]
STATUSES: tuple[Status, ...] = get_args(Status)
# They turn the order of what is read round, so that a reason could look like an answer.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, kw_only=True)
class EgressWish:
    """What somebody asks for: a host's name as it is spelled once, a port, and why."""

    host: str
    port: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a wish is not put to an admin; `status` is that of the answer."""

    code: str
    message: str
    remedy: str = ""
    status: int = 409


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an admin gives: for so many seconds, to a sandbox, its user or a group (`name`).

    `pattern` "" is the host that was asked for; `*.example.org` has the names below. `sandbox` "" is
    whichever waits for it; else the answer is to the request of that one only.
    """

    seconds: int
    scope: Scope = "sandbox"
    name: str = ""
    why: str = ""
    pattern: str = ""
    sandbox: str = ""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Checked terms: what is opened for whom. `name` is a sandbox's id, a user or a group."""

    pattern: str
    port: int
    scope: Scope
    name: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class EgressGrant:
    """What an admin gave in answer to the request with this number, and whether it was taken back."""

    id: int
    request: int
    pattern: str
    port: int
    scope: Scope
    name: str
    since: datetime
    until: datetime
    by: str
    why: str = ""
    revoked_by: str | None = None
    revoked_at: datetime | None = None
    unwritten: int = 0  # 1: that it was taken back is not in the audit


def wish(host: str, port: int, why: str) -> EgressWish:
    """The wish, checked. Raises ConfigurationError `egress.request_invalid` with field, value and way out."""
    name = normalise_host(host) if len(host) <= 1000 else None
    if name is None:
        raise _invalid("host", host, "is not a host name", "Write a name, such as data.example.org.")
    if is_ip_literal(name):
        raise _invalid("host", name, "is an IP address", "Ask for a name; networks are the profile's matter.")
    if not 1 <= port <= 65535:
        raise _invalid("port", port, "is no port between 1 and 65535", "Write a whole number, such as 443.")
    reason = cleaned(why)
    if not reason or len(why) > LONGEST_WHY:
        what = f"has {len(why)} characters" if reason else "says nothing"
        raise _invalid("why", why, what, f"Say in 1 to {LONGEST_WHY} characters what you need it for.")
    return EgressWish(host=name, port=port, why=reason)


def cleaned(text: str) -> str:
    """Somebody's words as one line that every database keeps and no terminal obeys."""
    return " ".join("".join("\ufffd" if _is_foreign(sign) else sign for sign in text).split())


def _is_foreign(sign: str) -> bool:
    return sign in _TURNING or (unicodedata.category(sign) in ("Cc", "Cs") and not sign.isspace())


def is_guarded(spec: SandboxSpec) -> bool:
    """Do its data take the network away (rules/datasets.py)?"""
    data = [known_tags(mount.tags) for mount in spec.mounts if mount.kind == "dataset"]
    return spec.zone != "" or not all(reaches("", tags) for tags in data)


def refusal(
    spec: SandboxSpec | None, asked: EgressWish, now: datetime, internal: bool = False
) -> Refusal | None:
    """Why this sandbox's wish needs nobody's decision; None where it does. `spec` None: nobody knows it.

    `internal`: it is a service of the site's own network, which a wildcard for a time does not open.
    """
    if spec is None:
        message = "What this server may reach is not known any more."
        return Refusal(code="egress.unknown_sandbox", message=message, remedy="Start it again, then ask.")
    if is_guarded(spec):
        message = "This server works with guarded data, so nothing but the site's own services is open to it."
        remedy = "Ask from a server without that data."
        return Refusal(code="egress.guarded_data", message=message, remedy=remedy, status=403)
    rule = decide(spec.egress, asked.host, asked.port, now)[1]
    if rule is not None and (not internal or opens_service(rule, asked.host)):
        message = f"{asked.host}:{asked.port} is allowed already."
        remedy = "If it does not answer, the host itself refuses: see %sandbox egress."
        return Refusal(code="egress.already_allowed", message=message, remedy=remedy)
    return None


def too_many(waiting: int, within_hour: int) -> Refusal | None:
    """Why a user who has so many requests may not make one more now."""
    if waiting >= MOST_WAITING:
        message = f"{waiting} requests of yours wait already, which is as many as there may be."
        remedy = "Withdraw one, or wait for an answer."
        return Refusal(code="egress.too_many_requests", message=message, remedy=remedy, status=429)
    if within_hour >= MOST_AN_HOUR:
        message = f"You asked {within_hour} times within an hour."
        return Refusal(code="egress.too_many_requests", message=message, remedy="Wait a while.", status=429)
    return None


def opening(
    terms: Terms,
    asked: EgressWish,
    sandbox: str,
    person: tuple[str, Collection[str]],
    now: datetime,
    internal: bool = False,
) -> Opening:
    """What these terms open of a wish by that sandbox, whose `person` is a user with groups. `internal`: it
    is for a service of the site's own network.

    Raises ConfigurationError `egress.grant_invalid` or `egress.rule_invalid`.
    """
    user, groups = person
    if not SHORTEST <= terms.seconds <= LONGEST:
        remedy = f"Write {SHORTEST} to {LONGEST} seconds ({format_duration(LONGEST)})."
        raise _not_given("for", terms.seconds, "is too short or too long a time", remedy)
    if terms.scope != "group" and terms.name:
        raise _not_given("name", terms.name, "is of use for a group only", "Leave it out.")
    if terms.scope == "group" and terms.name not in groups:
        listed = ", ".join(sorted(groups)) or "none"
        raise _not_given("name", terms.name, f"is no group of {user!r}", f"Write one of: {listed}.")
    if internal and terms.pattern not in ("", asked.host):
        what = f"does not open {asked.host}, a service of the site's own network"
        raise _not_given(
            "pattern", terms.pattern, what, "Leave it out: such a service is opened by its name."
        )
    return Opening(
        pattern=_pattern(terms.pattern, asked, now) if terms.pattern else asked.host,
        port=asked.port,
        scope=terms.scope,
        name={"sandbox": sandbox, "user": user, "group": terms.name}[terms.scope],
        until=now + timedelta(seconds=terms.seconds),
    )


def _pattern(pattern: str, asked: EgressWish, now: datetime) -> str:
    if "/" in pattern:
        raise _not_given(
            "pattern", pattern, "is a network", "Write a name; networks are the profile's matter."
        )
    (rule,) = compile_rules([{"host": pattern, "ports": [asked.port]}], "pattern")
    if not decide(EgressPolicy(rules=(rule,)), asked.host, asked.port, now)[0].allowed:
        raise _not_given("pattern", pattern, f"does not have {asked.host}", "Write one that does.")
    return rule.pattern


def status_of(status: Status, until: datetime | None, revoked_at: datetime | None, now: datetime) -> Status:
    """What became of a request, by what is recorded of it and of its grant."""
    if status != "approved":
        return status
    if revoked_at is not None:
        return "revoked"
    return "expired" if until is None or until <= now else "approved"


def applies(grant: EgressGrant, sandbox: str, user: str, groups: Collection[str], now: datetime) -> bool:
    """Is this grant in force, and for this sandbox of a user with these groups?"""
    if grant.revoked_at is not None or grant.until <= now:
        return False
    if grant.scope == "group":
        return grant.name in groups
    return grant.name == (sandbox if grant.scope == "sandbox" else user)


def rule_of(grant: EgressGrant) -> EgressRule:
    """The rule that it is in a sandbox's egress policy."""
    text = rule_text(grant.pattern, grant.port, grant.request)
    return EgressRule(pattern=grant.pattern, ports=(grant.port,), text=text, until=grant.until)


def rule_text(pattern: str, port: int, request: int) -> str:
    """How a rule that answers this request is written, by which it is known again."""
    return f"{pattern}:{port} (request {request})"


def merged(policy: EgressPolicy, grants: Sequence[EgressGrant]) -> EgressPolicy:
    """The policy with just these grants beside the profile's own rules; earlier ones are left out."""
    own = tuple(rule for rule in policy.rules if rule.until is None)
    # A whole name first: it opens what a wildcard does not, and the first one that names a host decides.
    given = tuple(rule_of(grant) for grant in sorted(grants, key=lambda one: ("*" in one.pattern, one.id)))
    return replace(policy, rules=(*own, *given))


def _invalid(field: str, value: object, what: str, remedy: str) -> ConfigurationError:
    return _with_field("egress.request_invalid", field, value, what, remedy)


def _not_given(field: str, value: object, what: str, remedy: str) -> ConfigurationError:
    return _with_field("egress.grant_invalid", field, value, what, remedy)


def _with_field(code: str, field: str, value: object, what: str, remedy: str) -> ConfigurationError:
    said = repr(value) if isinstance(value, int) else repr(cleaned(str(value)[:200])[:100])
    return ConfigurationError(f"{field}: {said} {what}.", code=code, field=field, remedy=remedy)
