"""What does the sandbox's own /etc say? Who its uid is, and that there is no name server.

Any image works, also one that has never heard of this uid: these files lie over its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..oci.layout import HOME, HOSTNAME, USER_NAME

__all__ = ["etc_files", "write_etc"]


def write_etc(directory: Path, host_uid: int) -> Mapping[str, str]:
    """Write the files below `directory`; where each belongs inside, and where it lies. Idempotent."""
    directory.mkdir(mode=0o755, exist_ok=True)
    for name, text in etc_files(host_uid).items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o644)
    return {f"/etc/{name}": str(directory / name) for name in etc_files(host_uid)}


def etc_files(uid: int) -> Mapping[str, str]:
    """By name in /etc, what it says."""
    return {
        "passwd": (
            "root:x:0:0:root:/:/usr/sbin/nologin\n"
            f"{USER_NAME}:x:{uid}:{uid}:{USER_NAME}:{HOME}:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
        ),
        "group": f"root:x:0:\n{USER_NAME}:x:{uid}:\nnogroup:x:65534:\n",
        "hosts": f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n",
        # Files only: no question for a name ever leaves the sandbox, and an unknown one fails at once.
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
        "resolv.conf": "# There is no name server: the egress door resolves the names that are allowed.\n",
    }
