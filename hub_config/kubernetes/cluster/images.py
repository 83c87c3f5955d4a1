"""How is an image made without a registry? From a root directory's tar, as `docker save` writes it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["make_image", "make_try_root"]

# What a shell and network tests call it by; it acts by its name.
_NAMES = """
    awk cat chmod cp date echo env false grep head httpd id kill ls mkdir mount nc nslookup ping ps rm sed sh
    sleep stat tail test timeout touch tr true wc wget
"""


def make_image(root: Path, names: Iterable[str], file: Path, **config: object) -> None:
    """Write `file`: an image with the tar `root` as its only layer. `config`: Cmd, Env, User ..."""
    with root.open("rb") as layer:
        digest = _digest(layer)
    settings = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "imported"}],
    }
    described = json.dumps(settings).encode()
    named = f"{hashlib.sha256(described).hexdigest()}.json"
    content = [{"Config": named, "RepoTags": list(names), "Layers": [f"{digest}.tar"]}]
    part = file.with_name(f"{file.name}.part")
    with tarfile.open(part, "w") as archive:
        archive.add(root, f"{digest}.tar")
        for name, data in ((named, described), ("manifest.json", json.dumps(content).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    part.replace(file)


def make_try_root(file: Path) -> None:
    """Write `file`: a root with busybox alone, 2 MB. Raises RuntimeError where there is none."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("there is no busybox; run: apt-get install busybox-static")
    with tarfile.open(file, "w") as archive:
        for name in ("bin", "tmp", "etc", "proc", "sys", "dev", "home"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        archive.add(Path(busybox).resolve(), "bin/busybox", filter=_belongs_to_root)
        for name in _NAMES.split():
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)


def _belongs_to_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755
    return entry


def _digest(file: io.BufferedReader) -> str:
    found = hashlib.sha256()
    while block := file.read(1 << 20):
        found.update(block)
    return found.hexdigest()
