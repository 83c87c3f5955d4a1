"""What is process 1 of a cluster's room? It buries the dead; tied, it ends with whoever holds its stdin."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Returns when stdin is closed, where tied."""
    signal.signal(signal.SIGCHLD, _bury)
    if "--tied" in sys.argv:
        while os.read(0, 4096):
            continue
        return
    while True:
        signal.pause()


def _bury(number: int, frame: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
