"""How much must a cluster let sandboxes have, so that it refuses nothing that control admits? Pure.

Law: a line is never below what control's own caps admit together; what they leave open has no line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..kubernetes_site import KubernetesSite
from .catalogue import ZONES, find, reaches
from .profile_choices import with_choice
from .profiles import Profile
from .quotas import Caps
from .rulebook import Rulebook

__all__ = ["Crowd", "Room", "cluster_quota", "most_admitted"]

_WHAT = ("servers", "cpu", "memory")
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Room:
    """What one pod takes, or many do: cores, and bytes of memory and of a node's disk."""

    cpu: float
    memory: int
    space: int


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Whom the quota is for: how many `users` there will be (None: nobody knows; deleted ones count while
    their claims stay), how many servers each may have where a profile is silent, and how many pods to `spare`
    for probes and for servers that still end."""

    users: int | None = None
    servers_per_user: int | None = None
    spare: int = 10


def most_admitted(book: Rulebook, crowd: Crowd) -> Caps:
    """What control admits at the same time, at most; None where no cap holds it."""
    per_user = _of_each_user(book, crowd)
    by_users = _times(per_user, crowd.users)
    parts = [_of_profile(book, profile) for profile in book.profiles]
    found = _least(by_users, Caps(**{what: _sum(_values(parts, what)) for what in _WHAT}))
    return _bounded(found, book.profiles)


def cluster_quota(
    book: Rulebook, cluster: KubernetesSite, crowd: Crowd, beside: Room
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The ResourceQuota, as a patch of the shipped one, and what is left to its numbers, in sentences.

    `beside` is what each pod has besides what its profile gives: its link, and its user's container's log.
    """
    most = most_admitted(book, crowd)
    hard: dict[str, str] = {}
    notes = []
    if most.servers is None or most.cpu is None or most.memory is None:
        notes.append(
            "Nothing caps all servers together: pods, requests.cpu and the limits stay as shipped. Write"
            " servers below quotas.user and give --users, or at_most in each profile."
        )
    else:
        pods = most.servers + crowd.spare
        cpu = most.cpu + crowd.spare * _largest(book.profiles, "cpu") + pods * beside.cpu
        memory = most.memory + crowd.spare * _largest(book.profiles, "memory") + pods * beside.memory
        hard["pods"] = str(pods)
        hard["requests.cpu"] = str(math.ceil(cpu))
        hard["limits.memory"] = _mebibytes(memory)
        hard["limits.ephemeral-storage"] = _mebibytes(pods * beside.space)
    for resource in sorted(set(cluster.gpu_resource.values())):
        kinds = [kind for kind, name in cluster.gpu_resource.items() if name == resource]
        hard[f"requests.{resource}"] = str(sum(cluster.gpu_counts.get(kind, 0) for kind in kinds))
    if crowd.users is None:
        notes.append(
            "How many users there are is not known: claims and their storage stay as shipped (--users)."
        )
    else:
        homes = crowd.users * _homes_of_each(book)
        largest = max(item.resources.disk or cluster.home_size for item in _variants(book.profiles))
        hard["persistentvolumeclaims"] = str(homes)
        hard["requests.storage"] = _mebibytes(homes * largest)
    named = {"name": cluster.quota or "sandboxes", "namespace": cluster.namespace}
    manifest = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": named, "spec": {"hard": hard}}
    return manifest, tuple(notes)


def _homes_of_each(book: Rulebook) -> int:
    """The ordinary one, and one in each zone that a profile's datasets can lead to: tags rise, never fall."""
    names = {name for profile in _variants(book.profiles) for name in profile.datasets}
    known = [item for item in (find(book.datasets, name) for name in names) if item is not None]
    zones = {zone for zone in ZONES for item in known if reaches(zone, item.tags)}
    return len({"", *zones})


def _of_each_user(book: Rulebook, crowd: Crowd) -> Caps:
    """The caps that hold everybody: the most generous entry, where there is one for each user."""
    caps = [quota.caps for quota in book.quotas.users]
    if all(quota.group for quota in book.quotas.users):
        caps.append(Caps())
    named = [profile.servers_per_user or crowd.servers_per_user for profile in book.profiles]
    own = Caps(**{what: _most(_values(caps, what)) for what in _WHAT})
    return _bounded(_least(own, Caps(servers=_most(named))), book.profiles)


def _of_profile(book: Rulebook, profile: Profile) -> Caps:
    """What all servers of a profile have together, by its own cap and by those of the groups it is for."""
    found = profile.at_most or Caps()
    if profile.allowed_groups is not None:
        caps = {quota.group: quota.caps for quota in book.quotas.groups}
        groups = [caps.get(group, Caps()) for group in profile.allowed_groups]
        found = _least(found, Caps(**{what: _sum(_values(groups, what)) for what in _WHAT}))
    return _bounded(found, (profile,))


def _bounded(caps: Caps, profiles: Sequence[Profile]) -> Caps:
    """Also by what so many servers can have, each of them the largest of these profiles."""
    if caps.servers is None:
        return caps
    return _least(
        caps,
        Caps(
            cpu=caps.servers * _largest(profiles, "cpu"),
            memory=math.ceil(caps.servers * _largest(profiles, "memory")),
        ),
    )


def _variants(profiles: Iterable[Profile]) -> Iterable[Profile]:
    """Each profile as it is, and as each choice of its options makes it."""
    for profile in profiles:
        yield profile
        for option in profile.options:
            yield from (with_choice(profile, choice) for choice in option.choices)


def _largest(profiles: Iterable[Profile], what: str) -> float:
    return max((getattr(item.resources, what) for item in _variants(profiles)), default=0)


def _times(caps: Caps, count: int | None) -> Caps:
    return Caps(**{what: None if count is None or cap is None else cap * count for what, cap in _items(caps)})


def _least(one: Caps, other: Caps) -> Caps:
    return Caps(**{what: _chosen(min, _values((one, other), what)) for what in _WHAT})


def _items(caps: Caps) -> list[tuple[str, Any]]:
    return [(what, getattr(caps, what)) for what in _WHAT]


def _values(caps: Iterable[Caps], what: str) -> list[Any]:
    return [getattr(item, what) for item in caps]


def _chosen(which: Callable[[list[Any]], Any], values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return which(known) if known else None


def _most(values: Sequence[Any]) -> Any:
    """The largest; None where one is not capped, or there is none."""
    return None if not values or None in values else max(values)


def _sum(values: Sequence[Any]) -> Any:
    return None if None in values else sum(values)


def _mebibytes(size: float) -> str:
    return f"{math.ceil(size / _MIB)}Mi"
