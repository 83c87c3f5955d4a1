"""How is a cluster kept apart from the machine, and how does all of it go at once?

It has a network, mounts and process numbers of its own. Law: when the first process of that room ends, the
kernel ends every other, pods too, and takes the mounts, the network, its firewall and the link to it along.
Law: an address of a cluster leads to it or nowhere. That fence stays behind, for clients that outlive it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from .layout import NUMBERS, Layout

__all__ = [
    "CHECKOUT",
    "close_room",
    "dead",
    "enter",
    "first_process",
    "furnish",
    "open_room",
    "processes",
    "take_number",
]

CHECKOUT = Path(__file__).resolve().parents[3]
_LAST = 4_000_000_000  # the metric of a route that counts when there is no other


def take_number() -> int:
    """A number that no cluster of this machine has; taken by making its link, which succeeds for one only.

    Raises RuntimeError where no link can be made.
    """
    said = ""
    for number in NUMBERS:
        layout = Layout(Path("/"), number)
        link = layout.link
        _fence(layout)
        made = _run("ip", "link", "add", "name", link, "type", "veth", "peer", "name", f"{link}-in")
        if made.returncode == 0:
            return number
        said = made.stderr.strip()
        if "exists" not in said:
            break
    raise RuntimeError(f"no network device can be made for a cluster: {said}")


def open_room(layout: Layout, tied: bool) -> subprocess.Popen[bytes]:
    """The first process of a new room, with its network and mounts. Tied: ends when its stdin is closed."""
    first = [
        sys.executable,
        "-I",
        "-B",
        str(Path(__file__).with_name("first.py")),
        *(["--tied"] if tied else []),
    ]
    namespaces = ["--net", "--mount", "--pid", "--ipc", "--fork", "--mount-proc"]
    with layout.log("room").open("ab") as log:
        return subprocess.Popen(
            ["unshare", *namespaces, *first],
            stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def furnish(layout: Layout, first: int) -> None:
    """Network, mounts and cgroups of a room whose first process is `first`."""
    _join_network(layout, first)
    _mount(layout, first)
    for place in _hierarchies():
        _make_cgroup(place / layout.cgroup)


def first_process(holder: int) -> int:
    """The number, on the machine, of the first process in the room that `unshare` holds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
        if children and b"first.py" in Path(f"/proc/{children[0]}/cmdline").read_bytes():
            return int(children[0])
        time.sleep(0.01)  # it announces nothing
    raise RuntimeError("unshare made no room; its log says why")


def enter(first: int, words: Sequence[str]) -> list[str]:
    """The command that runs `words` inside of the room."""
    return ["nsenter", "--target", str(first), "--net", "--mount", "--pid", "--ipc", "--", *words]


def processes(first: int) -> dict[int, list[str]]:
    """Everything that runs in the room: number on the machine, and command line."""
    found: dict[int, list[str]] = {}
    with contextlib.suppress(FileNotFoundError):
        room = os.readlink(f"/proc/{first}/ns/pid")
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if os.readlink(path / "ns/pid") == room:
                    line = (path / "cmdline").read_bytes().decode(errors="replace")
                    found[int(path.name)] = line.rstrip("\0").split("\0")
    return found


def close_room(layout: Layout, first: int) -> None:
    """End everything of the room and remove what the kernel does not. Nothing happens when it is gone."""
    if first and (inside := processes(first)):
        os.kill(first, signal.SIGKILL)
        _wake_buriers(inside)
        end = time.monotonic() + 30
        while any(Path(f"/proc/{number}").exists() and not dead(number) for number in inside):
            if time.monotonic() > end:
                raise RuntimeError(f"processes of the cluster in {layout.directory} do not end")
            time.sleep(0.02)  # the kernel ends them
    _run("ip", "link", "del", layout.link)
    for place in _hierarchies():
        _remove_cgroup(place / layout.cgroup)


def _wake_buriers(inside: Collection[int]) -> None:
    """An nsenter stands still with its program and stays so; it has to bury it before a room can end."""
    for number in inside:
        with contextlib.suppress(OSError):
            burier = int(_stat(number)[1])
            if b"nsenter" in Path(f"/proc/{burier}/cmdline").read_bytes():
                os.kill(burier, signal.SIGCONT)


def _stat(number: int) -> list[str]:
    """State, parent and so on: proc(5), from the third field on."""
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()


def dead(number: int) -> bool:
    """Has this process ended, buried or not?"""
    with contextlib.suppress(OSError):
        return _stat(number)[0] in "ZX"
    return True


def _fence(layout: Layout) -> None:
    """Without the link its addresses are unreachable, and not a matter of the machine's default route."""
    for network in layout.networks:
        _must("ip", "route", "replace", "unreachable", network, "metric", str(_LAST))


def _join_network(layout: Layout, first: int) -> None:
    inner, node, host = f"{layout.link}-in", layout.node_address, layout.host_address
    _must("ip", "link", "set", inner, "netns", str(first))
    _must("ip", "addr", "add", f"{host}/30", "dev", layout.link)
    _must("ip", "link", "set", layout.link, "up")
    for words in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "addr", "add", f"{node}/30", "dev", inner],
        ["ip", "link", "set", inner, "up"],
        ["ip", "addr", "add", f"{layout.names_address}/32", "dev", "lo"],
        # There is no other route: nothing of a cluster leaves the machine.
        ["ip", "route", "add", layout.services, "dev", "lo", "src", node],
        [
            "sh",
            "-c",
            "echo 1 >/proc/sys/net/ipv4/ip_forward && echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter",
        ],
    ):
        _must(*enter(first, words))
    for network in (layout.pods, layout.services):
        _must("ip", "route", "add", network, "via", node)


def _mount(layout: Layout, first: int) -> None:
    """What programs write to fixed places of the machine goes to the cluster's directory, or nowhere."""
    here = layout.directory
    script = f"""set -e
mount --make-rshared /
mkdir -p /run/containerd /var/lib/cni {here}/var-log {here}/etcd
mount --bind {here}/var-log /var/log
mount -t tmpfs -o mode=0711 tmpfs /run/containerd
mount -t tmpfs -o mode=0711 tmpfs /var/lib/cni
mount -t tmpfs -o mode=0700 tmpfs {here}/etcd
"""  # in memory: etcd waits for the disk at every write
    _must(*enter(first, ["sh", "-c", script]))


def _hierarchies() -> list[Path]:
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return [top]
    return [place for place in top.iterdir() if place.is_dir() and not place.is_symlink()]


def _make_cgroup(place: Path) -> None:
    place.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        # In version 1 a new cpuset is empty, and nothing can run in it.
        if (place / "cgroup.clone_children").exists() and (place / name).exists():
            (place / name).write_text((place.parent / name).read_text())


def _remove_cgroup(place: Path) -> None:
    end = time.monotonic() + 10
    while place.exists():
        for below in sorted(place.rglob("*/"), reverse=True):
            with contextlib.suppress(OSError):  # the dead leave it a moment later
                below.rmdir()
        with contextlib.suppress(OSError):
            place.rmdir()
        if time.monotonic() > end:
            raise RuntimeError(f"{place} cannot be removed: something still runs in it")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _must(*words: str) -> None:
    done = _run(*words)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr.strip()}")
