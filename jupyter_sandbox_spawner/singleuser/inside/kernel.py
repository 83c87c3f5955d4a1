"""How does a Python kernel start? In the user's overlay; where that is broken, in the base, saying so."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from .overlay import OverlayError, ensure_overlay, this_base, user_environment
from .victim import be_ended_first

__all__ = ["main"]


def main(arguments: list[str]) -> NoReturn:
    """Become `python -m ipykernel_launcher ARGUMENTS` with the user's own environment."""
    be_ended_first()
    python, directory = sys.executable, None
    try:
        directory = ensure_overlay(os.path.expanduser("~"), this_base())
        python = os.path.join(directory, "bin", "python")
    except OverlayError as error:
        print(f"{error} This kernel runs without your own packages.", file=sys.stderr, flush=True)
    os.execve(  # noqa: S606 - becoming another program is the point
        python, [python, "-m", "ipykernel_launcher", *arguments], user_environment(os.environ, directory)
    )
