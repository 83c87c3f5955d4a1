"""Which part of the cgroup tree was handed to us, where the whole of it is root's? Asked by an ordinary user.

Law: on v2 a cgroup with children has no processes of its own, so ours move into a leaf first.
ref: cgroups(7), "no internal processes" rule; systemd.resource-control(5) Delegate=
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["delegated", "make_room", "own_cgroup"]

LEAF = "jupyter-sandbox-programs"
_NEEDED = ("memory", "pids", "cpu")


def own_cgroup(text: str) -> str:
    """The one cgroup that /proc/self/cgroup names for what the limits need; "" if the hierarchies differ."""
    lines = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    named = {name: path for _, names, path in lines for name in names.split(",")}
    v1 = {named.get(name, "") for name in _NEEDED}
    found = named.get("", "") if v1 == {""} else v1.pop() if len(v1) == 1 else ""
    return found.removesuffix(f"/{LEAF}").rstrip("/")


def delegated(root: str, text: str) -> str:
    """Our own cgroup, if we may make others in it in every hierarchy; else ""."""
    below = own_cgroup(text)
    places = _hierarchies(Path(root), below) if below else ()
    return below if places and all(os.access(place, os.W_OK) for place in places) else ""


def make_room(root: str, below: str) -> None:
    """On v2: move the processes of a cgroup into a leaf. Raises OSError where the kernel refuses."""
    top = Path(root, below.lstrip("/"))
    if not (Path(root) / "cgroup.controllers").exists():
        return
    (top / LEAF).mkdir(exist_ok=True)
    for pid in (top / "cgroup.procs").read_text().split():
        (top / LEAF / "cgroup.procs").write_text(pid)


def _hierarchies(root: Path, below: str) -> Sequence[Path]:
    if (root / "cgroup.controllers").exists():
        return [root / below.lstrip("/")]
    # The runtime makes its cgroup in every hierarchy of v1 and fails where one of them is closed.
    tops = [place for place in root.iterdir() if place.is_dir() and not place.is_symlink()]
    return [place / below.lstrip("/") for place in tops if place.name != "unified"]
