"""Of two controls of one site, which works? The one that holds database and audit; on a cluster one waits.

Law: the database comes first; whoever waits for it has opened nothing else, neither audit nor socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from ..errors import SandboxError
from ..settings import Site

__all__ = ["IN_USE", "in_turn"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
T = TypeVar("T")
IN_USE = "database.in_use"
_TAKEN = {IN_USE: "Another control works; this one waits.", "audit.in_use": "The audit is still another's."}
_AGAIN = 0.2  # seconds; nothing tells that a file's lock is given back


async def in_turn(stack: AsyncExitStack, site: Site, make: Callable[[], AbstractAsyncContextManager[T]]) -> T:
    """Open what only one control may have, once nobody has it.

    Off a cluster nobody waits: raises what `make` does, `database.in_use` or `audit.in_use` among it.
    """
    told = False
    while True:
        try:
            return await stack.enter_async_context(make())
        except SandboxError as error:
            if error.code not in _TAKEN or site.backend != "kubernetes":
                raise
            if not told:
                log.info(_TAKEN[error.code])
                told = True
        await asyncio.sleep(_AGAIN)
