"""What is told of a pod that ended, or does not? One sentence, for its user and the audit."""

from __future__ import annotations

import logging

from ...errors import BackendError
from ...rules.pod_ends import PodView
from ...rules.pod_trouble import Trouble
from ..base import end_of_init, out_of_memory
from ..records import Record

__all__ = ["require_started", "survived", "words_of_end"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")


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


def require_started(record: Record, trouble: Trouble | None) -> None:
    """Raise BackendError where its start failed or was stopped; `trouble` is what was last known of it."""
    if record.failed:
        raise BackendError(record.reason, code=trouble.code if trouble else "sandbox.start_failed")
    if record.phase == "stopping" or record.started_at is None:
        raise BackendError(f"The sandbox {record.spec.id} was stopped while it started.", code="sandbox.over")


def survived(sandbox_id: str, view: PodView | None) -> BackendError:
    """What to raise where nobody tells that it has ended; the admin's log has its node."""
    node = view.node if view else ""
    log.error("%s: its node %s does not tell that it has ended", sandbox_id, node or "(none)")
    return BackendError(
        f"The sandbox {sandbox_id} may still be alive: its machine does not answer.",
        code="sandbox.survived",
        remedy="See: kubectl get nodes. A node that is truly off is deleted, and its pods with it.",
    )
