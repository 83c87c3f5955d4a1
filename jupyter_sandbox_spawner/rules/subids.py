"""May an ordinary user of this host make sandboxes, and with which uids? Decided from the texts of its files.

Law: every obstacle comes with the sentence and the command that helps; no obstacle is worked around.
ref: subuid(5), newuidmap(1), user_namespaces(7)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["LEAST_IDS", "Facts", "Obstacle", "Subids", "first_obstacle", "obstacles", "subids_of", "usable"]

LEAST_IDS = 3  # uid 0 inside, the probe sandbox, and one user


@dataclass(frozen=True, kw_only=True)
class Subids:
    """A run of subordinate ids of the host: `first`, `first + 1`, ... `count` of them."""

    first: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was read on this host about one user. A switch is None where the kernel has no such file."""

    user: str
    uid: int
    subuid: str
    subgid: str
    newuidmap: bool
    newgidmap: bool
    tools: bool = True
    max_user_namespaces: str | None = None
    unprivileged_userns_clone: str | None = None
    apparmor_restrict_unprivileged_userns: str | None = None


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why sandboxes cannot be made without root here; `code` is the end of `ordinary.CODE`."""

    code: str
    seen: str
    remedy: str


def subids_of(text: str, user: str, uid: int) -> Subids | None:
    """The largest range that a file such as /etc/subuid gives a user, by name or by number."""
    found = [
        Subids(first=int(start), count=int(count))
        for owner, start, count in (_fields(line) for line in text.splitlines())
        if owner in (user, str(uid)) and start.isdigit() and count.isdigit()
    ]
    return max(found, key=lambda item: item.count, default=None)


def usable(facts: Facts) -> Subids | None:
    """The uids that sandboxes may have; as many as there are gids to go with them."""
    uids, gids = _both(facts)
    if uids is None or gids is None:
        return None
    return Subids(first=uids.first, count=min(uids.count, gids.count))


def first_obstacle(facts: Facts) -> Obstacle | None:
    """The one to remove first; None if sandboxes can be made."""
    return next(obstacles(facts), None)


def obstacles(facts: Facts) -> Iterator[Obstacle]:
    """Every obstacle, in the order in which a start would meet them."""
    yield from _programs(facts)
    yield from _ranges(facts)
    yield from _switches(facts)


def _fields(line: str) -> tuple[str, str, str]:
    owner, _, numbers = line.strip().partition(":")
    start, _, count = numbers.partition(":")
    return owner, start, count


def _both(facts: Facts) -> tuple[Subids | None, Subids | None]:
    return (
        subids_of(facts.subuid, facts.user, facts.uid),
        subids_of(facts.subgid, facts.user, facts.uid),
    )


def _programs(facts: Facts) -> Iterator[Obstacle]:
    absent = [name for name in ("newuidmap", "newgidmap") if not getattr(facts, name)]
    if absent:
        yield Obstacle(
            code="newuidmap_missing",
            seen=f"{absent[0]} is not installed; it gives a sandbox a uid of its own",
            remedy="sudo apt-get install uidmap",
        )
    if not facts.tools:
        yield Obstacle(
            code="tools_missing",
            seen="unshare or nsenter is not installed",
            remedy="sudo apt-get install util-linux",
        )


def _ranges(facts: Facts) -> Iterator[Obstacle]:
    # 65536 from the first free block is what useradd would have given.
    remedy = f"sudo usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {facts.user}"
    for kind, found in zip(("subuid", "subgid"), _both(facts), strict=True):
        if found is None:
            yield Obstacle(
                code="no_subuid",
                seen=f"/etc/{kind} has no line for {facts.user} (uid {facts.uid})",
                remedy=f"{remedy}  (any range that no other line has)",
            )
            return
        if found.count < LEAST_IDS:
            yield Obstacle(
                code="range_too_small",
                seen=f"/etc/{kind} gives {facts.user} {found.count} ids; at least {LEAST_IDS} are needed,"
                " one for each person and two more",
                remedy=remedy,
            )
            return


def _switches(facts: Facts) -> Iterator[Obstacle]:
    if facts.max_user_namespaces == "0":
        yield Obstacle(
            code="namespaces_off",
            seen="user.max_user_namespaces=0 forbids user namespaces",
            remedy="sudo sysctl -w user.max_user_namespaces=15000",
        )
    if facts.unprivileged_userns_clone == "0":
        yield Obstacle(
            code="namespaces_off",
            seen="kernel.unprivileged_userns_clone=0 forbids user namespaces to ordinary users",
            remedy="sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if facts.apparmor_restrict_unprivileged_userns == "1":
        yield Obstacle(
            code="apparmor",
            seen="AppArmor forbids user namespaces to ordinary users"
            " (kernel.apparmor_restrict_unprivileged_userns=1, the default of Ubuntu 24.04)",
            remedy="sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
