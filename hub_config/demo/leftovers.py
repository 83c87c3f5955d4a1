"""What is left of a site on this machine? Processes, cgroups, mounts, sockets, directories, found by name.

Law: it looks from outside (/proc, /sys), never by asking the programs whether they cleaned up.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_sandbox_spawner.admin.ports import inner_ports
from jupyter_sandbox_spawner.settings import Site

__all__ = ["Trace", "dead_traces", "look", "sandbox_traces"]

_ID = re.compile(r"sb-[a-z2-7]{20}")


@dataclass(frozen=True)
class Trace:
    """What was found, each as text for people; all empty is what a good end looks like."""

    processes: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()

    def found(self) -> list[str]:
        """Every finding in one list, with its kind."""
        return [
            f"{kind}: {item}"
            for kind in ("processes", "cgroups", "mounts", "sockets", "directories")
            for item in getattr(self, kind)
        ]


def look(root: Path, site: Site | None) -> Trace:
    """Everything that still belongs to the site below `root`, its own kept files aside."""
    ports = [site.public_port, *(getattr(site, name) for name in inner_ports(site))] if site else []
    return Trace(
        processes=tuple(_processes(str(root))),
        cgroups=tuple(_cgroups(_known_ids(root))),
        mounts=tuple(_mounts(str(root))),
        sockets=(*_unix_sockets(str(root)), *_listening(ports)),
        directories=tuple(_sandbox_directories(root)),
    )


def sandbox_traces(root: Path, identifier: str) -> Trace:
    """What is left of one sandbox while its site runs on."""
    return Trace(
        processes=tuple(_processes(identifier)),
        cgroups=tuple(_cgroups({identifier})),
        mounts=tuple(_mounts(identifier)),
        sockets=tuple(_unix_sockets(identifier)),
        directories=tuple(path for path in _sandbox_directories(root) if identifier in path),
    )


def dead_traces(root: Path, alive: Collection[str]) -> Trace:
    """What is left of sandboxes that a site had and that are not `alive`, while the site runs on."""
    dead = _known_ids(root).difference(alive)
    return Trace(
        processes=tuple(_processes(*dead)),
        cgroups=tuple(_cgroups(dead)),
        mounts=tuple(_mounts(*dead)),
        sockets=tuple(_unix_sockets(*dead)),
        directories=tuple(
            path for path in _sandbox_directories(root) if dead.intersection(_ID.findall(path))
        ),
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""  # the process ended while we looked, which is what we hope for


def _processes(*words: str) -> Iterator[str]:
    """Processes that name a word in their command or environment, or live in a mount namespace that does."""
    ours = os.readlink("/proc/self/ns/mnt")
    for place in Path("/proc").glob("[0-9]*"):
        if int(place.name) == os.getpid():
            continue
        command = _read(place / "cmdline").strip()
        if not command:
            continue  # kernel threads and zombies have none
        try:
            foreign = os.readlink(place / "ns/mnt") != ours
        except OSError:
            continue
        texts = command + _read(place / "environ") + (_read(place / "mountinfo") if foreign else "")
        if any(word in texts for word in words) and not _is_ancestor(int(place.name)):
            yield f"{place.name} {command[:120]}"


def _is_ancestor(pid: int) -> bool:
    """Is this one of the processes that started us? Their environment may name the directory as well."""
    current = os.getpid()
    while current > 1:
        fields = _read(Path(f"/proc/{current}/stat")).rpartition(")")[2].split()
        current = int(fields[1]) if len(fields) > 1 else 0
        if current == pid:
            return True
    return False


def _known_ids(root: Path) -> set[str]:
    """Ids of all sandboxes that the site ever had: named in its files and logs."""
    found: set[str] = set()
    for path in root.rglob("*"):
        found.update(_ID.findall(str(path)))
    for path in [*root.glob("*.log"), *root.glob("state/logs/*.log")]:
        found.update(_ID.findall(_read(path)))
    return found


def _cgroups(ids: set[str]) -> Iterator[str]:
    for place, _, _ in os.walk("/sys/fs/cgroup"):
        if ids.intersection(_ID.findall(os.path.basename(place))):
            yield place


def _mounts(*words: str) -> Iterator[str]:
    for line in _read(Path("/proc/self/mountinfo")).splitlines():
        if any(word in line for word in words):
            yield line.split()[4]


def _unix_sockets(*words: str) -> Iterator[str]:
    for line in _read(Path("/proc/net/unix")).splitlines():
        path = line.split()[-1]
        if any(word in path for word in words):
            yield path


def _listening(ports: Sequence[int]) -> Iterator[str]:
    for port in ports:
        with socket.socket() as probe:
            probe.settimeout(1)
            if port and probe.connect_ex(("127.0.0.1", port)) == 0:
                yield f"127.0.0.1:{port}"


def _sandbox_directories(root: Path) -> Iterator[str]:
    """Directories named after a sandbox below the run directory (doors, bundles, runtime state)."""
    for path in sorted((root / "run").rglob("*")):
        if path.is_dir() and _ID.search(path.name):
            yield str(path)
