"""What does gVisor (`runsc`) do otherwise? A kernel of its own in user space, and limits set around it.

Seen with 20221219 on cgroup v1: it cannot join a user namespace by path (EINVAL: a program with threads may
not), so it makes one from the mappings of config.json. Its file server then runs as uid 0 of that namespace
and meets the doors as the host uid that stands for it; its kernel runs as nobody.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import BackendError
from ...models import Resources
from ...names import is_sandbox_id
from .runtime import SEARCH_PATH, Runtime

__all__ = ["Gvisor"]

# No network of its own but loopback; sockets of the host are the doors; our filter for the guest's calls.
_FLAGS = ("--network=none", "--ignore-cgroups", "--host-uds=open", "--oci-seccomp")
# The cgroup counts the host's tasks: threads of gVisor's kernel and file server (seen: 50), and by ptrace
# some 35 for each process inside, none for its threads. So a quarter of a profile's `pids` may be processes.
_OWN_TASKS, _TASKS_PER_PID = 96, 8
_MOST_TASKS = 1 << 22  # which the kernel takes for a limit
_NAMES = {"pselect6": "pselect"}  # calls that gVisor knows, and passes over, under another name
# Each file of the sandbox is one or two of its kernel and of its file server.
_FILES_PER_FILE, _OWN_FILES = 4, 1024


class Gvisor(Runtime):
    """runsc as root, in a cgroup that we make."""

    own_kernel = True

    def __init__(self, program: str, state: str) -> None:
        super().__init__(program, state)
        # By its path: it is run by a program that searches none.
        path = shutil.which(program, path=SEARCH_PATH) or program
        self._command = (path, *self._command[1:], *_FLAGS)

    async def lacks(self) -> str:
        """See Runtime.lacks."""
        try:
            await self._run(*self._command, "--version")
        except BackendError as error:  # "flag provided but not defined: -oci-seccomp", and then its usage
            return f"is too old or too new: {error.message.partition(': ')[2].partition(chr(10))[0]}"
        return ""

    def filter(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        """See Runtime.filter; what shall look as if it did not exist is left to a kernel where it does not.

        20221219 refuses with EPERM whatever the profile says, and no thread starts: the C library takes only
        ENOSYS for a reason to do without clone3. The canary tries what a kernel that has it would let pass.
        """
        hidden = [rule for rule in profile["syscalls"] if rule.get("errnoRet") == errno.ENOSYS]
        rules = [
            {**rule, "names": [*rule["names"], *(_NAMES[name] for name in rule["names"] if name in _NAMES)]}
            for rule in profile["syscalls"]
            if rule not in hidden
        ]
        absent = [name for rule in hidden for name in rule["names"]]
        return {**profile, "syscalls": [*rules, {"names": absent, "action": "SCMP_ACT_ALLOW"}]}

    def held(self, resources: Resources) -> Resources:
        """See Runtime.held."""
        return replace(resources, pids=min(resources.pids * _TASKS_PER_PID + _OWN_TASKS, _MOST_TASKS))

    def pids(self, counted: int) -> int:
        """See Runtime.pids."""
        return max(1, math.ceil((counted - _OWN_TASKS) / _TASKS_PER_PID))

    def open_files(self, resources: Resources) -> int:
        """See Runtime.open_files."""
        return resources.files * _FILES_PER_FILE + _OWN_FILES

    def _way(self, bundle: Path) -> tuple[str, ...]:
        """Its file server opens the sources of mounts itself, as a uid that may not pass root's own."""
        config = json.loads((bundle / "config.json").read_text())
        binds = [mount["source"] for mount in config["mounts"] if mount["type"] == "bind"]
        Path(self.state).mkdir(mode=0o700, exist_ok=True)
        paths = (config["root"]["path"], *binds, str(bundle), self.state)
        passage = (sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("passage.py")))
        return ("unshare", "--mount", "--", *passage, *paths, "--")

    async def delete(self, sandbox_id: str) -> None:
        """Forget it; its processes are those of its cgroup, and who made that ends them.

        runsc's own `delete` waits for processes whose parent we became to be reaped, and for no others.
        """
        for path in self._files(f"{sandbox_id}_*"):
            path.unlink()

    def ids(self) -> list[str]:
        """See Runtime.ids."""
        names = {path.name.partition("_")[0] for path in self._files("*.state")}
        return sorted(name for name in names if is_sandbox_id(name))

    def _files(self, pattern: str) -> list[Path]:
        return list(Path(self.state).glob(pattern))
