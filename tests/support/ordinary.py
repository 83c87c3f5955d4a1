"""Who is the ordinary user of a test? One whom root makes for it, with subordinate uids, and takes away."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lanes import CHECKOUT, VENVS

__all__ = ["OrdinaryUser", "ordinary_user"]

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class OrdinaryUser:
    """Runs programs of this checkout as somebody who is not root; `home` is the user's own directory.

    They start in `cgroups`, if there are any.
    """

    name: str
    home: Path
    cgroups: tuple[str, ...] = ()

    def run(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """One command to its end, with an environment of its own."""
        return subprocess.run(
            [*self.prefix(), *command],
            cwd=CHECKOUT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def python(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """The same for `python ARGUMENTS`."""
        return self.run(sys.executable, *arguments, timeout=timeout)

    def prefix(self) -> Sequence[str]:
        """What makes a command the user's."""
        enter = "".join(f"echo $$ > {place}/cgroup.procs; " for place in self.cgroups)
        become = ("setpriv", "--reuid", self.name, "--regid", self.name, "--init-groups", "--")
        return ("sh", "-c", f'{enter}exec "$@"', "sh", *become)

    def environment(self) -> dict[str, str]:
        """What a login would give, and where the rooms are."""
        return {
            "PATH": f"{VENVS}/proxy/node_modules/.bin:{_PATH}",
            "HOME": str(self.home),
            "USER": self.name,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SANDBOX_VENVS": str(VENVS),
            "SANDBOX_RESULTS": str(self.home / "results.json"),
        }


@contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """A user with 65536 subordinate uids for the block."""
    name = f"jsstest{secrets.token_hex(3)}"
    # The home lies where a socket below it has a short path.
    home = Path("/tmp", name)
    _root("useradd", "--create-home", "--home-dir", str(home), "--shell", "/bin/bash", name)
    try:
        if f"{name}:" not in Path("/etc/subuid").read_text():
            _root("usermod", "--add-subuids", "700000000-700065535", name)
            _root("usermod", "--add-subgids", "700000000-700065535", name)
        yield OrdinaryUser(name, home)
    finally:
        _root("userdel", "--force", name)
        shutil.rmtree(home, ignore_errors=True)


def _root(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_PATH}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
