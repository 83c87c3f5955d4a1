"""What can every backend do? Five verbs, and what it tells about the sandboxes it has.

Law: every verb is idempotent, and `stop` and `remove` return only when what they promise has been verified.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import BackendError, IsolationError
from ..leftovers import Leftover, LeftoverKind
from ..models import Capabilities, Doors, Event, Handle, InventoryItem, SandboxSpec, Status, Usage
from ..units import format_size
from .given import Given, Obstacle

__all__ = [
    "CANNOT_START",
    "Backend",
    "Overlay",
    "end_of_init",
    "homes_of",
    "out_of_memory",
    "check_level",
    "is_over",
    "require_possible",
    "require_runtime",
    "unknown_environment",
    "unknown_sandbox",
]

Overlay = Mapping[str, Any]
CANNOT_START = "No sandbox can start:"  # begins what is missing where nothing can run


class Backend(ABC):
    """A kind of place where sandboxes run.

    ```
    create(spec, doors, overlay) -> Handle   render and check; records owner labels; nothing runs yet
    start(id)                                returns when the sandbox's init process runs; no-op if it does
    status(id) -> Status | None              what is true now; None: no such sandbox
    stop(id, grace) -> Status                TERM, `grace` seconds, KILL; returns when death is verified
    remove(id)                               stops, then erases all but the user's home; no-op if gone
    ```

    The other methods only tell: they never change a sandbox.
    """

    @abstractmethod
    async def create(self, spec: SandboxSpec, doors: Doors, overlay: Overlay) -> Handle:
        """Prepare one sandbox; the same id again gives the same handle.

        `overlay` is a fragment of the native request, merged before it is checked. Raises IsolationError
        where the request would open the sandbox, BackendError where the place cannot be made.
        """

    @abstractmethod
    async def start(self, sandbox_id: str) -> None:
        """Run the init process. Raises BackendError `sandbox.unknown`, `sandbox.over` or why it failed."""

    @abstractmethod
    async def status(self, sandbox_id: str) -> Status | None:
        """What is true now; None for an unknown id."""

    @abstractmethod
    async def stop(self, sandbox_id: str, grace: float) -> Status:
        """End every process; the status after verified death. Raises BackendError if something survives."""

    @abstractmethod
    async def remove(self, sandbox_id: str) -> None:
        """Erase cgroup, bundle, container and mounts, verified; never the user's home."""

    @abstractmethod
    async def ended(self, sandbox_id: str, timeout: float) -> Status | None:
        """Wait up to `timeout` seconds for the end; its status, or None if the sandbox is not over yet."""

    @abstractmethod
    async def usage(self, sandbox_id: str) -> Usage:
        """Measured from outside; None where this host cannot measure."""

    @abstractmethod
    async def log_tail(self, sandbox_id: str) -> str:
        """The last 64 KiB of what the init process and its children wrote to stdout and stderr."""

    def gpu_obstacle(self, given: Given) -> Obstacle | None:
        """Why these devices cannot be given to a sandbox here; None where they can."""
        return Obstacle(code="gpu.unusable", message="This backend gives no GPU.") if given.ids else None

    @abstractmethod
    async def inventory(self) -> tuple[InventoryItem, ...]:
        """Every sandbox that carries our labels, whatever its status."""

    @abstractmethod
    async def homes(self) -> frozenset[str]:
        """The homes that sandboxes of the inventory mount, as they were told to; a start's once it is listed.

        No registry of users is asked: one that somebody broke for one user hinders no other.
        """

    async def leftovers(self) -> tuple[Leftover, ...]:
        """What is there of sandboxes that are not in the inventory; nothing is changed."""
        return ()

    async def clear(self, kind: LeftoverKind, name: str) -> bool:
        """Take away one leftover that is found again by the same look; False where it is not.

        A bundle is moved aside, where it is found as `quarantined`.
        """
        return False

    @abstractmethod
    async def events(self, after: int, timeout: float) -> tuple[Event, ...]:
        """Status changes with `seq` above `after`; waits up to `timeout` seconds for the first."""

    @abstractmethod
    async def capabilities(self) -> Capabilities:
        """What was verified on this host."""


def homes_of(specs: Iterable[SandboxSpec]) -> frozenset[str]:
    """What these sandboxes mount as homes."""
    return frozenset(mount.source for spec in specs for mount in spec.mounts if mount.kind == "home")


def is_over(status: Status) -> bool:
    """Has this sandbox ended, for whatever reason?"""
    return status.value in ("stopped", "failed")


def end_of_init(code: int) -> str:
    """How its first process ended; a status above 128 is a signal's, as for a shell."""
    number = code - 128
    if number in set(signal.Signals):
        return f"its first process was killed by signal {number} ({signal.Signals(number).name})"
    return f"its first process ended with exit status {code}"


def out_of_memory(used: int | None, most: int) -> str:
    """The kernel ended it for memory; where `used` was not measured it is all that it had."""
    return f"out of memory: used {format_size(used or most)} of {format_size(most)}"


def unknown_sandbox(sandbox_id: str) -> BackendError:
    """The error for an id that no record has."""
    return BackendError(f"There is no sandbox {sandbox_id}.", code="sandbox.unknown", status=404)


def require_possible(capabilities: Capabilities) -> None:
    """Raise IsolationError `isolation.unavailable` where nothing can be started at all."""
    fatal = [text for text in capabilities.missing if text.startswith(CANNOT_START)]
    if fatal:
        raise IsolationError(fatal[0], code="isolation.unavailable", remedy="")


def require_runtime(spec: SandboxSpec, capabilities: Capabilities) -> None:
    """Raise IsolationError `isolation.runtime_unavailable` unless the sandbox's runtime was verified here."""
    if spec.runtime in capabilities.runtimes:
        return
    why = capabilities.refused.get(spec.runtime, f"this host runs {', '.join(capabilities.runtimes)}.")
    raise IsolationError(
        f"Profile {spec.profile!r} needs the runtime {spec.runtime}: {why}",
        code="isolation.runtime_unavailable",
        field="runtime",
        remedy="Ask your admin: jupyter-sandbox-admin doctor",
    )


def unknown_environment(name: str, known: Iterable[str]) -> BackendError:
    """The error for a user image that this site does not have."""
    return BackendError(
        f"There is no environment {name!r}.",
        code="environment.unknown",
        field="environment_name",
        remedy=f"Known are: {', '.join(sorted(known))}.",
    )


def check_level(spec: SandboxSpec, capabilities: Capabilities) -> None:
    """Refuse a sandbox that demands hard isolation where only soft can be enforced."""
    if spec.isolation == "hard" and capabilities.level != "hard":
        raise IsolationError(
            f"Profile {spec.profile!r} demands hard isolation; this host enforces {capabilities.level}.",
            code="isolation.level",
            field="isolation",
            remedy=" ".join(capabilities.missing) or "Run: jupyter-sandbox-admin doctor",
        )
