"""What has the measured control besides the real one? A signal on which every server is due for a look.

`python -m benchmarks.cull_program SITE TOKEN_FILE MARKS [looks]`: a line in MARKS says that it has begun, and
after each signal that all were looked at. `looks`: neither reconciler nor routes after the first time.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

from jupyter_sandbox_spawner.control import app
from jupyter_sandbox_spawner.control.lifetime import Lifetime
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.settings import load_site

__all__ = ["main"]

_MARKS = Path(sys.argv[3]) if len(sys.argv) > 3 else Path("marks")


class _Marking(Lifetime):
    """The real one, which also says when it has looked at everybody it was told to look at."""

    _left: frozenset[str] = frozenset()

    async def load(self) -> None:
        """At start too, everybody is due."""
        await super().load()
        self._left = frozenset(self._due)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._everybody)

    def _everybody(self) -> None:
        self._left = frozenset(self._due)
        for sandbox in self._left:
            self.watch(sandbox)

    async def judge(self, due: list[str]) -> None:
        """As it is; then a mark where these were the last."""
        await super().judge(due)
        if self._left:
            self._left = self._left.difference(due)
            if not self._left:
                with _MARKS.open("a") as file:
                    file.write("looked\n")


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s control %(levelname)s %(message)s")
    tuning = Tuning(reconcile_every=86400, routes_every=86400) if "looks" in sys.argv[4:] else Tuning()
    app.Lifetime = _Marking  # type: ignore[attr-defined]  # where `run` finds it
    site = load_site(sys.argv[1])
    sockets = app.Sockets(descriptors={}, callers={})
    asyncio.run(app.run(site, sys.argv[2], sockets, tuning))


if __name__ == "__main__":
    main()
