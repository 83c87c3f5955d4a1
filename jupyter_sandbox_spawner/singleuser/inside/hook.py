"""What of a user's own runs before the end, where is told what it did, and when did it last?

The hook is an executable file in the home. It gets no token of the server's, and a limit of time; what it
prints is in a file beside the one that says what was saved.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping

__all__ = ["hook_environment", "hook_path", "is_saved_lately", "places", "prepare_output"]

HOOK = ".config/jupyter-sandbox/before-stop"
TOLD = ".local/share/jupyter-sandbox"
LATELY = 60.0  # seconds
REASON = "SANDBOX_STOP_REASON"
_PASSED_ON = (
    "HOME",
    "JUPYTERHUB_SERVER_NAME",
    "JUPYTERHUB_USER",
    "JUPYTER_SANDBOX",
    "LANG",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TZ",
    "USER",
    *(name for word in ("http", "https", "no", "all") for name in (f"{word}_proxy", f"{word.upper()}_PROXY")),
)


def hook_environment(environment: Mapping[str, str], reason: str = "") -> dict[str, str]:
    """What the hook sees of the server's environment, and why it runs."""
    kept = {name: environment[name] for name in _PASSED_ON if name in environment}
    return {**kept, REASON: reason} if reason else kept


def hook_path(environment: Mapping[str, str]) -> str:
    """The user's hook, or "" where there is none that can be executed."""
    path = os.path.join(environment.get("HOME", ""), HOOK)
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return ""
    return path if is_file and environment.get("HOME") and os.access(path, os.X_OK) else ""


def places(environment: Mapping[str, str]) -> tuple[str, str]:
    """Files of this server: what was saved last, and what the hook printed. Named servers share a home."""
    from urllib.parse import quote  # here: pid 1 stays small without it

    directory = os.path.join(environment.get("HOME", ""), TOLD)
    name = quote(environment.get("JUPYTERHUB_SERVER_NAME", ""), safe="")[:100]
    end = f".{name}" if name else ""
    return os.path.join(directory, f"last-save{end}.json"), os.path.join(directory, f"before-stop{end}.log")


def is_saved_lately(environment: Mapping[str, str]) -> bool:
    """Was everything saved within the last minute?"""
    try:
        found = os.lstat(places(environment)[0])
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and 0 <= time.time() - found.st_mtime < LATELY


def prepare_output(environment: Mapping[str, str]) -> int:
    """A descriptor for what the hook prints; /dev/null where the file cannot be made."""
    path = places(environment)[1]
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        output = os.open(path, flags, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(output).st_mode):  # else it is a FIFO, which takes what it takes
        os.ftruncate(output, 0)
    return output
