"""What does this host give one container, and which parts of the request may an admin's overlay change?

Law: `render` writes by this page and `check` compares with it; places inside are those of the local backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...names import LABEL_OWNER
from ..oci.layout import MASKED_PATHS as PROC_PATHS
from .gpus import GpuRequest

__all__ = [
    "CPU_PERIOD",
    "LOG_FILES",
    "LOG_SIZE",
    "MASKED_PATHS",
    "OWNER_LABEL",
    "SANDBOX_LABEL",
    "SITE_LABEL",
    "Place",
    "container_name",
]

OWNER_LABEL = f"{LABEL_OWNER}.owner"
SITE_LABEL = f"{LABEL_OWNER}.site"
SANDBOX_LABEL = f"{LABEL_OWNER}.sandbox"
CPU_PERIOD = 100_000  # microseconds, the kernel's default
# The daemon mounts all of /sys and the message queues; no other backend shows them.
MASKED_PATHS = (*PROC_PATHS, "/sys", "/dev/mqueue")
LOG_SIZE = 512 << 10  # bytes of one file
LOG_FILES = 2


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the host gives one container. Paths are absolute.

    `image` is the image's id, never a tag that may move; `etc` maps a file of the sandbox's own /etc to the
    host file that lies over it; `shared` maps a target to the host directory that the admin shows there,
    read-only; `site` tells our containers from those of another installation on the same daemon; `gpus` is
    how the devices are asked for that the sandbox was given.
    """

    image: str
    inside: str
    command: tuple[str, ...]
    etc: Mapping[str, str]
    shared: Mapping[str, str]
    runtime: str
    site: str
    seccomp: str
    gpus: GpuRequest = field(default_factory=GpuRequest)


def container_name(sandbox_id: str) -> str:
    """The one name of a sandbox's container."""
    return f"{LABEL_OWNER}-{sandbox_id}"
