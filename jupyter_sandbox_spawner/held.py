"""Which listening sockets does the supervisor hold for this program? systemd's way: LISTEN_FDS and names.

Law: the variables are taken away when they are read: runc would hand the sockets on into a sandbox.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["take_held_sockets"]

_FIRST = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def take_held_sockets() -> Mapping[str, int]:
    """Descriptors by their FileDescriptorName=, meant for this process; {} without any."""
    pid, count, names = (os.environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    found: dict[str, int] = {}
    for descriptor, name in enumerate(names.split(":")[: int(count)], start=_FIRST):
        os.set_inheritable(descriptor, False)
        found[name] = descriptor
    return found
