"""What is a sandbox given of the host's devices, and who knows it? Backends ask; the launcher answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import IsolationError

__all__ = ["VISIBLE", "Given", "GpuSource", "NoGpus", "Node", "Obstacle", "refuse_gpu"]

VISIBLE = "NVIDIA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A character device of the host: where it lies, where it is seen, and how it may be used (`r`, `w`)."""

    source: str
    target: str
    major: int
    minor: int
    access: str


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why a device cannot be given: a code of docs/reference/errors.md, a sentence, the way out."""

    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The devices of one sandbox. Nothing of it comes from whoever asked for the sandbox.

    `names` are qualified CDI names, `directories` those where their specs lie; `mounts` are (source, target)
    pairs, always read-only. `obstacle`: why nodes, mounts and variables would not be all that they need.
    """

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    obstacle: Obstacle | None = None

    @property
    def known_to_driver(self) -> bool:
        """Has every device a UUID of the NVIDIA driver, by which its own container runtime gives it?"""
        return bool(self.ids) and all(name.startswith(("GPU-", "MIG-")) for name in self.ids)


class GpuSource(Protocol):
    """Whoever knows the host's devices."""

    def give(self, ids: Sequence[str]) -> Given:
        """What these devices are to a sandbox. Raises RefusedError `launcher.gpu_unknown`."""


class NoGpus:
    """A host without any: nothing is asked of it, and nothing given."""

    def give(self, ids: Sequence[str]) -> Given:
        """See GpuSource.give."""
        if ids:
            raise refuse_gpu(
                Obstacle(code="gpu.unusable", message=f"This launcher knows no device {ids[0]!r}.")
            )
        return Given()


def refuse_gpu(obstacle: Obstacle) -> IsolationError:
    """The refusal to start a sandbox whose device cannot be given as it must be."""
    return IsolationError(obstacle.message, code=obstacle.code, field="gpu_devices", remedy=obstacle.remedy)
