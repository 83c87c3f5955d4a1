"""What may an admin's settings and hooks change about a pod? The difference of two manifests, judged. Pure.

Law: what is not known to be harmless is refused by its path; a difference can only add, never take away.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import ConfigurationError
from ..names import LABEL_OWNER
from .pod_notes import may_ask
from .profile_fields import shown

__all__ = ["kube_overlay"]

_EGRESS = 'Allow the name in the profile (egress: ["NAME:PORT"]); internal_services of setup_hub maps it.'
_CONTAINERS = "The containers are the launcher's: use c.Spawner.environment, the profile's limits, the image."
_CLOSED = "Leave it out; every sandbox has the closed value."
_WAYS = {
    "containers": _CONTAINERS,
    "initContainers": _CONTAINERS,
    "ephemeralContainers": _CONTAINERS,
    "volumes": "List data in the profiles file (datasets); homes are the launcher's.",
    "dnsConfig": _EGRESS,
    "dnsPolicy": _EGRESS,
    "hostAliases": _EGRESS,
    "hostNetwork": _EGRESS,
    "nodeName": "Use node_selector or node affinity: the scheduler has to see quotas and taints.",
    "runtimeClassName": 'Use setup_hub(c, kubernetes={"runtime_classes": {...}}) and the profile\'s runtime.',
    "serviceAccountName": "A sandbox has no identity in the cluster.",
    "automountServiceAccountToken": "A sandbox has no identity in the cluster.",
}
# Fields of a pod that say where and how eagerly it runs, and nothing of what it may do.
_HARMLESS = (
    *("affinity", "imagePullSecrets", "nodeSelector", "priorityClassName", "schedulerName", "tolerations"),
    *("topologySpreadConstraints",),
)
_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}")
_LABEL = re.compile(rf"({_NAME})?")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def kube_overlay(
    before: Mapping[str, Any], after: Mapping[str, Any], listed: Collection[str] = ()
) -> dict[str, Any]:
    """What `after` has and `before` has not, as a fragment of a pod's manifest for the launcher to merge.

    `listed` are annotations that the site lets pass; the launcher has a list of its own.
    Raises ConfigurationError `kubernetes.setting_refused` with the path of what is not harmless or missing.
    """
    for part in ("metadata", "spec"):
        _refuse_gone(part, before.get(part) or {}, after.get(part) or {})
    other = {name for name in after if after[name] != before.get(name)} - {"metadata", "spec"}
    for name in sorted(other):
        raise _refused(name, after[name], _CLOSED)
    found = {
        "metadata": _metadata(before.get("metadata") or {}, after.get("metadata") or {}, listed),
        "spec": _spec(before.get("spec") or {}, after.get("spec") or {}),
    }
    return {name: part for name, part in found.items() if part}


def _refuse_gone(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name in before:
        if name not in after:
            raise _refused(f"{path}.{name}", None, "A hook may add to a pod and take nothing away.")


def _metadata(before: Mapping[str, Any], after: Mapping[str, Any], listed: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in after.items():
        if value == before.get(name):
            continue
        if name == "labels":
            found[name] = _labels(_added("metadata.labels", before.get(name) or {}, value))
        elif name == "annotations":
            added = _added("metadata.annotations", before.get(name) or {}, value)
            found[name] = _annotations(added, listed)
        else:
            raise _refused(f"metadata.{name}", value, "Names and owners of pods are the launcher's.")
    return found


def _spec(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in after.items():
        if value == before.get(name):
            continue
        if name not in _HARMLESS:
            raise _refused(f"spec.{name}", value, _WAYS.get(name, _CLOSED))
        found[name] = value
    _check_names(found)
    return found


def _check_names(found: Mapping[str, Any]) -> None:
    priority = str(found.get("priorityClassName", ""))
    if priority.startswith("system-"):
        raise _refused("spec.priorityClassName", priority, "Those are for what a node lives on.")
    for secret in found.get("imagePullSecrets", ()):
        if not isinstance(secret, Mapping) or set(secret) != {"name"} or not _is_name(secret["name"]):
            raise _refused("spec.imagePullSecrets", secret, 'Write names: ["registry-key"].')
    for name, value in (found.get("nodeSelector") or {}).items():
        if not _KEY.fullmatch(str(name)) or not isinstance(value, str) or not _LABEL.fullmatch(value):
            raise _refused(f"spec.nodeSelector[{name!r}]", value, "Write a node's label and its value.")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _DNS_NAME.fullmatch(value) is not None


def _added(path: str, before: Mapping[str, Any], after: Any) -> dict[str, str]:
    if not isinstance(after, Mapping):
        raise _refused(path, after, "Write names with their values.")
    _refuse_gone(path, before, after)
    return {str(name): value for name, value in after.items() if before.get(name) != value}


def _labels(added: Mapping[str, Any]) -> dict[str, str]:
    for name, value in added.items():
        if _is_ours(name) or not _KEY.fullmatch(name):
            raise _refused(f"metadata.labels[{name!r}]", value, f"Write names that are not {LABEL_OWNER}.")
        if not isinstance(value, str) or len(value) > 63 or not _LABEL.fullmatch(value):
            raise _refused(
                f"metadata.labels[{name!r}]", value, "Write up to 63 letters, digits, - _ and dots."
            )
    return dict(added)


def _annotations(added: Mapping[str, Any], listed: Collection[str]) -> dict[str, str]:
    for name, value in added.items():
        if _is_ours(name) or not _KEY.fullmatch(name) or not isinstance(value, str):
            raise _refused(f"metadata.annotations[{name!r}]", value, f"Write texts, not {LABEL_OWNER}'s.")
        if not may_ask(name, listed):
            way = (
                "An annotation can give a pod a network or another runtime. Use one of your own domain, and"
                " list it in pod_annotations of setup_hub(c, kubernetes=...)."
            )
            raise _refused(f"metadata.annotations[{name!r}]", value, way)
    return dict(added)


def _is_ours(name: str) -> bool:
    return name.startswith(LABEL_OWNER)


def _refused(path: str, value: Any, way: str) -> ConfigurationError:
    what = "is taken away" if value is None else f"= {shown(value)}"
    return ConfigurationError(
        f"A setting or hook of KubeSpawner changes the pod: {path} {what}; it would open the sandbox"
        " or is not known to be harmless.",
        code="kubernetes.setting_refused",
        field=path,
        remedy=way,
    )
