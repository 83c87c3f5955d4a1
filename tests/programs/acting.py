"""How does a test act as one of the programs? Small Python programs run under its account and report."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from jupyter_sandbox_spawner.admin.accounts import Account, as_account

__all__ = ["ask_socket", "can_read", "python_as", "status_of"]

_PYTHON = "/usr/bin/python3"
_READ = """
import json, os, sys
found = {}
for path in sys.argv[1:]:
    try:
        if os.path.isdir(path):
            os.listdir(path)
        else:
            open(path, "rb").read(16)
        found[path] = ""
    except OSError as error:
        found[path] = error.strerror
print(json.dumps(found))
"""
_ASK = """
import socket, sys
try:
    call = socket.socket(socket.AF_UNIX)
    call.settimeout(20)
    call.connect(sys.argv[1])
    call.sendall(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    print(call.recv(64).split(b" ")[1].decode())
except OSError as error:
    print(error.strerror)
"""


def python_as(account: Account | None, code: str, *arguments: str) -> str:
    """What a program prints under an account (None: root)."""
    command = [*as_account(account), _PYTHON, "-I", "-S", "-B", "-c", code, *arguments]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def can_read(account: Account | None, paths: Mapping[str, str]) -> set[str]:
    """The names of those files and directories that an account can read or list."""
    answer: dict[str, str] = json.loads(python_as(account, _READ, *paths.values()))
    return {name for name, path in paths.items() if answer[path] == ""}


def ask_socket(account: Account | None, path: str) -> str:
    """The HTTP status of /health, or why there was no connection."""
    return python_as(account, _ASK, path)


def status_of(pid: int, names: Sequence[str]) -> dict[str, list[str]]:
    """Lines of /proc/PID/status by name, in words."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: value.split() for name, _, value in lines if name in names}
