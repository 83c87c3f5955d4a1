"""Which CDI specs lie in the site's directories, and what are their nodes here? One bad file is left out.

Law: a spec that others than root may write is not read: it says which devices enter a sandbox.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..backends.given import Node
from ..errors import ConfigurationError
from ..rules.cdi import CdiDevice, CdiNode, Edits, read_cdi

__all__ = ["SpecDevice", "read_directories", "real_nodes", "same_device", "without_aliases"]

_SUFFIXES = (".json", ".yaml", ".yml")
_LARGEST = 4 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class SpecDevice:
    """A device and the directory of its spec, by which a Docker daemon is known to read it too."""

    device: CdiDevice
    directory: str

    @property
    def kind(self) -> str:
        """`vendor/class`, as in `nvidia.com/gpu`."""
        return self.device.cdi.partition("=")[0]


def read_directories(directories: Sequence[str]) -> tuple[list[SpecDevice], list[str]]:
    """Every device of every readable spec, and sentences about the others.

    A later directory wins over an earlier one; within one, a device that two files have is nobody's.
    """
    found: dict[str, SpecDevice] = {}
    notes: list[str] = []
    for directory in directories:
        here: dict[str, SpecDevice] = {}
        twice: set[str] = set()
        for path in _files(directory):
            try:
                devices = read_cdi(_document(path), str(path))
            except ConfigurationError as error:
                notes.append(f"{error.message} The file is left out.")
                continue
            twice |= {device.cdi for device in devices if device.cdi in here}
            here |= {device.cdi: SpecDevice(device=device, directory=directory) for device in devices}
        notes += [f"{name} is in two files of {directory}: it is not given." for name in sorted(twice)]
        found = {name: item for name, item in {**found, **here}.items() if name not in twice}
    return list(found.values()), notes


def without_aliases(items: Sequence[SpecDevice]) -> list[SpecDevice]:
    """One name for each set of nodes, with a UUID if there is one: else a GPU could be given twice."""
    found: dict[Hashable, SpecDevice] = {}
    for item in items:
        key = frozenset(same_device(node) for node in item.device.own.nodes) or item.device.cdi
        if key not in found or item.device.name.startswith(("GPU-", "MIG-")):
            found[key] = item
    return list(found.values())


def same_device(node: CdiNode) -> Hashable:
    """What is equal for two nodes of one device: its numbers, or its path where there is none."""
    try:
        number = os.stat(node.source).st_rdev
    except OSError:
        return node.source
    return os.major(number), os.minor(number)


def real_nodes(edits: Edits) -> tuple[tuple[Node, ...], str]:
    """The nodes with the numbers they have on this host; a sentence where one is not what its spec says."""
    nodes = []
    for node in edits.nodes:
        try:
            found = os.lstat(node.source)
        except OSError as error:
            return (), f"{node.source} cannot be looked at: {error.strerror}."
        number = (os.major(found.st_rdev), os.minor(found.st_rdev))
        if not stat.S_ISCHR(found.st_mode) or os.path.realpath(node.source) != node.source:
            return (), f"{node.source} is no character device, or a link to one."
        said = zip((node.major, node.minor), number, strict=True)
        if any(one is not None and one != true for one, true in said):
            return (), f"{node.source} is {number[0]}:{number[1]}, not what its spec says."
        if not _open_to_all(found, node.access):
            return (), f"{node.source} is closed to users (mode {stat.S_IMODE(found.st_mode):04o}, not 0666)."
        nodes.append(
            Node(source=node.source, target=node.target, major=number[0], minor=number[1], access=node.access)
        )
    return tuple(nodes), ""


def _open_to_all(found: os.stat_result, access: str) -> bool:
    wanted = (stat.S_IROTH if "r" in access else 0) | (stat.S_IWOTH if "w" in access else 0)
    return found.st_mode & wanted == wanted


def _files(directory: str) -> list[Path]:
    try:
        return sorted(path for path in Path(directory).iterdir() if path.suffix in _SUFFIXES)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _document(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022 or found.st_size > _LARGEST:
                raise _unread(path, "others than root may write it, or it is larger than 4 MiB")
            text = stream.read(_LARGEST)
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _unread(path, " ".join(str(error).split())) from error


def _unread(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is not read: {why}.",
        code="gpu.cdi_invalid",
        remedy="Make it anew: nvidia-ctk cdi generate --output FILE",
    )
