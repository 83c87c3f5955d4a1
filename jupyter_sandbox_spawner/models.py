"""What crosses between the rooms? Frozen values; past the door that made them nobody re-checks or mutates.

Times are aware UTC, sizes bytes, durations seconds. Programs validate JSON into these classes by pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .policies import BrowserPolicy, EgressPolicy, EgressRule

__all__ = [
    "ApiLimits",
    "BootDocument",
    "BrowserPolicy",
    "Capabilities",
    "CreateRequest",
    "Doors",
    "EgressPolicy",
    "EgressRule",
    "Event",
    "GatewayEntry",
    "GatewayInventory",
    "Handle",
    "IngressPlan",
    "InventoryItem",
    "IsolationLevel",
    "Mount",
    "OpenDoors",
    "RelayPort",
    "Resources",
    "SandboxSpec",
    "Status",
    "StatusValue",
    "Usage",
    "Usages",
    "UserPlace",
]

StatusValue = Literal["pending", "running", "stopping", "stopped", "failed"]
IsolationLevel = Literal["hard", "soft"]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Ceilings of one sandbox: cores, bytes, processes, bytes of /tmp and its inodes, open files.

    `disk` is the home's quota in bytes; None means none was asked for.
    """

    cpu: float
    memory: int
    pids: int = 512
    tmpfs: int = 256 << 20
    tmpfs_inodes: int = 65536
    shm: int = 64 << 20
    files: int = 4096
    disk: int | None = None


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A filesystem binding. `dataset`: `id@version`; `tags` held then; `until`: when the right to it ends."""

    kind: Literal["home", "dataset"]
    source: str
    target: str
    read_only: bool
    dataset: str = ""
    tags: tuple[str, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """Everything a backend may know about one sandbox. No token, no secret, no callback.

    `environment_name` names an environment (user image) that the launcher's own configuration knows;
    the hub cannot name a path. `command` runs the single-user server inside. `door_uid` is the host uid by
    which it comes to its doors; None: `host_uid`. `gpu_devices` are ids of devices that control gave it.
    `zone` is where its home is: "" the ordinary place, else that of the most guarded data it mounts.
    """

    id: str
    user: str
    server: str
    profile: str
    profile_digest: str
    environment_name: str
    host_uid: int
    resources: Resources
    mounts: tuple[Mount, ...]
    runtime: str = "runc"
    door_uid: int | None = None
    isolation: IsolationLevel | None = None
    ttl: int | None = None
    idle_timeout: int | None = None
    gpu_devices: tuple[str, ...] = ()
    zone: str = ""
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    browser: BrowserPolicy = field(default_factory=BrowserPolicy)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Doors:
    """The directory of a sandbox's doors, for /run/sandbox/doors; a pod's link shows `ticket` there once."""

    directory: str
    ticket: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class CreateRequest:
    """What the hub plugin asks of the launcher: a spec, its doors, a fragment of the native request."""

    spec: SandboxSpec
    doors: Doors
    overlay: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Handle:
    """A sandbox as its backend knows it."""

    id: str
    host_uid: int


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is true now. `exit_code` is set for stopped; `reason` is for people; `address`: its pod's."""

    value: StatusValue
    exit_code: int | None = None
    reason: str = ""
    started_at: datetime | None = None
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class InventoryItem:
    """One sandbox that carries our labels, as its backend sees it; for the reconciler."""

    id: str
    user: str
    server: str
    status: Status
    zone: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Measured from outside: CPU seconds since start, bytes now and at peak, processes, bytes of log.

    None means that this host cannot measure it. `gpu_busy`: of its busiest GPU a moment ago, 0 to 1.
    """

    cpu_seconds: float | None
    memory: int | None
    memory_peak: int | None
    pids: int | None
    log_bytes: int | None = None
    oom_kills: int | None = None
    gpu_busy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Usages:
    """What every sandbox used, by id; the last reading of those that went a moment ago too."""

    sandboxes: Mapping[str, Usage] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What was verified on this host, not what was configured.

    `limits` maps each limit (memory, pids, cpu) to whether the kernel enforces it here; `missing` says
    in sentences what is not there and what to do; `runtimes` maps a name to its version, `refused` one that
    the site names and this host cannot use to the reason with its remedy.
    """

    backend: str
    level: IsolationLevel
    limits: Mapping[str, bool]
    runtimes: Mapping[str, str]
    missing: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UserPlace:
    """What the launcher keeps for one user: a host uid of its own, a home (a directory, a claim's name).
    `root_uid` stands for uid 0 inside everybody's sandboxes; -1, which is nobody, where it was not told.
    """

    user: str
    host_uid: int
    home: str
    root_uid: int = -1


@dataclass(frozen=True, kw_only=True)
class RelayPort:
    """A loopback port inside the sandbox and the door it leads to."""

    listen: int
    door: str


@dataclass(frozen=True, kw_only=True)
class IngressPlan:
    """The port the server listens on inside, and how many idle connections the relay keeps open."""

    port: int = 8888
    idle_connections: int = 4


@dataclass(frozen=True, kw_only=True)
class BootDocument:
    """Identity, handed over once through the boot door; at most 1 MiB; never written to disk outside."""

    version: int
    environment: Mapping[str, str]
    argv: tuple[str, ...]
    working_directory: str
    relay: tuple[RelayPort, ...]
    ingress: IngressPlan
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class ApiLimits:
    """Caps of the API and ingress doors of one sandbox."""

    api_connections: int = 32
    api_requests_per_second: float = 50.0
    ingress_connections: int = 64
    front_requests: int = 256


@dataclass(frozen=True, kw_only=True)
class GatewayEntry:
    """What the gateway needs to open and re-open doors. `prefix` is the path the hub gave the server, escaped
    as in URLs, with both slashes; `zone` is told to MLflow, whose workspaces are of one person and zone each.
    """

    user: str
    server: str
    prefix: str
    host_uid: int
    egress: EgressPolicy
    zone: str = ""
    browser: BrowserPolicy = field(default_factory=BrowserPolicy)
    limits: ApiLimits = field(default_factory=ApiLimits)


@dataclass(frozen=True, kw_only=True)
class OpenDoors:
    """An answer to opening a sandbox: its doors' directory; scheme, host and port to send browsers to."""

    directory: str
    front_url: str


@dataclass(frozen=True, kw_only=True)
class GatewayInventory:
    """One open sandbox; `last_activity` is a person's, `timed` a digest as rules/egress.py makes it."""

    id: str
    user: str
    server: str
    prefix: str
    ready: bool
    booted: bool
    connections: int
    bytes_in: int
    bytes_out: int
    denials: int
    last_activity: datetime | None
    egress_used_at: datetime | None = None
    timed: str = ""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of a program's event spool: what happened to which sandbox."""

    seq: int
    time: datetime
    kind: str
    sandbox: str
    user: str = ""
    server: str = ""
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
