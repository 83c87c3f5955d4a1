"""How do the hub plugin and the admin command ask the launcher for sandboxes?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ..errors import AnswerError
from ..gpus import GpuInventory
from ..leftovers import Leftover, Leftovers
from ..models import (
    Capabilities,
    CreateRequest,
    Doors,
    Event,
    Handle,
    InventoryItem,
    SandboxSpec,
    Status,
    Usage,
    Usages,
    UserPlace,
)
from ..wire import decode, encode
from .unix_http import UnixClient

__all__ = ["LauncherClient"]

_ANSWER_TIME = 15.0  # seconds the launcher may need beyond what it was asked to wait
_PROOF_TIME = 150.0  # seconds; the first one on a machine waits for a probe, and on a cluster for its image


class LauncherClient(UnixClient):
    """The launcher's socket, typed. Raises UnreachableError, or AnswerError with the launcher's own code."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        super().__init__("launcher", path, timeout)

    async def capabilities(self) -> Capabilities:
        """What the launcher verified on this host."""
        return decode(Capabilities, await self.call("GET", "/capabilities"))

    async def canary(self, again: bool = False) -> Any:
        """What the probe sandbox showed: `{proved, why, at, running}`; `again` runs it now."""
        return await self.call("POST" if again else "GET", "/canary", timeout=90)

    async def gpus(self) -> GpuInventory:
        """The GPUs of this host that can be given to sandboxes."""
        return decode(GpuInventory, await self.call("GET", "/gpus"))

    async def place(self, user: str, zone: str = "") -> UserPlace:
        """The user's host uid and home (that of a zone), allocated and made on first use."""
        path = f"/users/{quote(user, safe='')}"
        return decode(UserPlace, await self.call("PUT", f"{path}?zone={zone}" if zone else path))

    async def retire(self, user: str) -> None:
        """The user is deleted: their home goes into quarantine; no-op if unknown. `users.busy` while a
        sandbox of theirs exists."""
        await self.call("DELETE", f"/users/{quote(user, safe='')}")

    async def create(
        self, spec: SandboxSpec, doors: Doors, overlay: Mapping[str, Any] | None = None
    ) -> Handle:
        """Prepare a sandbox; the same id again gives the same handle."""
        body = encode(CreateRequest(spec=spec, doors=doors, overlay=overlay or {}))
        return decode(Handle, await self.call("PUT", f"/sandboxes/{spec.id}", body, timeout=_PROOF_TIME))

    async def start(self, sandbox_id: str, timeout: float | None = None) -> Status:
        """Run the init process; returns when it runs, with what is true then. A pod may wait for an image."""
        path = f"/sandboxes/{sandbox_id}/start"
        return decode(Status, await self.call("POST", path, timeout=timeout))

    async def status(self, sandbox_id: str) -> Status | None:
        """What is true now; None where the launcher does not know the id."""
        try:
            return decode(Status, await self.call("GET", f"/sandboxes/{sandbox_id}"))
        except AnswerError as error:
            if error.code == "sandbox.unknown":
                return None
            raise

    async def address(self, sandbox_id: str, timeout: float) -> str:
        """Wait up to `timeout` seconds for its pod's address, which is told once its machine is proved; else
        ""."""
        path = f"/sandboxes/{sandbox_id}/address?timeout={timeout:g}"
        document = await self.call("GET", path, timeout=timeout + _PROOF_TIME)
        return "" if document is None else str(document["address"])

    async def ended(self, sandbox_id: str, timeout: float) -> Status | None:
        """Wait up to `timeout` seconds for the end; None if the sandbox is not over yet."""
        path = f"/sandboxes/{sandbox_id}/ended?timeout={timeout:g}"
        document = await self.call("GET", path, timeout=timeout + _ANSWER_TIME)
        return None if document is None else decode(Status, document)

    async def usage(self, sandbox_id: str) -> Usage:
        """CPU, memory, processes and log bytes, measured from outside."""
        return decode(Usage, await self.call("GET", f"/sandboxes/{sandbox_id}/usage"))

    async def usages(self) -> Mapping[str, Usage]:
        """The same of all sandboxes at once, by id; those that ended a moment ago are among them."""
        return decode(Usages, await self.call("GET", "/usages", timeout=2 * _ANSWER_TIME)).sandboxes

    async def log_tail(self, sandbox_id: str) -> str:
        """The last 64 KiB of the sandbox's own output."""
        document = await self.call("GET", f"/sandboxes/{sandbox_id}/log")
        return str(document["text"])

    async def stop(self, sandbox_id: str, grace: float) -> Status:
        """End every process; returns when death is verified."""
        path = f"/sandboxes/{sandbox_id}/stop"
        return decode(
            Status, await self.call("POST", path, {"grace": grace}, timeout=grace + 2 * _ANSWER_TIME)
        )

    async def remove(self, sandbox_id: str) -> None:
        """Erase what the sandbox had on this host, never the user's home; no-op if gone."""
        await self.call("DELETE", f"/sandboxes/{sandbox_id}", timeout=2 * _ANSWER_TIME)

    async def inventory(self) -> tuple[InventoryItem, ...]:
        """Every sandbox of the launcher."""
        documents = await self.call("GET", "/sandboxes")
        return tuple(decode(InventoryItem, document) for document in documents)

    async def running(self) -> frozenset[str]:
        """Ids of those that are not over: short, for a hub with thousands of them."""
        return frozenset(decode(tuple[str, ...], await self.call("GET", "/running")))

    async def leftovers(self, users: bool = False) -> tuple[Leftover, ...]:
        """What is there of sandboxes that it does not know; `users`: and every user with uid and home."""
        document = await self.call("GET", f"/leftovers?users={int(users)}", timeout=2 * _ANSWER_TIME)
        return decode(Leftovers, document).items

    async def clear(self, item: Leftover) -> bool:
        """Take away one that is still there; a bundle is moved aside. False where it is gone."""
        path = f"/leftovers/{item.kind}/{quote(item.name, safe='')}"
        return bool((await self.call("DELETE", path, timeout=2 * _ANSWER_TIME))["cleared"])

    async def events(self, after: int, timeout: float, sandbox: str = "") -> tuple[Event, ...]:
        """Status changes above `after`, of one sandbox or of all; waits up to `timeout` seconds for one."""
        path = f"/events?after={after}&timeout={timeout:g}&sandbox={sandbox}"
        documents = await self.call("GET", path, timeout=timeout + _ANSWER_TIME)
        return tuple(decode(Event, document) for document in documents)
