"""What does a test of the broker at a real Vault need? Its parts, and a control that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.broker.blocks import Blocks
from jupyter_sandbox_spawner.broker.file_store import FileStore
from jupyter_sandbox_spawner.broker.parts import VaultParts
from jupyter_sandbox_spawner.broker.vault_parts import open_vault
from jupyter_sandbox_spawner.clients.grants import ControlBrokerClient, CredentialEvent, Reader
from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.vault_site import VaultSite

from ..support.vault_server import DATABASE, VaultServer, Warehouse

__all__ = [
    "ALICE",
    "BOB",
    "LIVE",
    "OWN",
    "ControlStandIn",
    "VaultPlace",
    "becomes",
    "dropped",
    "gone",
    "opened_vault",
    "reader",
    "site_of",
    "two_people",
]


class ControlStandIn(ControlBrokerClient):
    """Control as far as the upkeep asks it: who runs, and what became of credentials."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.runs: set[str] = set()
        self.events: list[tuple[str, CredentialEvent]] = []

    async def running(self, sandboxes: Sequence[str]) -> frozenset[str]:
        """Those that the test said."""
        return frozenset(self.runs & set(sandboxes))

    async def credential(self, sandbox: str, event: CredentialEvent) -> None:
        """Kept for the test."""
        self.events.append((sandbox, event))

    def said(self, verb: str) -> list[str]:
        """Accessors and leases of the events of a kind, oldest first."""
        return [event.accessor for _, event in self.events if event.verb == verb]


@dataclass
class VaultPlace:
    """The broker's own parts for Vault."""

    parts: VaultParts
    control: ControlStandIn
    blocks: Blocks
    site: VaultSite
    directory: Path


async def becomes(true: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """It is true within so many seconds; what is looked at announces itself by no event."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await true():
        assert asyncio.get_running_loop().time() < deadline, f"not true within {seconds} s"
        await asyncio.sleep(0.05)


def reader(user: str = "alice", number: int = 1, **others: Any) -> Reader:
    """A sandbox of this person."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    digits = "".join(letters[number // 32**place % 32] for place in range(3))
    return Reader(sandbox="sb-" + digits.rjust(20, "a"), user=user, server="", profile="small", **others)


def site_of(server: VaultServer, **others: str) -> VaultSite:
    """A site at this Vault, with a fresh wrapped secret id."""
    site = VaultSite(
        address=server.address,
        role_id_file=str(server.role_id_file),
        secret_id_file=str(server.secret_id_file()),
    )
    return replace(site, **others)  # type: ignore[arg-type]


@asynccontextmanager
async def opened_vault(
    server: VaultServer,
    directory: Path,
    control: ControlStandIn | None = None,
    site: VaultSite | None = None,
    **others: str,
) -> AsyncIterator[VaultPlace]:
    """The parts as a broker opens them, known to Vault; leave the block to end that broker."""
    async with AsyncExitStack() as stack:
        said = control or ControlStandIn()
        used = site or site_of(server, **others)
        place = directory / "broker"
        files = await stack.enter_async_context(FileStore(str(place)))
        blocks = Blocks(str(place))
        parts = await open_vault(stack, used, str(place), said, blocks, files)
        server.set_jwt_keys(parts.signer.pems())
        with suppress(SandboxError):
            # Its own login, so that no fault of a test falls between Vault's answer and us: a wrapped secret
            # id is opened once. A site that cannot log in says so to the test itself.
            await parts.store.describe()
        yield VaultPlace(parts, said, blocks, used, directory)


@asynccontextmanager
async def two_people(vault: VaultServer, directory: Path) -> AsyncIterator[VaultPlace]:
    """Alice's and Bob's sandboxes run; each has a secret of its own."""
    vault.put("users/alice/notes", {"value": "alice's"})
    vault.put("users/bob/notes", {"value": "bob's"})
    async with opened_vault(vault, directory) as found:
        found.control.runs |= {ALICE.sandbox, BOB.sandbox}
        yield found


async def gone(vault: VaultServer, accessor: str) -> bool:
    """Does Vault know this accessor no more?"""
    return accessor not in await asyncio.to_thread(vault.accessors)


async def dropped(warehouse: Warehouse, *users: str) -> bool:
    """Does the database know none of them?"""
    return set(users).isdisjoint(await asyncio.to_thread(warehouse.users))


ALICE, BOB = reader("alice", 1), reader("bob", 2)
OWN = Grant(name="users/alice/notes")
LIVE = Grant(name="db/live", kind="database", path=f"database/creds/{DATABASE}")
