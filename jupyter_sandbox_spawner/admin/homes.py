"""How does an admin without root get at sandboxes' homes, which belong to uids of /etc/subuid?"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence

from ..errors import ConfigurationError
from ..ordinary import end_namespace, inside_namespace

__all__ = ["run_unshared"]


def run_unshared(command: Sequence[str]) -> int:
    """Run a command as uid 0 of a namespace made for it; its exit status. Raises `ordinary.*`."""
    words = list(command[1:] if command[:1] == ["--"] else command) or [os.environ.get("SHELL", "/bin/sh")]
    if os.geteuid() == 0:
        raise ConfigurationError(
            "Root may touch every home already.",
            code="ordinary.not_needed",
            remedy=f"Run the command itself: {words[0]} ...",
        )
    with tempfile.TemporaryDirectory(prefix="jss-unshare-") as directory:
        try:
            here = os.getcwd()
            return subprocess.run(
                inside_namespace(directory, ["env", "-C", here, *words]), check=False
            ).returncode
        finally:
            end_namespace(directory)
