"""What is the smallest image that runs the contract's program, and a link that carries nothing?

The Python of this machine with its standard library: as user image and as link image. The link of it binds
the doors, so that the pod is whole, and answers nobody; `real_link` puts the shipped one there in its place.
"""

from __future__ import annotations

import io
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.backends.tiny import PID_ONE
from tests.lanes import CHECKOUT

__all__ = ["IMAGE", "LINK_IMAGE", "PREFIX", "library_of", "make_root"]

IMAGE = "docker.io/local/tiny-python:test"
LINK_IMAGE = "docker.io/local/tiny-link:test"
PREFIX = "/opt/tiny"
_SKIPPED = {"test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "pydoc_data", "turtledemo"}
_LINK = f"""
import argparse, os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
words = argparse.ArgumentParser()
for name in ("sandbox", "user-uid", "gateway", "address", "doors", "inside", "secret", "memory"):
    words.add_argument("--" + name, required=True)
given = words.parse_args()
for name in ("ticket", "ca.pem"):
    open(os.path.join(given.secret, name)).read()
open(os.path.join(given.memory, "key"), "w").write("key")
with open(os.path.join(given.inside, "__main__.py"), "w") as program:
    program.write({PID_ONE!r})
os.umask(0)
doors = []
for name in ("boot", "egress", "api", "ingress"):
    place = os.path.join(given.doors, name + ".sock")
    if os.path.exists(place):
        os.unlink(place)
    doors.append(socket.socket(socket.AF_UNIX))
    doors[-1].bind(place)
    doors[-1].listen()
pipe = os.path.join(given.memory, "ready")
if not os.path.exists(pipe):
    try:
        os.mkfifo(pipe)
    except FileExistsError:
        pass
told = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
os.write(told, b".")
signal.pause()
"""


def library_of() -> Path:
    """Where the interpreter of the image finds modules, as on this machine."""
    return Path(sysconfig.get_path("stdlib"))


def make_root(file: Path, real_link: bool = False) -> None:
    """Write `file`: the tar of a root directory for both containers of a pod."""
    python = Path(sys.executable).resolve()
    library = library_of()
    with tarfile.open(file, "w") as archive:
        for name in ("tmp", "proc", "sys", "dev", "etc", "home", "run"):
            _directory(archive, name)
        for path in (python, *_libraries(python)):
            archive.add(path.resolve(), str(path).lstrip("/"), filter=_plain)
        archive.add(library, str(library).lstrip("/"), filter=_wanted)
        for name in (PREFIX, "/opt/jupyter-sandbox"):
            entry = tarfile.TarInfo(f"{name}/bin/python".lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, str(python)
            archive.addfile(entry)
        package = library / "jupyter_sandbox_spawner"
        if real_link:
            archive.add(CHECKOUT / package.name, str(package).lstrip("/"), filter=_source)
            return
        _text(archive, package / "__init__.py", "")
        _text(archive, package / "wires/__init__.py", "")
        _text(archive, package / "wires/link.py", _LINK)


def _libraries(python: Path) -> Iterator[Path]:
    """What the dynamic linker would load for the interpreter and its modules."""
    modules = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")
    found: set[Path] = set()
    for program in (python, *modules):
        told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
        for word in told.split():
            if word.startswith("/"):
                found.add(Path(word))
    yield from sorted(found)


def _directory(archive: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)


def _text(archive: tarfile.TarFile, path: Path, text: str) -> None:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    entry.size, entry.mode = len(text.encode()), 0o644
    archive.addfile(entry, io.BytesIO(text.encode()))


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if _SKIPPED & set(entry.name.split("/")) else _plain(entry)


def _source(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return _plain(entry) if entry.isdir() or entry.name.endswith(".py") else None


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
