"""How do all sandboxes end with the run? Launcher and gateway are asked for all they have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..clients.launcher import LauncherClient
from ..clients.pod_gateway import gateway_of
from ..errors import SandboxError
from ..settings import Site

__all__ = ["end_all_sandboxes"]

_AT_ONCE = 8
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL inside a sandbox


async def end_all_sandboxes(site: Site) -> tuple[int, Sequence[str]]:
    """Stop and remove every sandbox, then close every door.

    Returns how many ended, and a sentence for each that did not.
    """
    problems: list[str] = []
    limit = asyncio.Semaphore(_AT_ONCE)
    launcher, gateway = LauncherClient(site.launcher_socket), gateway_of(site)

    async def end(sandbox: str) -> bool:
        async with limit:
            try:
                await launcher.stop(sandbox, _GRACE)
                await launcher.remove(sandbox)
            except SandboxError as error:
                problems.append(f"{sandbox} did not end: {error}")
                return False
            return True

    ended: list[bool] = []
    try:
        async with launcher:
            found = await launcher.inventory()
            ended = await asyncio.gather(*(end(item.id) for item in found))
        async with gateway:
            for entry in await gateway.inventory():
                await gateway.close_sandbox(entry.id)
    except SandboxError as error:
        problems.append(str(error))
    return sum(ended), problems
