"""Which OCI runtimes may sandboxes have on this host? Each that the site names is verified by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ...errors import SandboxError
from ...names import GVISOR
from ...ordinary import has_own_namespace
from .gvisor import Gvisor
from .runtime import Runtime, unfit

__all__ = ["Runtimes"]

_FIRST = "runc"  # its state lies where it lay before a site could have several


class Runtimes:
    """The site's runtimes, the default one first. `usable` are versions by name, `refused` says why not."""

    def __init__(self, names: Sequence[str], state: str) -> None:
        self._state = state
        self._known: dict[str, Runtime] = {}
        self._names = tuple(names)
        self.usable: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    def find(self, name: str) -> Runtime:
        """The runtime of a sandbox, also where the site does not offer it any longer: it can be ended."""
        if name not in self._known:
            kind = Gvisor if name == GVISOR else Runtime
            state = f"{self._state}/runtime" + ("" if name == _FIRST else f"-{name}")
            self._known[name] = kind(name, state)
        return self._known[name]

    def __iter__(self) -> Iterator[Runtime]:
        """Those that the site names."""
        return (self.find(name) for name in self._names)

    async def verify(self, cgroup_root: str, hard: bool) -> None:
        """Try each; `hard`: the kernel holds every limit of a cgroup of ours."""
        for runtime in self:
            why = self._missing(runtime, cgroup_root, hard)
            try:
                if not why and (lack := await runtime.lacks()):
                    why = f"{runtime.program} {lack}. Install another version, or one built with it."
                version = "" if why else await runtime.version()
            except (SandboxError, OSError) as error:  # a broken one must not keep the others from starting
                why, version = f"{runtime.program} cannot be run: {error}", ""
            if why:
                self.refused[runtime.program] = why
            else:
                self.usable[runtime.program] = version

    def _missing(self, runtime: Runtime, cgroup_root: str, hard: bool) -> str:
        """Why this one cannot be used here, with the remedy; "" where it may be tried."""
        name = runtime.program
        if os.geteuid() != 0:
            return "the launcher is not root. Run: sudo jupyter-sandbox-admin run"
        if why := unfit(name, cgroup_root):
            return f"{why}. Set runtime to runc."
        if not runtime.found():
            return f"there is no {name}. Run: apt-get install {name}"
        if runtime.own_kernel and (has_own_namespace() or not hard):
            return f"{name} needs root and a kernel that holds every limit. Set runtime to runc."
        return ""
