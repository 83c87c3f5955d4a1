"""How do other programs ask the gateway to open, watch and close a sandbox's doors?"""

from __future__ import annotations

from urllib.parse import urlencode

from ..leftovers import Leftover, Leftovers
from ..models import BootDocument, EgressPolicy, Event, GatewayEntry, GatewayInventory, OpenDoors, SandboxSpec
from ..rules.pod_doors import PodDenial
from ..wire import decode, encode
from .unix_http import UnixClient

__all__ = ["GatewayClient", "OpenDoors", "entry_of"]

_MARGIN = 10.0  # seconds a long poll may answer late before we call the gateway gone


class GatewayClient(UnixClient):
    """The gateway's own door. Raises UnreachableError (`gateway.unreachable`) and AnswerError."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        super().__init__("gateway", path, timeout)

    async def open(self, sandbox: str, entry: GatewayEntry) -> OpenDoors:
        """Open the doors of a sandbox; idempotent. The entry is on disk before this returns."""
        return decode(OpenDoors, await self.call("PUT", f"/sandboxes/{sandbox}", encode(entry)))

    async def boot(self, sandbox: str, document: BootDocument) -> None:
        """Leave the boot document, which the sandbox takes once; it is kept in memory only."""
        await self.call("PUT", f"/sandboxes/{sandbox}/boot", encode(document))

    async def ready(self, sandbox: str, timeout: float) -> bool:
        """Has the server inside been seen listening? Waits up to `timeout` seconds for it.

        Raises AnswerError `boot.foreign` when another uid touched the boot door.
        """
        path = f"/sandboxes/{sandbox}/ready?{urlencode({'timeout': timeout})}"
        document = await self.call("GET", path, timeout=timeout + _MARGIN)
        return bool(document["ready"])

    async def set_egress(self, sandbox: str, policy: EgressPolicy) -> None:
        """Replace the egress policy; connections that only a rule for a time had opened end with it."""
        await self.call("PATCH", f"/sandboxes/{sandbox}/egress", encode(policy))

    async def drop_timed_egress(self, sandbox: str) -> None:
        """Take out of its egress policy what was given for a time: nobody knows the rest of it."""
        await self.call("DELETE", f"/sandboxes/{sandbox}/egress")

    async def drain(self, sandbox: str, why: str = "", timeout: float = 0) -> int:
        """Refuse new browser requests with the first reason given; how many requests run on.

        With a timeout it waits so many seconds for running requests, then closes the WebSockets.
        """
        body = {"why": why, "timeout": timeout}
        path = f"/sandboxes/{sandbox}/drain"
        return int((await self.call("POST", path, body, timeout=timeout + _MARGIN))["running"])

    async def close_sandbox(self, sandbox: str) -> None:
        """Close the doors, end every connection, forget the sandbox; no-op when it is unknown."""
        await self.call("DELETE", f"/sandboxes/{sandbox}")

    async def quarantine(self, sandbox: str) -> None:
        """Close the doors and end every connection, so that `open` can undo it; no-op when it is unknown."""
        await self.close_sandbox(sandbox)

    async def inventory(self) -> tuple[GatewayInventory, ...]:
        """Every open sandbox as the gateway sees it."""
        found = await self.call("GET", "/sandboxes")
        return tuple(decode(GatewayInventory, item) for item in found)

    async def leftovers(self) -> tuple[Leftover, ...]:
        """Doors and records of sandboxes that are not open; `close_sandbox` takes them away."""
        return decode(Leftovers, await self.call("GET", "/leftovers")).items

    async def events(self, after: int, timeout: float) -> tuple[Event, ...]:
        """Events numbered above `after`, oldest first; waits up to `timeout` seconds for one."""
        path = f"/events?{urlencode({'after': after, 'timeout': timeout})}"
        found = await self.call("GET", path, timeout=timeout + _MARGIN)
        return tuple(decode(Event, item) for item in found)

    async def acknowledge(self, seq: int) -> None:
        """Events up to `seq` are stored elsewhere; the gateway may forget them."""
        await self.call("POST", "/events/ack", {"seq": seq})

    async def pod_denied(self, sandbox: str, denial: PodDenial) -> None:
        """The wires refused a pod of this sandbox, or ("") somebody unknown; the audit will have it."""
        path = f"/sandboxes/{sandbox}/denied" if sandbox else "/denied"
        await self.call("POST", path, encode(denial))

    async def health(self) -> bool:
        """Does the gateway answer?"""
        return bool((await self.call("GET", "/health"))["ok"])


def entry_of(spec: SandboxSpec, prefix: str) -> GatewayEntry:
    """What the gateway needs to know of this sandbox, whose server the hub has put at `prefix`."""
    return GatewayEntry(
        user=spec.user,
        server=spec.server,
        prefix=prefix,
        host_uid=spec.host_uid if spec.door_uid is None else spec.door_uid,
        egress=spec.egress,
        zone=spec.zone,
        browser=spec.browser,
    )
