"""Who is ended first when memory runs out? What the user runs; the server, which holds the page, last."""

from __future__ import annotations

import sys

__all__ = ["be_ended_first"]

SCORE = 500  # of 1000; the server keeps what the launcher gave it
_PATH = "/proc/self/oom_score_adj"


def be_ended_first() -> None:
    """Raise this process's score, which all it starts inherits; every process may raise its own."""
    try:
        with open(_PATH, "r+", encoding="ascii") as file:
            if int(file.read()) < SCORE:
                file.seek(0)
                file.write(str(SCORE))
    except OSError as error:
        print(f"{_PATH} cannot be raised: {error.strerror}", file=sys.stderr, flush=True)
