"""What does a CDI spec say of its devices: which nodes, mounts and variables belong to each?

Law: a spec is read whole or refused whole; what a device needs beyond nodes, read-only mounts and variables
is kept as an obstacle, for those who would have to do it themselves.
ref: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from ..errors import ConfigurationError
from .profile_fields import is_reserved, shown

__all__ = ["CdiDevice", "CdiMount", "CdiNode", "Edits", "clashes", "read_cdi"]

KIND_NOTE, PARENT_NOTE = "jupyter-sandbox/kind", "jupyter-sandbox/parent"
_VERSION = re.compile(r"(0\.[3-9]|1\.[0-9]+)\.[0-9]+")
_KIND = re.compile(r"[a-z0-9][a-z0-9.-]*/[A-Za-z][A-Za-z0-9_.-]*", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
_OWN_KIND = re.compile(r"[a-z0-9][a-z0-9.-]*")
_SPEC = ("cdiVersion", "kind", "annotations", "devices", "containerEdits")
_DEVICE = ("name", "annotations", "containerEdits")
_EDITS = ("env", "deviceNodes", "hooks", "mounts", "intelRdt", "additionalGids", "netDevices")
_NODE = ("path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid")
_MOUNT = ("hostPath", "containerPath", "options", "type")
# What every sandbox has there already.
_TAKEN = re.compile(r"/dev/(null|zero|full|u?random|tty|console|ptmx|(pts|shm|fd|mqueue)(/.*)?|std.*|core)")
_OURS = re.compile(r"/((proc|sys|dev|tmp|home|run/sandbox|run/jupyter)(/.*)?)?")


@dataclass(frozen=True, kw_only=True)
class CdiNode:
    """A character device of the host at `source`, to be seen at `target`; None: as the host's node says."""

    source: str
    target: str
    major: int | None = None
    minor: int | None = None
    access: str = "rw"


