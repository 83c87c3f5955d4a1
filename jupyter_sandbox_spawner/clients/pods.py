"""How are the gateway's wires told which pods there are?"""

from __future__ import annotations

from typing import Any

from .unix_http import UnixClient

__all__ = ["PodsClient"]


class PodsClient(UnixClient):
    """The own door of the gateway's wires. Raises UnreachableError (`pods.unreachable`) and AnswerError."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        super().__init__("pods", path, timeout)

    async def register(self, sandbox: str, ticket_sha256: str) -> None:
        """A pod will show a ticket of this hash (hex) once; idempotent."""
        await self.call("PUT", f"/pods/{sandbox}", {"ticket_sha256": ticket_sha256})

    async def address(self, sandbox: str, address: str) -> None:
        """The pod's address; idempotent."""
        await self.call("PUT", f"/pods/{sandbox}/address", {"address": address})

    async def forget(self, sandbox: str) -> None:
        """Its pod gets nothing any more; no-op when it is unknown."""
        await self.call("DELETE", f"/pods/{sandbox}")

    async def inventory(self) -> Any:
        """Every pod that is registered."""
        return await self.call("GET", "/pods")
