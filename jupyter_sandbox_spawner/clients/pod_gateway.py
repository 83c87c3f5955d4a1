"""How is a gateway asked whose sandboxes are pods? Its wires forget a pod when its doors close."""

from __future__ import annotations

import hashlib

from ..models import GatewayEntry, OpenDoors
from ..settings import Site
from .gateway import GatewayClient
from .pods import PodsClient, PodSeen

__all__ = ["PodGateway", "gateway_of"]


class PodGateway(GatewayClient):
    """A gateway with wires to pods: what is registered there lives as long as the sandbox's doors."""

    def __init__(self, path: str, pods: PodsClient, timeout: float = 30.0) -> None:
        super().__init__(path, timeout)
        self._pods = pods

    async def close(self) -> None:
        """See PooledClient.close."""
        await super().close()
        await self._pods.close()

    async def open(self, sandbox: str, entry: GatewayEntry) -> OpenDoors:
        """See GatewayClient.open; a pod that was in quarantine is let in again."""
        doors = await super().open(sandbox, entry)
        await self._pods.resume(sandbox)
        return doors

    async def expect(self, sandbox: str, ticket: str) -> None:
        """Its pod will show this ticket, of which the gateway's wires are told a hash alone; idempotent."""
        await self._pods.register(sandbox, hashlib.sha256(ticket.encode()).hexdigest())

    async def found_at(self, sandbox: str, address: str) -> None:
        """Its pod has this address; from no other is anything taken in its name."""
        await self._pods.address(sandbox, address)

    async def pods(self) -> dict[str, PodSeen]:
        """Every pod that is known, by its sandbox's id."""
        return await self._pods.inventory()

    async def quarantine(self, sandbox: str) -> None:
        """See GatewayClient.quarantine; its pod is let in no more until `open`, which finds it as it was."""
        try:
            await self._pods.suspend(sandbox)
        finally:
            await super().close_sandbox(sandbox)

    async def close_sandbox(self, sandbox: str) -> None:
        """See GatewayClient.close_sandbox; its pod gets nothing any more, whatever becomes of it."""
        try:
            await self._pods.forget(sandbox)
        finally:
            await super().close_sandbox(sandbox)


def gateway_of(site: Site) -> GatewayClient:
    """The gateway of a site, which has wires to pods where sandboxes are pods."""
    if site.backend == "kubernetes":
        return PodGateway(site.gateway_socket, PodsClient(site.pods_socket))
    return GatewayClient(site.gateway_socket)
