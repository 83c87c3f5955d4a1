"""What may be left over of a sandbox or of a user? One finding of one program, in words that all share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

__all__ = ["Leftover", "LeftoverKind", "Leftovers"]

LeftoverKind = Literal[
    "cgroup",  # without a process
    "processes",  # a cgroup of ours with processes of a sandbox that nobody has
    "mount",  # below the directory of a sandbox that nobody has
    "runtime_state",  # the OCI runtime knows it, the launcher does not
    "bundle",  # a directory of the launcher's
    "quarantined",  # such a directory that was moved aside
    "container",
    "network",
    "volume",
    "pod",
    "network_policy",
    "secret",  # a sandbox's record on a cluster
    "home_mount",  # a home with a file system of its own, or a claim without a volume, that no sandbox uses
    "user",  # a host uid and a home; left over where the hub has no such user
    "home",  # a directory among the homes that no user has
    "doors",  # a directory of sockets
    "entry",  # what the gateway keeps on disk of a sandbox
    "allocation",  # room and devices in control's ledger
    "ticket",  # a place in the queue
]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """`name` is unique in its kind; `sandbox` is the id where it was one's; `since` where that is known."""

    kind: LeftoverKind
    name: str
    sandbox: str = ""
    user: str = ""
    since: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """All that one program finds."""

    items: tuple[Leftover, ...] = field(default=())