@dataclass(frozen=True, kw_only=True)
class CdiMount:
    """A file or directory of the host that a device's programs need."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What changes in a container; `hooks` and `obstacles` say in words what cannot be done by us."""

    nodes: tuple[CdiNode, ...] = ()
    mounts: tuple[CdiMount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()

    def __add__(self, more: Edits) -> Edits:
        """These and then those; what both say is said once."""
        return Edits(
            nodes=tuple(dict.fromkeys((*self.nodes, *more.nodes))),
            mounts=tuple(dict.fromkeys((*self.mounts, *more.mounts))),
            environment={**self.environment, **more.environment},
            hooks=tuple(dict.fromkeys((*self.hooks, *more.hooks))),
            obstacles=tuple(dict.fromkeys((*self.obstacles, *more.obstacles))),
        )


@dataclass(frozen=True, kw_only=True)
class CdiDevice:
    """One device: `cdi` is its qualified name; `own` are its edits without those of the whole spec."""

    cdi: str
    name: str
    own: Edits
    common: Edits
    kind: str = "gpu"
    parent: str = ""


def read_cdi(document: Any, file: str) -> tuple[CdiDevice, ...]:
    """The devices of a spec but `all`. Raises ConfigurationError `gpu.cdi_invalid`: file, field, remedy."""
    reading = _Reading(file)
    spec = reading.mapping(document, "", _SPEC)
    reading.text(spec, "", "cdiVersion", _VERSION)
    kind = reading.text(spec, "", "kind", _KIND)
    common = reading.edits(spec.get("containerEdits", {}), "containerEdits")
    found: dict[str, CdiDevice] = {}
    for number, item in enumerate(reading.list(spec, "", "devices")):
        place = f"devices[{number}]"
        device = reading.mapping(item, place, _DEVICE)
        name = reading.text(device, place, "name", _NAME)
        if name in found:
            raise reading.wrong(f"{place}.name", name, "is there twice")
        own = reading.edits(device.get("containerEdits", {}), f"{place}.containerEdits")
        notes = reading.notes(spec, "") | reading.notes(device, place)
        own_kind, parent = notes.get(KIND_NOTE, "gpu"), notes.get(PARENT_NOTE, "")
        if not _OWN_KIND.fullmatch(own_kind):
            raise reading.wrong(f"{place}.annotations", own_kind, "is not a kind")
        found[name] = CdiDevice(
            cdi=f"{kind}={name}", name=name, own=own, common=common, kind=own_kind, parent=parent
        )
    return tuple(device for name, device in found.items() if name != "all")


def clashes(devices: Sequence[CdiDevice], same: Callable[[CdiNode], Hashable]) -> dict[str, str]:
    """By qualified name, why a device is nobody's alone: it has a node that another one has too.

    `same` gives what is equal for two nodes that are one device. Parts of one GPU share that GPU's node.
    """
    found: dict[str, str] = {}
    for one in devices:
        for other in devices:
            shared = _shared(one, other, same) if one is not other else ""
            if shared:
                found.setdefault(one.cdi, f"{one.cdi} shares {shared} with {other.cdi}")
    return found


def _shared(one: CdiDevice, other: CdiDevice, same: Callable[[CdiNode], Hashable]) -> str:
    theirs = {same(node) for node in other.own.nodes}
    mine = {same(node): node.source for node in one.own.nodes}
    both = [source for key, source in mine.items() if key in theirs]
    siblings = one.kind.startswith("mig-") and other.kind.startswith("mig-") and one.parent == other.parent
    if siblings and one.parent and mine.keys() != theirs:
        return ""
    return both[0] if both else ""


class _Reading:
    """One file on its way into values; every complaint names file and field."""

    def __init__(self, file: str) -> None:
        self._file = file

    def wrong(self, place: str, value: Any, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._file}: {place or 'the spec'}: {shown(value)} {what}.",
            code="gpu.cdi_invalid",
            field=place,
            remedy="Make it anew: nvidia-ctk cdi generate --output FILE",
        )

    def mapping(self, value: Any, place: str, known: Iterable[str]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(place, value, "is not a mapping")
        for key in value:
            if key not in known:
                raise self.wrong(
                    f"{place}.{key}".lstrip("."), value[key], "is a field that nobody knows here"
                )
        return value

    def text(self, holder: Mapping[str, Any], place: str, key: str, pattern: re.Pattern[str]) -> str:
        value, where = holder.get(key), f"{place}.{key}".lstrip(".")
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.wrong(where, value, "is not what may stand there")
        return value

    def list(self, holder: Mapping[str, Any], place: str, key: str) -> Sequence[Any]:
        value = holder.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(f"{place}.{key}".lstrip("."), value, "is not a list")
        return value

    def notes(self, holder: Mapping[str, Any], place: str) -> dict[str, str]:
        value = holder.get("annotations") or {}
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self.wrong(f"{place}.annotations".lstrip("."), value, "is not a mapping of texts")
        return dict(value)

    def path(self, value: Any, place: str) -> str:
        if (
            not isinstance(value, str)
            or not value.startswith("/")
            or normpath(value) != value
            or "\0" in value
        ):
            raise self.wrong(place, value, "is not a plain absolute path")
        return value

    def edits(self, value: Any, place: str) -> Edits:
        found = self.mapping(value, place, _EDITS)
        nodes = [
            self._node(item, f"{place}.deviceNodes[{number}]")
            for number, item in enumerate(self.list(found, place, "deviceNodes"))
        ]
        mounts = [
            self._mount(item, f"{place}.mounts[{number}]")
            for number, item in enumerate(self.list(found, place, "mounts"))
        ]
        hooks = [self._hook(item, f"{place}.hooks") for item in self.list(found, place, "hooks")]
        more = [f"it wants {key}" for key in ("intelRdt", "additionalGids", "netDevices") if found.get(key)]
        environment = self._environment(found, place)
        more += [f"it sets {name}" for name in environment if is_reserved(name)]
        return Edits(
            nodes=tuple(nodes),
            mounts=tuple(mounts),
            environment=environment,
            hooks=tuple(hooks),
            obstacles=tuple(more),
        )

    def _hook(self, item: Any, place: str) -> str:
        if not isinstance(item, dict) or not isinstance(item.get("path"), str):
            raise self.wrong(place, item, "is not a hook")
        words = item.get("args") or []
        return (
            " ".join(str(word) for word in words[:3]) if isinstance(words, list) and words else item["path"]
        )

    def _environment(self, found: Mapping[str, Any], place: str) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for item in self.list(found, place, "env"):
            name, sign, text = item.partition("=") if isinstance(item, str) else ("", "", "")
            if not sign or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or "\0" in text:
                raise self.wrong(f"{place}.env", item, "is not NAME=value")
            pairs[name] = text
        # Which GPUs there are is said by us, to every sandbox.
        pairs.pop("NVIDIA_VISIBLE_DEVICES", None)
        return pairs

    def _node(self, item: Any, place: str) -> CdiNode:
        node = self.mapping(item, place, _NODE)
        target = self.path(node.get("path"), f"{place}.path")
        if not target.startswith("/dev/") or _TAKEN.fullmatch(target):
            raise self.wrong(f"{place}.path", target, "is not a place for a device of its own below /dev")
        kind = node.get("type", "c") or "c"
        if kind not in ("c", "u"):
            raise self.wrong(f"{place}.type", kind, "is not a character device (c), and no other is given")
        numbers = [node.get(key) for key in ("major", "minor")]
        if any(not isinstance(item, int) or isinstance(item, bool) or item < 0 for item in numbers if item):
            raise self.wrong(f"{place}.major", numbers, "are not the numbers of a device")
        permissions = node.get("permissions") or "rw"
        if not isinstance(permissions, str) or not re.fullmatch(r"[rwm]+", permissions):
            raise self.wrong(f"{place}.permissions", permissions, "is not made of r, w and m")
        return CdiNode(
            source=self.path(node.get("hostPath") or target, f"{place}.hostPath"),
            target=target,
            major=numbers[0],
            minor=numbers[1],
            # Never m: a sandbox makes no node.
            access="".join(letter for letter in "rw" if letter in permissions),
        )

    def _mount(self, item: Any, place: str) -> CdiMount:
        mount = self.mapping(item, place, _MOUNT)
        if mount.get("type", "bind") not in ("", "bind", "none"):
            raise self.wrong(f"{place}.type", mount["type"], "is not a bind mount, and no other is made")
        self.list(mount, place, "options")
        target = self.path(mount.get("containerPath"), f"{place}.containerPath")
        if _OURS.fullmatch(target):
            raise self.wrong(f"{place}.containerPath", target, "is a place of the sandbox itself")
        return CdiMount(source=self.path(mount.get("hostPath"), f"{place}.hostPath"), target=target)
