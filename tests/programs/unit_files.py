"""How does a test read the shipped systemd units, and start what they say where there is no systemd?"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from jupyter_sandbox_spawner.admin.accounts import Account, as_account
from tests.lanes import CHECKOUT, PROXY

__all__ = ["PRODUCTION", "Unit", "command", "start_unit", "units"]

PRODUCTION = CHECKOUT / "hub_config/production"
Unit = Mapping[str, Sequence[str]]
_PYTHON = "/opt/jupyter-sandbox/hub/bin/python"
_PROXY = "/usr/local/bin/configurable-http-proxy"
# Becomes the program with its sockets as 3, 4, ... and its own pid in LISTEN_PID, as systemd does it.
_HAND_OVER = """
import os, sys
count = int(sys.argv[1])
# Far above first, so that none is overwritten before it was moved.
moved = [os.dup2(int(text), 200 + index) for index, text in enumerate(sys.argv[2 : 2 + count])]
for index, number in enumerate(moved):
    os.dup2(number, 3 + index)
os.closerange(3 + count, 250)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2 + count], sys.argv[2 + count :])
"""


def units(suffix: str) -> dict[str, Unit]:
    """The shipped units of a kind (`.service`), each as its settings' values by name."""
    found = {}
    for path in sorted((PRODUCTION / "systemd").glob(f"*{suffix}")):
        settings: dict[str, list[str]] = {}
        for line in path.read_text().splitlines():
            name, separator, value = line.partition("=")
            if separator and not line.startswith("#"):
                settings.setdefault(name, []).append(value)
        found[path.name.removesuffix(suffix)] = settings
    return found


def command(unit: Unit, replaced: Mapping[str, str]) -> list[str]:
    """A service's ExecStart as words, with the paths of this machine."""
    line = unit["ExecStart"][0]
    for old, new in {_PYTHON: sys.executable, _PROXY: str(PROXY), **replaced}.items():
        line = line.replace(old, new)
    return shlex.split(line)


def start_unit(
    words: Sequence[str],
    account: Account | None,
    held: Mapping[str, socket.socket],
    environ: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """Start a service's command under an account with its sockets; its output goes to our stderr."""
    descriptors = tuple(item.fileno() for item in held.values())
    names = {"LISTEN_FDS": str(len(held)), "LISTEN_FDNAMES": ":".join(held)} if held else {}
    hand_over = ["/usr/bin/python3", "-I", "-S", "-c", _HAND_OVER, str(len(held)), *map(str, descriptors)]
    return subprocess.Popen(
        [*as_account(account), *hand_over, *words],
        env={"PATH": os.environ["PATH"], **environ, **names},
        cwd="/",
        pass_fds=descriptors,
    )
