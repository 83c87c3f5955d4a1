"""How do layers become an image that `ctr images import` takes? archive.py FILE NAME LAYER...

Each layer is a tar file as it is; nothing is compressed, since the file stays on this machine.
ref: https://github.com/moby/docker-image-spec (the format of `docker save`)
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["write_archive"]

_BLOCK = 1 << 20
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_archive(file: Path, name: str, layers: Sequence[Path]) -> None:
    """Write the image `name` (with a tag) of these layers, the lowest first, in one step."""
    digests = [_digest(layer) for layer in layers]
    config = _document(
        {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Env": [f"PATH={_PATH}", "LANG=C.UTF-8"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
            "history": [{"created_by": "build-images"} for _ in layers],
        }
    )
    called = f"{hashlib.sha256(config).hexdigest()}.json"
    names = [f"{digest}.tar" for digest in digests]
    manifest = _document([{"Config": called, "RepoTags": [name], "Layers": names}])
    part = file.with_name(f"{file.name}.part")
    with tarfile.open(part, "w") as archive:
        for inner, layer in dict(zip(names, layers, strict=True)).items():
            archive.add(layer, inner, filter=_plain)
        for inner, raw in ((called, config), ("manifest.json", manifest)):
            item = _plain(tarfile.TarInfo(inner))
            item.size = len(raw)
            archive.addfile(item, io.BytesIO(raw))
    os.replace(part, file)


def _plain(item: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of who wrote it, and when, so that the same layers give the same file."""
    item.mode, item.mtime, item.uid, item.gid, item.uname, item.gname = 0o644, 0, 0, 0, "", ""
    return item


def _digest(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _document(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


if __name__ == "__main__":
    write_archive(Path(sys.argv[1]), sys.argv[2], [Path(name) for name in sys.argv[3:]])
