"""What does pid 1 do before it passes on the wish that all ends? It lets the user's hook run, if any.

Law: pid 1 itself touches no file of the user's, which may be on a disk that hangs: a child of it does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Mapping

from .hook import hook_environment, hook_path, is_saved_lately, prepare_output

__all__ = ["FAREWELL_LIMIT", "start_hook"]

FAREWELL_LIMIT = 5.0  # seconds; half of what a stop gives a server by default


def start_hook(environment: Mapping[str, str], handled: Collection[signal.Signals]) -> int:
    """The process that runs the hook, or ends at once where there is none; 0 where it cannot be made."""
    try:
        process = os.fork()
    except OSError:  # as many processes as it may have: then the end comes without the hook
        return 0
    if process:
        return process
    try:
        signal.set_wakeup_fd(-1)
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        _become_hook(environment)
    finally:
        os._exit(127)


def _become_hook(environment: Mapping[str, str]) -> None:
    path = "" if is_saved_lately(environment) else hook_path(environment)
    if not path:
        os._exit(0)
    os.setsid()
    output = prepare_output(environment)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)
    os.chdir(environment["HOME"])
    os.execve(path, [path], hook_environment(environment, "stop"))  # noqa: S606 - the user's own file
