"""How does configurable-http-proxy come into an image without a registry? With the Node.js of this machine.

It gets the name that hub_config/kubernetes/hub/proxy.yaml has, which elsewhere a registry answers for.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from hub_config.demo.running import VENVS
from hub_config.kubernetes.cluster.images import make_image, make_try_root

__all__ = ["PROXY_IMAGE", "make_proxy_image"]

PROXY_IMAGE = "quay.io/jupyterhub/configurable-http-proxy:5.3.0"
_HERE = "/opt/proxy"
_PROGRAM = f"{_HERE}/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
_START = f'#!/bin/sh\nexec /bin/node {_PROGRAM} "$@"\n'


def make_proxy_image(file: Path) -> None:
    """Write `file`, as `docker save` does it. Raises RuntimeError where there is no Node.js."""
    node = shutil.which("node")
    if node is None:
        raise RuntimeError("there is no node; run: scripts/prepare")
    root = file.with_suffix(".root")
    make_try_root(root)
    with tarfile.open(root, "a") as archive:
        archive.add(Path(node).resolve(), "bin/node", filter=_plain)
        for library in _libraries(node):
            archive.add(library.resolve(), str(library).lstrip("/"), filter=_plain)
        archive.add(VENVS / "proxy/node_modules", f"{_HERE}/node_modules".lstrip("/"), filter=_plain)
        entry = tarfile.TarInfo("bin/configurable-http-proxy")
        entry.size, entry.mode = len(_START), 0o755
        archive.addfile(entry, io.BytesIO(_START.encode()))
    make_image(root, [PROXY_IMAGE], file, Env=["PATH=/bin"])
    root.unlink()


def _libraries(program: str) -> list[Path]:
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return sorted({Path(word) for word in told.split() if word.startswith("/")})


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
