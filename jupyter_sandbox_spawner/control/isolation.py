"""Which limits does this host hold only softly? Asked of the launcher, which verified it, and kept."""

from __future__ import annotations

import logging

from ..clients.launcher import LauncherClient
from ..errors import ProgramError
from ..rules.soft_limits import soft_limits

__all__ = ["HostLimits"]

log = logging.getLogger("jupyter_sandbox_spawner.control")


class HostLimits:
    """What the launcher found at its start; asked again only until it has answered."""

    def __init__(self, launcher: LauncherClient) -> None:
        self._launcher = launcher
        self._soft: tuple[str, ...] | None = None

    async def level(self) -> str:
        """`hard` where the kernel holds every limit, `soft`, or `unknown` while the launcher is away."""
        soft = await self.soft()
        return "unknown" if self._soft is None else "soft" if soft else "hard"

    async def soft(self) -> tuple[str, ...]:
        """Names of soft limits (`cpu`, `memory`, `pids`, `swap`); empty also while the launcher is away."""
        if self._soft is None:
            try:
                self._soft = soft_limits((await self._launcher.capabilities()).limits)
            except ProgramError as error:
                log.debug("What this host limits is not known yet: %s", error)
                return ()
        return self._soft
