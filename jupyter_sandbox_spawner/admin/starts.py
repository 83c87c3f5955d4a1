"""Does a program that ended get another start, or has it failed for good? (pure)

A program that ends before it was ever ready, three times in a row, would go on doing so: the run stops.
One that was ready is started again however often it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["STARTS", "Starts", "ending"]

STARTS = 3


@dataclass
class Starts:
    """The starts of one program since it was last ready."""

    vain: int = 0
    ready: bool = field(default=False)

    def began(self) -> None:
        """It was started."""
        self.ready = False

    def became_ready(self) -> None:
        """It answered."""
        self.ready = True
        self.vain = 0

    def ended(self) -> None:
        """It ended by itself or was killed."""
        if not self.ready:
            self.vain += 1
        self.ready = False

    @property
    def hopeless(self) -> bool:
        """No further start."""
        return self.vain >= STARTS


def ending(exit_code: int | None) -> str:
    """An exit code in words: negative is a signal, None was not seen."""
    if exit_code is None:
        return "ended"
    return f"ended by signal {-exit_code}" if exit_code < 0 else f"ended with status {exit_code}"
