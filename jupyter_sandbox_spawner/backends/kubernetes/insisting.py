"""How long is a cluster asked that does not answer? Some seconds from its failure on.

Law: only for what is the same thing when it is asked twice; a lost answer may have been a yes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from ...errors import BackendError

__all__ = ["INSIST", "insist"]

INSIST = 8.0  # seconds; later the launcher may have lost its Lease, and changes nothing any more
_PAUSES = (0.1, 1.0)  # seconds between two tries: at first, at most
_PASSING = ("kubernetes.unreachable", "kubernetes.timeout", "kubernetes.busy")


async def insist(call: Callable[[float], Awaitable[bytes]], seconds: float) -> bytes:
    """The first answer. `call` is told how many seconds it may take at most; the first one has its own limit.

    Raises what the last one raised.
    """
    now, pause, until = asyncio.get_running_loop().time, _PAUSES[0], math.inf
    while True:
        try:
            return await call(until - now())
        except BackendError as error:
            until = min(until, now() + seconds)
            if error.code not in _PASSING or now() + pause > until:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _PAUSES[1])
