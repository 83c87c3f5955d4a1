"""May somebody have this much at once, and this much in a window of time? Caps, as the admin wrote them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Caps", "GpuHours", "GroupQuota", "Quotas", "UserQuota"]


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
