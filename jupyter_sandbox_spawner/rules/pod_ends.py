"""What is true of a pod now: does the user's container run, has it ended, how and why?

Law: a pod has ended when the user's container has, whatever its link still does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

__all__ = ["PodView", "view_pod", "why_gone"]

Document = Mapping[str, Any]
# Reasons of the condition DisruptionTarget and of a pod's status, in words for its user.
_TAKEN = {
    "PreemptionByScheduler": "it gave way to a more important one",
    "EvictionByEvictionAPI": "its machine is being emptied by an admin",
    "DeletionByTaintManager": "its machine was lost",
    "DeletionByPodGC": "its machine is gone",
    "Evicted": "its machine ran short of something",
    "TerminationByKubelet": "its machine ended it",
    "Terminated": "its machine was shut down",
    "NodeShutdown": "its machine was shut down",
    "NodeLost": "its machine was lost",
    "Preempting": "it gave way to a more important one",
    "UnexpectedAdmissionError": "its machine could not take it after all",
    "OutOfcpu": "its machine had no room after all",
    "OutOfmemory": "its machine had no room after all",
    "OutOfpods": "its machine had no room after all",
}
_OUT_OF_SPACE = "it filled the disk that its machine gives it"


@dataclass(frozen=True, kw_only=True)
class PodView:
    """`taken`: why the cluster ended it, "" where it did not; `killed_for_memory`: by the kernel.

    `failed` where its program never ran. `admin` is what the cluster said.
    """

    state: Literal["pending", "running", "over"]
    exit_code: int | None = None
    started_at: datetime | None = None
    killed_for_memory: bool = False
    failed: bool = False
    taken: str = ""
    admin: str = ""
    address: str = ""
    node: str = ""
    deleting: bool = False


def view_pod(pod: Document, container: str, peer: str = "") -> PodView:
    """What a pod's own words say of its container of this name.

    `peer` is whom it dials: of two addresses it has the one of that family, from which it will come.
    """
    status: Document = pod.get("status") or {}
    found: Document = next(
        (item for item in status.get("containerStatuses") or () if item.get("name") == container), {}
    )
    state: Document = found.get("state") or {}
    terminated, running = state.get("terminated"), state.get("running")
    taken, admin = _taken(status)
    over = terminated is not None or status.get("phase") in ("Failed", "Succeeded")
    ended: Document = terminated or {}
    reason = str(ended.get("reason", ""))
    code = ended.get("exitCode")
    unknown = reason == "ContainerStatusUnknown"
    began = (running or ended).get("startedAt")
    return PodView(
        state="over" if over else "running" if running is not None else "pending",
        exit_code=int(code) if code is not None and not unknown else None,
        started_at=_time(began),
        killed_for_memory=reason == "OOMKilled",
        failed=over and (reason in ("StartError", "ContainerCannotRun") or terminated is None),
        taken=taken,
        admin=" ".join(str(ended.get("message") or admin).split())[:600],
        address=_address(status, peer),
        node=str((pod.get("spec") or {}).get("nodeName") or ""),
        deleting=bool((pod.get("metadata") or {}).get("deletionTimestamp")),
    )


def why_gone(view: PodView | None, phase: str) -> str:
    """Why there is no pod of a sandbox in this phase."""
    if phase == "stopping":
        return "stopped on request"
    if view is not None and view.taken:
        return f"The cluster ended it: {view.taken}."
    return "Its pod was removed by somebody else."


def _address(status: Document, peer: str) -> str:
    first = str(status.get("podIP") or "")
    if not first or not peer:
        return first
    six = ":" in peer  # read with every change of every pod: no parsing
    found = [first, *(str(item.get("ip") or "") for item in status.get("podIPs") or ())]
    return next((ip for ip in found if ip and (":" in ip) == six), "")


def _taken(status: Document) -> tuple[str, str]:
    """Why the cluster takes it away, for its user and for the admin."""
    message = str(status.get("message") or "")
    reason = str(status.get("reason") or "")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            reason = reason or str(condition.get("reason") or "")
            message = message or str(condition.get("message") or "")
    if reason == "Evicted" and ("ephemeral" in message or "emptyDir" in message):
        return _OUT_OF_SPACE, message
    known = _TAKEN.get(reason, "")
    return known, f"{reason}: {message}".strip(": ")


def _time(text: Any) -> datetime | None:
    if not text:
        return None
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
