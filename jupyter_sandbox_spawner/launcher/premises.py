"""What does the launcher need to know where sandboxes run? The same questions, whoever answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from ..backends.base import Backend
from ..gpus import GpuInventory
from ..leftovers import Leftover
from ..models import SandboxSpec, UserPlace
from .proofs import Proof
from .users import UserRegistry

__all__ = ["Devices", "Homes", "HostUsers", "Premises", "Prover", "Users"]


class Users(Protocol):
    """Who has which uid and which homes: find, place, retire, everybody, strays."""

    async def find(self, user: str, zone: str = "") -> UserPlace | None:
        """The place a user has been given, with the home of a zone; None if never."""

    async def place(self, user: str, zone: str = "") -> UserPlace:
        """The same, made on first use; idempotent."""

    async def retire(self, user: str) -> bool:
        """The user is deleted: nobody else gets those homes. False where there were none."""

    async def everybody(self) -> tuple[UserPlace, ...]:
        """All users who were given a place, each with the ordinary home."""

    async def strays(self) -> tuple[Leftover, ...]:
        """Homes that no user has."""


class Homes(Protocol):
    """What a home needs before a sandbox has it, and after: starting, prepare, release, mounted."""

    def starting(self, home: str) -> AbstractContextManager[None]:
        """For the block the home is used, though the backend does not list the sandbox yet."""

    async def prepare(
        self,
        place: UserPlace,
        size: int | None,
        used: Callable[[], Awaitable[Collection[str]]] | None = None,
    ) -> None:
        """Have the home, of `size` bytes as the place can hold it; `used` answers which homes sandboxes
        have. Raises IsolationError."""

    async def release(self, home: str, used: Callable[[], Awaitable[Collection[str]]] | None = None) -> None:
        """No sandbox uses it any more, unless it is among what `used` answers."""

    async def mounted(self) -> frozenset[str]:
        """Homes that are mounted though a start has none of them; on a cluster, that wait for a volume."""


class Devices(Protocol):
    """The GPUs that can be given: inventory, giving."""

    async def inventory(self, backend: Backend) -> GpuInventory:
        """What can be given now."""

    def giving(self, spec: SandboxSpec, backend: Backend) -> AbstractAsyncContextManager[None]:
        """While this is open nobody else is given a device. Raises RefusedError for one that may not be."""


class Prover(Protocol):
    """Are sandboxes closed? require before one is made, require_at once it has its place, prove now."""

    @property
    def proofs(self) -> Mapping[str, Proof]:
        """The last proof by runtime."""

    async def require(self, runtime: str, overlay: Mapping[str, Any]) -> None:
        """Raises IsolationError `isolation.unproved` unless sandboxes under it are proved to be closed."""

    async def require_at(self, sandbox_id: str) -> None:
        """The same of the machine where this sandbox has come to be."""

    async def prove(self) -> None:
        """Run the probes now."""


@dataclass(frozen=True, kw_only=True)
class Premises:
    """Everything but the backend."""

    users: Users
    homes: Homes
    devices: Devices
    prover: Prover


class HostUsers:
    """The registry of this host, for which nobody waits."""

    def __init__(self, registry: UserRegistry) -> None:
        self._registry = registry

    async def find(self, user: str, zone: str = "") -> UserPlace | None:
        """See Users.find."""
        return self._registry.find(user, zone)

    async def place(self, user: str, zone: str = "") -> UserPlace:
        """See Users.place."""
        return self._registry.place(user, zone)

    async def retire(self, user: str) -> bool:
        """See Users.retire."""
        return self._registry.retire(user) is not None

    async def everybody(self) -> tuple[UserPlace, ...]:
        """See Users.everybody."""
        return self._registry.everybody()

    async def strays(self) -> tuple[Leftover, ...]:
        """See Users.strays."""
        found = self._registry.strays()
        return tuple(Leftover(kind="home", name=path.name, since=_changed(path)) for path in found)


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, timezone.utc)
