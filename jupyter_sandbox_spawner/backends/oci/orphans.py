"""How is a launcher's sandbox ended that no launcher can take up again? By its record, from outside."""

from __future__ import annotations

import contextlib
import os
import signal

from ..records import Records
from .kernel import start_time

__all__ = ["end_recorded"]


def end_recorded(state: str) -> None:
    """Kill what the records of a launcher's state say is running; that launcher finds it ended."""
    for record in Records(f"{state}/sandboxes").read_all().values():
        if record is None or record.pid is None or record.phase == "over":
            continue
        if start_time(record.pid) == record.start_time:
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
