"""What does a sandbox use where the kernel does not count it? Summed over the processes of its pid namespace.

Law: it is a lower bound, so it ends nobody wrongly: what cannot be read counts nothing.
ref: proc(5). A launcher in a namespace of its own may look at all below that, also at other uids' memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...models import Resources
from .layout import TMPFS, tmpfs_ceiling

__all__ = ["Count", "by_namespace", "count", "namespace_of", "reap", "sessions_of"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_FILES = 20_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Count:
    """Bytes of memory (tmpfs included), threads, and CPU seconds of living processes and reaped children."""

    memory: int
    pids: int
    cpu_seconds: float


def namespace_of(pid: int) -> int | None:
    """The pid namespace of a process; None if it is gone or not ours to look at."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def by_namespace() -> Mapping[int, Sequence[int]]:
    """The processes of this host that we may look at, by pid namespace."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (namespace := namespace_of(int(name))) is not None:
            found.setdefault(namespace, []).append(int(name))
    return found


def count(init: int, pids: Iterable[int], most: Resources, exact: bool = True) -> Count:
    """What the processes of one sandbox use. Not `exact`: shared pages may count for each process.

    Telling them apart makes the kernel walk page tables. The resident size costs nothing and is never less,
    so below the limit it tells enough.
    """
    pids = list(pids)
    threads, ticks = 0, 0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            threads += int(fields[17])
            ticks += sum(map(int, fields[11:15]))
    own, shared = sum(map(_resident, pids)), 0
    stored = sum(min(_stored(init, target), tmpfs_ceiling(most, target)[0]) for target in TMPFS)
    stored += _nameless(pids)
    if exact or own + stored > most.memory:
        parts = [_proportional(pid) for pid in pids]
        own, shared = sum(part[0] for part in parts), sum(part[1] for part in parts)
    # Mapped files of a tmpfs are in both; what is shared without a file is in the first alone.
    return Count(memory=own + max(shared, stored), pids=threads, cpu_seconds=ticks / _TICKS)


def sessions_of(pids: Iterable[int]) -> frozenset[int]:
    """The sessions of these processes, which their children stay in."""
    found = (_stat(pid) for pid in pids)
    return frozenset(int(fields[3]) for fields in found if fields is not None)


async def reap(sessions: frozenset[int], seconds: float = 5.0) -> None:
    """Take the exit statuses of our children of these sessions, all of whom are dying.

    A sandbox with a pid namespace leaves us none but its init process, one with a kernel of its own all of
    them. They are known by their session: a dead one is in no cgroup any longer (v1).
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while sessions and (left := _children_of(sessions)) and asyncio.get_running_loop().time() < deadline:
        for pid in left:
            _take(pid)
        await asyncio.sleep(0.01)  # the kernel tells nobody that an exit is through


def _take(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # somebody who waited for it has it
        os.waitpid(pid, os.WNOHANG)


def _children_of(sessions: frozenset[int]) -> list[int]:
    found = ((int(name), _stat(int(name))) for name in os.listdir("/proc") if name.isdigit())
    mine = str(os.getpid())
    return [pid for pid, fields in found if fields and fields[1] == mine and int(fields[3]) in sessions]


def _stat(pid: int) -> Sequence[str] | None:
    """Fields of /proc/PID/stat from the third on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _proportional(pid: int) -> tuple[int, int]:
    """Bytes of a process, swapped ones included, each shared page divided by those who share it.

    The second number is memory shared without a file or by a tmpfs.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    sizes = {line.partition(":")[0]: line.split()[1] for line in lines if line.count(":")}
    shared = int(sizes.get("Pss_Shmem", 0))
    return (int(sizes.get("Pss", 0)) + int(sizes.get("SwapPss", 0)) - shared) << 10, shared << 10


def _nameless(pids: Iterable[int]) -> int:
    """Bytes of the memory files (memfd) that the processes hold open, each file once; mapped or not."""
    found: dict[int, int] = {}
    looked = 0
    for pid in pids:
        directory = f"/proc/{pid}/fd"
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        looked += len(names)
        if looked > _MOST_FILES:  # else one sandbox could keep us busy; what lies beyond is not counted
            break
        for name in names:
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(f"{directory}/{name}").startswith("/memfd:"):
                    status = os.stat(f"{directory}/{name}")
                    found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def _stored(init: int, target: str) -> int:
    """Bytes in a tmpfs of the sandbox, seen through its first process."""
    try:
        space = os.statvfs(f"/proc/{init}/root{target}")
    except OSError:
        return 0
    return (space.f_blocks - space.f_bfree) * space.f_frsize
