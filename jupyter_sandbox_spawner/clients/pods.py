"""How do the hub and control tell the gateway's wires which pod may come, and from where?"""

from __future__ import annotations

from dataclasses import dataclass

from ..wire import decode
from .unix_http import UnixClient

__all__ = ["PodSeen", "PodsClient"]


@dataclass(frozen=True, kw_only=True)
class PodSeen:
    """A pod as the wires see it: its address ("" before it has one), was its ticket used, connections now,
    and whether it is suspended."""

    address: str
    used: bool
    connections: int
    suspended: bool = False


class PodsClient(UnixClient):
    """`pods.sock` of the gateway's wires. Raises UnreachableError (`wires.unreachable`) and AnswerError."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        super().__init__("wires", path, timeout)

    async def register(self, sandbox: str, ticket_sha256: str) -> None:
        """A pod will come with a ticket of this SHA-256 (hexadecimal); it is on disk then; idempotent."""
        await self.call("PUT", f"/pods/{sandbox}", {"ticket_sha256": ticket_sha256})

    async def address(self, sandbox: str, address: str) -> None:
        """Its pod has this IP address, and nobody else is believed from now on; idempotent.

        AnswerError `sandbox.unknown`, or `pods.differs` where another address was told before.
        """
        await self.call("PUT", f"/pods/{sandbox}/address", {"address": address})

    async def forget(self, sandbox: str) -> None:
        """Forget the pod and end its connections; no-op where it is not known."""
        await self.call("DELETE", f"/pods/{sandbox}")

    async def suspend(self, sandbox: str) -> None:
        """End the pod's connections and let none in until `resume`; its ticket and key stay known. No-op
        where it is not known."""
        await self.call("POST", f"/pods/{sandbox}/suspend")

    async def resume(self, sandbox: str) -> None:
        """Undo `suspend`; no-op where it is not suspended, or not known."""
        await self.call("POST", f"/pods/{sandbox}/resume")

    async def inventory(self) -> dict[str, PodSeen]:
        """Every pod that is known, by its sandbox's id."""
        found = await self.call("GET", "/pods")
        return {sandbox: decode(PodSeen, item) for sandbox, item in found.items()}

    async def health(self) -> bool:
        """Do the wires answer?"""
        return bool((await self.call("GET", "/health"))["ok"])
