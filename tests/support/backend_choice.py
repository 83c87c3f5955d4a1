"""On which backend do houses run? The local one; with SANDBOX_HOUSE=docker, a daemon of the tests' own; with
SANDBOX_HOUSE=gvisor, the local one under gVisor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.docker.daemon import IMAGE, run_daemon

__all__ = ["ON_DOCKER", "ON_GVISOR", "RUNTIME", "chosen_backend"]

ON_DOCKER = os.environ.get("SANDBOX_HOUSE") == "docker"
ON_GVISOR = os.environ.get("SANDBOX_HOUSE") == "gvisor"
RUNTIME = "docker" if ON_DOCKER else "runsc" if ON_GVISOR else "runc"  # the lane that a house needs


@contextmanager
def chosen_backend() -> Iterator[Mapping[str, str]]:
    """What the house's configuration file is told about the backend."""
    if not ON_DOCKER:
        yield {"SANDBOX_RUNTIME": RUNTIME}
        return
    with run_daemon() as daemon:
        address = f"unix://{daemon.socket}"
        yield {"SANDBOX_BACKEND": "docker", "SANDBOX_IMAGE": IMAGE, "DOCKER_HOST": address}
