"""What is told of a pod that ended? One sentence, for its user and the audit."""

from __future__ import annotations

from ...rules.pod_ends import PodView
from ..base import end_of_init, out_of_memory

__all__ = ["words_of_end"]


def words_of_end(view: PodView, phase: str, memory: int) -> str:
    """`phase` is the sandbox's before; `memory` its limit in bytes."""
    if phase == "stopping":
        return "stopped on request"
    if view.taken:
        return f"The cluster ended it: {view.taken}."
    if view.killed_for_memory:
        return out_of_memory(None, memory)
    if view.failed:
        return "The machine cannot start this server's program."
    if view.exit_code is None:
        return "its first process ended; the cluster could not tell how"
    return end_of_init(view.exit_code)
