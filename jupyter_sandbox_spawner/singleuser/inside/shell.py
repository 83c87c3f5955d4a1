"""What does a terminal run? The user's shell, with the same environment as the kernels."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

from .overlay import OverlayError, ensure_overlay, this_base, user_environment
from .victim import be_ended_first

__all__ = ["main"]


def main(arguments: list[str]) -> NoReturn:
    """Become $SHELL (else bash, else sh) with ARGUMENTS.

    Not a login shell: /etc/profile would set PATH anew and hide the overlay.
    """
    be_ended_first()
    directory = None
    try:
        directory = ensure_overlay(os.path.expanduser("~"), this_base())
    except OverlayError as error:
        print(error, file=sys.stderr, flush=True)
    environment = user_environment(os.environ, directory)
    wanted = (environment.get("SHELL", ""), "bash", "sh")
    shell = next((found for name in wanted if name and (found := shutil.which(name))), "/bin/sh")
    os.execve(shell, [shell, *arguments], environment)  # noqa: S606 - becoming another program is the point
