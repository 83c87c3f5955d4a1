"""How is a broker with a Vault put together, from the site's setting to its store?"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress

from ..clients.grants import ControlBrokerClient
from ..clients.vault import VaultClient
from ..vault_site import VaultSite
from .blocks import Blocks
from .credentials import Credentials, Ways
from .file_store import FileStore
from .journal import Journal
from .own_login import OwnLogin
from .parts import VaultParts
from .signing import Signer
from .vault_store import VaultStore
from .vault_upkeep import Upkeep

__all__ = ["open_vault"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
_TEND_KEYS = 3600.0  # seconds


async def open_vault(
    stack: AsyncExitStack,
    site: VaultSite,
    directory: str,
    control: ControlBrokerClient,
    blocks: Blocks,
    files: FileStore,
) -> VaultParts:
    """Everything open and its upkeep running, until the stack is closed. Vault itself may be away."""
    client = await stack.enter_async_context(VaultClient(site))
    journal = Journal(directory)
    stack.callback(journal.close)
    signer = Signer(directory)
    own = OwnLogin(site, client, directory)
    ways = Ways(site=site, client=client, own=own, signer=signer, control=control)
    credentials = Credentials(ways, journal)
    upkeep = Upkeep(credentials, control, blocks)
    await upkeep.begin()
    for work in (upkeep.run(), _tend(signer)):
        task = asyncio.create_task(work)
        stack.push_async_callback(_cancelled, task)
    store = VaultStore(credentials, upkeep)
    return VaultParts(store=store, signer=signer, journal=journal, files=files)


async def _tend(signer: Signer) -> None:
    while True:
        await asyncio.sleep(_TEND_KEYS)
        try:
            await asyncio.to_thread(signer.tend)
        except Exception:
            # A disk that is full now may have room in an hour; the key in use signs on.
            log.exception("signing keys were not tended")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
