"""Is a device one that a running sandbox has under another name? Names change with what is installed.

Law: where it cannot be told, nothing of that kind is given until the sandbox has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import RefusedError

__all__ = ["NVIDIA", "Piece", "refuse_overlap"]

NVIDIA = "nvidia.com/gpu"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A device by name; `kind` is `vendor/class`, `nodes` its own nodes, none where no spec says."""

    name: str
    kind: str
    nodes: frozenset[Hashable] = frozenset()


def refuse_overlap(
    asked: Collection[str], known: Sequence[Piece], specs: Sequence[Piece], holders: Mapping[str, str]
) -> None:
    """Refuse a device that could be one of those that sandboxes have under names that are not known any more.

    `known` are the devices that there are, by id; `specs` those of the CDI specs, by CDI name. Two known
    devices are never one. Raises RefusedError `launcher.gpu_taken`.
    """
    names = {piece.name for piece in known}
    counts = Counter(node for piece in known for node in piece.nodes)
    shared = frozenset(node for node, count in counts.items() if count > 1)
    for held, sandbox in holders.items():
        if held in names:
            continue
        old = next((piece for piece in specs if piece.name == held), None)
        for piece in known:
            if piece.name in asked and _could_be(piece, held, old, shared):
                raise _taken(piece, held, sandbox)


def _could_be(piece: Piece, held: str, old: Piece | None, shared: frozenset[Hashable]) -> bool:
    if piece.name.startswith("GPU-") and held.startswith("GPU-"):
        return False  # two UUIDs are two GPUs, though the driver has lost one
    if old is None or not old.nodes or not piece.nodes:
        return piece.kind == (held.partition("=")[0] if "=" in held else NVIDIA)
    # The node of a GPU is shared by its parts, and says nothing where they have others.
    return bool(piece.nodes & (old.nodes - shared or old.nodes))


def _taken(piece: Piece, held: str, sandbox: str) -> RefusedError:
    return RefusedError(
        f"gpu_devices: {piece.name} could be {held}, which {sandbox} has; that name is not known any more.",
        code="launcher.gpu_taken",
        field="gpu_devices",
        remedy=f"Take it when {sandbox} has ended, or take another device.",
    )
