"""Of two controls of one site, which works? The one that holds database and audit; on a cluster one waits.

A database that does not answer yet is waited for, too.

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

__all__ = ["IN_USE", "PATIENCE", "in_turn"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
T = TypeVar("T")
IN_USE = "database.in_use"
_TAKEN = {IN_USE: "Another control works; this one waits.", "audit.in_use": "The audit is still another's."}
_AGAIN = 0.2  # seconds; nothing tells that a file's lock is given back
_AWAY = "database.unreachable"
# Seconds for a database at the start: a cluster's network may learn of a new pod later than it runs.
PATIENCE = 30.0


async def in_turn(stack: AsyncExitStack, site: Site, make: Callable[[], AbstractAsyncContextManager[T]]) -> T:
    """Open what only one control may have, once nobody has it.

    Off a cluster nobody waits for another: raises what `make` does, `database.in_use` or `audit.in_use` among
    it. For a database that does not answer everybody waits, but not for ever: since it did last.
    """
    told, now = "", asyncio.get_running_loop().time
    until = now()
    while True:
        try:
            return await stack.enter_async_context(make())
        except SandboxError as error:
            if error.code == _AWAY:
                if told != _AWAY:
                    until = now() + PATIENCE
                if now() > until:
                    raise
                line = f"{error.message} Control waits for it, {PATIENCE:.0f} s at most."
            elif error.code in _TAKEN and site.backend == "kubernetes":
                line = _TAKEN[error.code]
            else:
                raise
            if told != error.code:
                log.warning("%s", line)
            told = error.code
        await asyncio.sleep(_AGAIN)
