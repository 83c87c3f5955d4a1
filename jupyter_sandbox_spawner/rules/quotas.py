"""May somebody have this much at once, and this much in a window of time? Caps, as the admin wrote them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ..units import format_size

__all__ = [
    "Asked",
    "Caps",
    "GpuHours",
    "GroupQuota",
    "Held",
    "Quotas",
    "Refusal",
    "Scope",
    "Share",
    "UserQuota",
    "over_cap",
    "owner_of",
    "shares_of",
]

Scope = Literal["user", "group", "profile"]
_ROUNDING = 1e-6  # cores; sums of fractions such as 0.1 are not exact


@dataclass(frozen=True, kw_only=True)
class GpuHours:
    """At most `at_most` GPU-hours within any `within` seconds."""

    at_most: float
    within: int


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Ceilings for what runs at once; None: no cap. `cpu` cores, `memory` bytes, `gpus` devices."""

    servers: int | None = None
    cpu: float | None = None
    memory: int | None = None
    gpus: int | None = None
    gpu_hours: GpuHours | None = None


@dataclass(frozen=True, kw_only=True)
class UserQuota:
    """Caps of each user. The first entry that fits counts; `group` None fits everybody."""

    caps: Caps
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class GroupQuota:
    """Caps of all members of a group together; a sandbox counts in each group of its user at its start."""

    group: str
    caps: Caps


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """The section `quotas` of the rule book. Empty: nothing is capped beyond the profiles."""

    users: tuple[UserQuota, ...] = field(default=())
    groups: tuple[GroupQuota, ...] = field(default=())

    def caps_of_user(self, groups: frozenset[str]) -> Caps:
        """The caps of a user with these groups: those of the first entry that fits, or none."""
        for quota in self.users:
            if quota.group is None or quota.group in groups:
                return quota.caps
        return Caps()


@dataclass(frozen=True, kw_only=True)
class Held:
    """What runs now under one name, in sum. `names` are the user's own servers, for the message."""

    servers: int = 0
    cpu: float = 0.0
    memory: int = 0
    gpus: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one more server would take."""

    cpu: float
    memory: int
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Share:
    """Whose caps a server counts against: its user's, those of a group, or those of its profile."""

    scope: Scope
    name: str
    caps: Caps


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A cap that stands in the way: code, sentence, way out, and from when on it no longer does."""

    code: str
    message: str
    remedy: str
    retry_at: datetime | None = None


def shares_of(
    quotas: Quotas, user: str, groups: Collection[str], profile: str, at_most: Caps | None
) -> tuple[Share, ...]:
    """Every share with a cap that a server of this user and profile counts against."""
    found = [Share(scope="user", name=user, caps=quotas.caps_of_user(frozenset(groups)))]
    found += [
        Share(scope="group", name=quota.group, caps=quota.caps)
        for quota in quotas.groups
        if quota.group in groups
    ]
    found.append(Share(scope="profile", name=profile, caps=at_most or Caps()))
    return tuple(share for share in found if share.caps != Caps())


def over_cap(share: Share, held: Held, asked: Asked) -> Refusal | None:
    """The first cap that one more server would exceed; what is asked in none of a kind exceeds nothing."""
    caps = share.caps
    for begin, cap, has, more in (
        ("quota.servers.", caps.servers, held.servers, 1),
        ("quota.cpu.", caps.cpu, held.cpu, asked.cpu),
        ("quota.memory.", caps.memory, held.memory, asked.memory),
        ("quota.gpu.", caps.gpus, held.gpus, asked.gpus),
    ):
        if cap is not None and more and has + more > cap + _ROUNDING:
            return _refusal(share, begin, (cap, has, more), held.names)
    return None


def owner_of(share: Share) -> str:
    """Who has it, at the beginning of a sentence."""
    return {
        "user": "You have",
        "group": f"The group {share.name!r} has",
        "profile": f"The servers of profile {share.name!r} have",
    }[share.scope]


def _refusal(share: Share, begin: str, numbers: tuple[float, float, float], names: Sequence[str]) -> Refusal:
    cap, has, more = numbers
    code, what = begin + share.scope, begin.split(".")[1]
    if more > cap + _ROUNDING:
        message = f"This server asks for {_amount(what, more)}, and the cap is {_amount(what, cap)}"
        whose = {
            "user": "of each user",
            "group": f"of the group {share.name!r}",
            "profile": "of this profile",
        }
        remedy = "Choose a profile that asks for less, or ask your admin."
        return Refusal(code=code, message=f"{message} {whose[share.scope]}.", remedy=remedy)
    whose_are = f" ({', '.join(repr(name or 'default') for name in names)})" if names else ""
    return Refusal(
        code=code,
        message=f"{owner_of(share)} {_number(what, has)} of {_amount(what, cap)} in use{whose_are}; "
        f"this server asks for {_number(what, more)} more.",
        remedy="Stop one of them first, or choose a profile that asks for less."
        if share.scope == "user"
        else "Try again when one of its servers has stopped, or choose another profile.",
    )


def _number(what: str, amount: float) -> str:
    return format_size(int(amount)) if what == "memory" else f"{amount:g}"


def _amount(what: str, amount: float) -> str:
    if what == "memory":
        return f"{format_size(int(amount))} of memory"
    unit = {"servers": "server", "cpu": "core", "gpu": "GPU"}[what]
    return f"{amount:g} {unit}{'' if amount == 1 else 's'}"
