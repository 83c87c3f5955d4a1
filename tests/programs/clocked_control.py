"""Which control lives by a clock in a file? The program itself, so that a test can move its time and kill it.

The file has three lines: the wall clock (RFC 3339), the seconds since boot, and the boot's id.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jupyter_sandbox_spawner.control import __main__ as program
from jupyter_sandbox_spawner.control import app
from jupyter_sandbox_spawner.control.parts import Tuning

__all__ = ["FileClock", "write_clock"]


class FileClock:
    """Both clocks as the file has them."""

    def __init__(self) -> None:
        self._file = Path(os.environ["TEST_CLOCK"])

    def now(self) -> datetime:
        return datetime.fromisoformat(self._lines()[0])

    def elapsed(self) -> float:
        return float(self._lines()[1])

    def boot(self) -> str:
        return self._lines()[2]

    def _lines(self) -> list[str]:
        return self._file.read_text().split("\n")


def write_clock(file: Path, now: datetime, elapsed: float, boot: str) -> None:
    """Set it, as a whole."""
    draft = file.with_suffix(".new")
    draft.write_text(f"{now.isoformat()}\n{elapsed}\n{boot}")
    draft.replace(file)


@dataclass(frozen=True, kw_only=True)
class _Quick(Tuning):
    settle: float = 0.0
    tick: float = 0.02


if __name__ == "__main__":
    app.SystemClock = FileClock  # type: ignore[misc,assignment]
    program.Tuning = _Quick  # type: ignore[misc]
    sys.exit(program.main())
