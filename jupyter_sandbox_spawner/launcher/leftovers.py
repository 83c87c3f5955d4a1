"""What does this host have of sandboxes, homes and users that somebody else has to know about?

Law: a look changes nothing; what is to go is looked for again by its name, and nothing else is touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from ..backends.base import Backend
from ..errors import BackendError, ConfigurationError
from ..leftovers import Leftover, LeftoverKind, Leftovers
from .premises import Homes, Users

__all__ = ["HostLeftovers"]

_REPORTED = ("user", "home", "volume")  # an admin decides about these, and no program


class HostLeftovers:
    """The backend's leftovers, mounted homes that no sandbox uses, and on request every user."""

    def __init__(self, backend: Backend, users: Users, homes: Homes) -> None:
        self._backend = backend
        self._users = users
        self._homes = homes

    async def find(self, users: bool) -> Leftovers:
        """All of it. Raises BackendError where the backend cannot be asked."""
        found = [*await self._backend.leftovers(), *await self._home_mounts()]
        if users:
            found += [
                Leftover(kind="user", name=place.user, user=place.user, detail=f"uid {place.host_uid}")
                for place in await self._users.everybody()
            ]
            found += await self._users.strays()
        return Leftovers(items=tuple(found))

    async def clear(self, kind: str, name: str) -> bool:
        """False where it is not found any more. Raises SandboxError `leftover.unknown`, `leftover.kept`."""
        known: dict[str, LeftoverKind] = {item: item for item in get_args(LeftoverKind)}
        if kind not in known:
            raise ConfigurationError(
                f"There is no kind {kind[:40]!r}.", code="leftover.unknown", field="kind"
            )
        if kind in _REPORTED:
            raise ConfigurationError(
                f"A {kind} is an admin's to remove.", code="leftover.kept", field="kind", remedy="By hand."
            )
        try:
            if kind == "home_mount":
                return await self._release(name)
            return await self._backend.clear(known[kind], name)
        except OSError as error:
            raise BackendError(
                f"The {kind} {name} cannot be taken away: {error.strerror}.",
                code="leftover.stays",
                remedy="See the launcher's log.",
            ) from error

    async def _home_mounts(self) -> list[Leftover]:
        mounted = await self._homes.mounted()
        unused = sorted(mounted - await self._backend.homes())
        return [Leftover(kind="home_mount", name=Path(home).name, detail=home) for home in unused]

    async def _release(self, name: str) -> bool:
        found = [item.detail for item in await self._home_mounts() if item.name == name]
        for home in found:
            await self._homes.release(home, self._backend.homes)
        return bool(found)
