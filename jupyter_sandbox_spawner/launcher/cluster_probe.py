"""Which pod is the probe? Pure: a sandbox's own manifest with another program in it, and none of its links.

Law: what closes a sandbox closes the probe by the same fields, so that it shows the truth about them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backends.kubernetes.layout import SANDBOX_LABEL, USER, Place
from ..backends.kubernetes.render import render_pod, render_policy
from ..models import Resources, SandboxSpec
from ..names import LABEL_OWNER
from . import canary_probe, pod_probe
from .proofs import CANARY

__all__ = ["PLACEMENT", "PROBE_LABEL", "placement", "probe_pod", "probe_policy", "probe_spec"]

PROBE_LABEL = f"{LABEL_OWNER}/canary"  # in place of a sandbox's: nobody's leftover
PLACEMENT = ("affinity", "nodeSelector", "priorityClassName", "schedulerName", "tolerations")
_RESOURCES = Resources(cpu=0.25, memory=256 << 20, pids=4096, tmpfs=8 << 20, tmpfs_inodes=500, shm=4 << 20)
_LEFT_OUT = ("etc", "memory", "secret")  # volumes of the link, and of a Secret that a probe has not


def probe_spec(name: str, environment: str, uid: int, runtime: str) -> SandboxSpec:
    """A sandbox of nobody's, without home and data."""
    return SandboxSpec(
        id=name,
        user=CANARY,
        server="",
        profile="canary",
        profile_digest="",
        environment_name=environment,
        host_uid=uid,
        resources=_RESOURCES,
        mounts=(),
        runtime=runtime,
    )


def placement(overlay: Mapping[str, Any]) -> dict[str, Any]:
    """What of an admin's overlay says where sandboxes run: the probe has to come to the same nodes."""
    spec = overlay.get("spec") or {}
    return {name: spec[name] for name in PLACEMENT if name in spec}


def probe_pod(
    spec: SandboxSpec, place: Place, plan: Mapping[str, Any], where: Mapping[str, Any]
) -> dict[str, Any]:
    """The pod; `where` are fields of its spec that choose a node."""
    pod = _labelled(render_pod(spec, place))
    inner = pod["spec"]
    user = next(dict(item) for item in inner["containers"] if item["name"] == USER)
    sources = [Path(str(module.__file__)).read_text() for module in (pod_probe, canary_probe)]
    user["image"] = place.cluster.link_image  # it is on every node anyway, and has a Python of ours
    user["command"] = [place.cluster.link_python, "-I", "-S", "-B", "-c", *sources, json.dumps(plan)]
    user["env"] = [
        *user["env"],
        {"name": "NODE_ADDRESSES", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIPs"}}},
    ]
    user["volumeMounts"] = [item for item in user["volumeMounts"] if item["name"] not in _LEFT_OUT]
    volumes = [item for item in inner["volumes"] if item["name"] not in _LEFT_OUT]
    del user["terminationMessagePath"]  # without a link nobody makes the directory that it lies in
    changed = {"initContainers": [], "containers": [user], "volumes": volumes, **where}
    return {**pod, "spec": {**inner, **changed}}


def probe_policy(spec: SandboxSpec, place: Place) -> dict[str, Any]:
    """Its NetworkPolicy, as a sandbox has one."""
    policy = _labelled(render_policy(spec, place.cluster, place.pods_port))
    selector = {"matchLabels": {PROBE_LABEL: spec.id}}
    return {**policy, "spec": {**policy["spec"], "podSelector": selector}}


def _labelled(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(manifest["metadata"])
    labels = {name: text for name, text in metadata["labels"].items() if name != SANDBOX_LABEL}
    metadata["labels"] = {**labels, PROBE_LABEL: metadata["name"]}
    return {**manifest, "metadata": metadata}
