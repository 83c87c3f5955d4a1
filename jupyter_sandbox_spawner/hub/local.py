"""How does a server run on this host? In an OCI sandbox over a Python environment of the host."""

from __future__ import annotations

from .spawner import SandboxSpawner

__all__ = ["SandboxLocalSpawner"]


class SandboxLocalSpawner(SandboxSpawner):
    """Servers on the local backend. The launcher runs the OCI runtime; the hub needs no privilege.

    There is no overlay: the local backend renders everything from the spec.
    """
