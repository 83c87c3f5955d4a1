"""What did one of those that know something of this sandbox say last, and since when is it silent?

Law: a question runs in a thread of its own, so that the server's loop never waits for it, and a part that
still thinks is not asked again, unless something was changed meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ...errors import SandboxError

__all__ = ["PATIENCE", "Part", "in_thread"]

log = logging.getLogger("jupyter_sandbox_spawner.lab")
PATIENCE = 3.0  # seconds; after that the page gets what was known before
_SLACK = 0.5  # seconds more, in which a question says by itself that its time is over
_AGAIN = "It is asked again by itself; your kernels and files are not affected."


class Part:
    """One of them. `last` is its latest answer (None: never), `heard` when that came, by time.time()."""

    def __init__(self, name: str, question: Callable[[], Any]) -> None:
        self.name = name
        self._question = question
        self._asking: tuple[int, asyncio.Future[Any]] | None = None
        self._taken = -1
        self.last: Any = None
        self.heard: float | None = None
        self.error: SandboxError | None = None

    async def ask(self, changes: int, patience: float = PATIENCE + _SLACK) -> None:
        """Ask it; what comes of it is kept here. `changes` counts what was changed so far. Raises nothing."""
        if self._asking is None or self._asking[0] != changes or self._asking[1].done():
            self._asking = changes, in_thread(self._question)
        try:
            answer = await asyncio.wait_for(asyncio.shield(self._asking[1]), patience)
        except asyncio.TimeoutError:
            message = f"{self.name} does not answer in time."
            self.error = SandboxError(message, code="door.unreachable", remedy=_AGAIN)
        except SandboxError as error:
            self.error = error
        except Exception as surprise:
            if self.error is None:  # pages ask again and again; once is enough
                log.warning("%s: its answer could not be read", self.name, exc_info=surprise)
            message = f"The answer of {self.name} is not one this version understands."
            self.error = SandboxError(message, code="door.unreadable", remedy="Run %sandbox doctor.")
        else:
            if changes >= self._taken:  # an answer that was overtaken is no news
                self._taken, self.last = changes, answer
                self.heard, self.error = time.time(), None


def in_thread(function: Callable[[], Any]) -> asyncio.Future[Any]:
    """Its result, by a thread that does not hold up the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def run() -> None:
        result, failed = None, None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it is told to whoever waits for it
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=run, name="sandbox-lab", daemon=True).start()
    # An answer that comes too late is nobody's, whatever it is.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
