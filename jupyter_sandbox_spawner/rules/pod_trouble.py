"""Why does a pod not start? One sentence for its user, another for the admin, from what the cluster tells.

Law: a user reads no name of a node, of another user's object or of a registry; the admin reads the cluster's
own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .pod_words import KUBELET, LINK, PULLING, REFUSALS, SCHEDULING, Rule

__all__ = ["Trouble", "link_trouble", "pending_trouble", "refused_pod"]

Document = Mapping[str, Any]
_LONGEST = 600  # characters of the cluster's own words


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """`code` is of docs/reference/errors.md; `fatal`: waiting does not help, so that the start fails now."""

    code: str
    user: str
    admin: str
    fatal: bool = False


_PULL_REASONS = {
    "ErrImagePull",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "ImageInspectError",
    "InvalidImageName",
    "RegistryUnavailable",
}
_LINK = "link"
_NOBODY_THERE = (90, 91)  # singleuser/inside/boot.py: no door, no document
_HOPELESS = {"ErrImageNeverPull", "InvalidImageName"}
_CREATE_REASONS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
    "PostStartHookError",
}
_EVENTS = {
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
    "FailedCreatePodContainer",
}
# A kubelet that has not read a Secret yet cannot mount it, and can a moment later. Whoever says that waiting
# came to nothing has waited, and an attachment in vain is told only once.
_AT_FIRST = {"FailedMount", "FailedMapVolume"}
_WAITED = "Unable to attach or mount volumes"
_LASTING = timedelta(seconds=5)  # of trying again, after which a volume is worth a word


def refused_pod(message: str) -> Trouble | None:
    """What the API's refusal of a request means; None where nobody has thought of it. Always fatal."""
    return _first(REFUSALS, message, fatal=True)


def pending_trouble(pod: Document, events: Sequence[Document] = ()) -> Trouble | None:
    """Why a pod does not run; None where nothing is known to be wrong.

    `events` are those about the pod, in any order; what its containers and conditions say comes first.
    """
    status: Document = pod.get("status") or {}
    found = _containers(_container_statuses(status), events) or _unscheduled(status, events, _claims(pod))
    if found is not None:
        return found
    for event in sorted(events, key=_time_of, reverse=True):
        if event.get("reason") in _EVENTS and _lasts(event):
            text = f"{event['reason']} {event.get('message', '')}"
            return _first(KUBELET, text) or _first(PULLING[-1:], text)
    return None


def link_trouble(pod: Document, exit_code: int | None = None) -> Trouble | None:
    """Why a pod's link gave up; None where it did not, or was started again. Always fatal.

    `exit_code` is the user's container's. One that found nobody at its door tells that no start again helped.
    """
    statuses, again = _container_statuses(pod.get("status") or {}), exit_code in _NOBODY_THERE
    return next((found for item in statuses if (found := _first(LINK, _last_words(item, again)))), None)


def _container_statuses(status: Document) -> Iterable[Document]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _containers(statuses: Iterable[Document], events: Sequence[Document]) -> Trouble | None:
    for container in statuses:
        waiting: Document = (container.get("state") or {}).get("waiting") or {}
        reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
        found = _first(LINK, _last_words(container))
        if found is not None:
            return found
        image = str(container.get("image", ""))
        if reason in _PULL_REASONS:
            # Backing off, the kubelet tells no more what the registry had said.
            told = " ".join([message, *_told_of(events, "Failed", image)])
            found = _first(PULLING, told, fatal=reason in _HOPELESS, more=f"{image}: {message or reason}")
            if found is not None:
                return found
        if reason in _CREATE_REASONS:
            return _not_created(str(container.get("name", "")), reason, message, container)
    return None


def _last_words(container: Document, again: bool = False) -> str:
    """What a pod's link wrote as it gave up; a user's own program has no word in this.

    One that runs again may have been let in by now; where it was not, it gives up again in a moment.
    """
    state: Document = container.get("state") or {}
    if container.get("name") != _LINK or (state.get("running") is not None and not again):
        return ""
    ends = (state, container.get("lastState") or {})
    return next((str(end["terminated"].get("message", "")) for end in ends if end.get("terminated")), "")


def _not_created(name: str, reason: str, message: str, container: Document) -> Trouble:
    last: Document = (container.get("lastState") or {}).get("terminated") or {}
    why = message or f"exit status {last.get('exitCode', '?')} {last.get('message', '')}".strip()
    return Trouble(
        code="kubernetes.container_failed",
        user="The machine cannot start this server's program.",
        admin=_cut(f"The container {name}: {reason}: {why}"),
        fatal=reason not in ("CrashLoopBackOff", "PostStartHookError") and "not found" not in why,
    )


def _claims(pod: Document) -> list[str]:
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    claims = (volume.get("persistentVolumeClaim") or {} for volume in volumes)
    return [str(claim["claimName"]) for claim in claims if "claimName" in claim]


def _unscheduled(status: Document, events: Sequence[Document], claims: Sequence[str]) -> Trouble | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            text = str(condition.get("message") or " ".join(_told_of(events, "FailedScheduling", "")))
            found = _first(SCHEDULING, text, more=f"{', '.join(claims)}: {text}" if claims else "")
            return found or Trouble(
                code="kubernetes.no_node",
                user="No machine fits this server now.",
                admin=_cut(f"The scheduler has no node: {text or condition.get('reason', '')}"),
            )
    return None


def _told_of(events: Sequence[Document], reason: str, about: str) -> list[str]:
    return [
        str(event.get("message", ""))
        for event in events
        if event.get("reason") == reason and about in str(event.get("message", ""))
    ]


def _first(rules: Sequence[Rule], text: str, fatal: bool = False, more: str = "") -> Trouble | None:
    for rule in rules if text else ():
        found = re.search(rule.text, text)
        if found is not None:
            named = [group for group in found.groups() if group]
            admin = f"{rule.admin.format(*named)} {more or text}"
            return Trouble(code=rule.code, user=rule.user, admin=_cut(admin), fatal=fatal or rule.fatal)
    return None


def _time_of(event: Document) -> str:
    series: Document = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def _lasts(event: Document) -> bool:
    """Is it worth a word, or may the next try succeed?"""
    if event["reason"] not in _AT_FIRST or _WAITED in str(event.get("message", "")):
        return True
    first, last = str(event.get("firstTimestamp") or event.get("eventTime") or ""), _time_of(event)
    if not first or not last:
        return False
    # Python 3.10 does not read the Z.
    began, now = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (first, last))
    return now - began >= _LASTING


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 3] + "..."
