"""Would this pod open the sandbox? Pure; refuses with one code a reason, whoever asked or changed it.

It judges the pod before it is made, with the admin's overlay in it, and the pod that the cluster made of it,
with the cluster's defaults and whatever an admission controller put there (`judge_made`).

Law: what is not known to be closed is refused; nothing here looks at who wrote the pod.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import IsolationError
from ...models import SandboxSpec
from ...names import LABEL_OWNER
from ...rules.pod_changed import way_out
from ...rules.pod_notes import may_ask, may_stand
from ..oci.layout import HOSTNAME
from ..refusing import only_known, refuse
from .check_containers import check_link, check_user, check_volumes
from .layout import GRACE, LINK_UID, MOST_UID, Place, labels, notes

__all__ = ["check", "judge_made"]

_OURS = f"{LABEL_OWNER}/"
_METADATA = {"name", "namespace", "labels", "annotations", "ownerReferences"}
# Of the server's own making; nobody asks for them.
_MADE = {"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"}
_GOING = {"deletionTimestamp", "deletionGracePeriodSeconds"}
_SYSTEM_PRIORITY = 1_000_000_000  # from here on priorities are the cluster's own
_SPEC = {
    *("restartPolicy", "automountServiceAccountToken", "enableServiceLinks", "shareProcessNamespace"),
    *("hostname", "dnsPolicy", "dnsConfig", "terminationGracePeriodSeconds", "securityContext"),
    *("initContainers", "containers", "volumes", "hostUsers", "runtimeClassName", "imagePullSecrets"),
    # Where and when it runs: harmless, and an admin's to say.
    *("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName"),
    *("priorityClassName", "priority", "preemptionPolicy", "overhead", "schedulingGates"),
    *("serviceAccountName", "serviceAccount"),
}
# Fields that each open a pod: named for a better message.
_OPENS = {
    "hostNetwork": ("network", "the node's network would be its own."),
    "hostPID": ("namespace_missing", "it would see the node's processes."),
    "hostIPC": ("namespace_missing", "it would share the node's memory."),
    "hostAliases": ("dns", "names inside are the egress door's to resolve."),
    "ephemeralContainers": ("containers", "a third container would see what the link has."),
    "nodeName": ("unknown_field", "the scheduler would not be asked. Use nodeSelector or affinity."),
    "activeDeadlineSeconds": ("life", "the launcher alone ends it."),
    "setHostnameAsFQDN": ("host_name", "it would be told where it is."),
    "subdomain": ("host_name", "it would get a name that others can look up."),
    "resourceClaims": ("devices", "no device enters a sandbox but those it was given."),
    "readinessGates": ("unknown_field", "nothing waits for them."),
    "resources": ("limit", "limits are the containers'."),
}


def check(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    """Refuse a pod that differs from a closed sandbox for this spec in this place.

    Raises IsolationError; its code names the guard, its field the place in the manifest.
    """
    _check(pod, spec, place, made=False)


def judge_made(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    """The same about a pod that the cluster has, wherever it is in its life.

    Raises IsolationError as `check`; it says who may have changed the pod.
    """
    try:
        _check(pod, spec, place, made=True)
    except IsolationError as error:
        raise IsolationError(
            f"The cluster changed this server's pod on its way in. {error.message}",
            code=error.code,
            field=error.field,
            remedy=way_out(error.code, place.cluster.namespace),
        ) from error


def _check(pod: Mapping[str, Any], spec: SandboxSpec, place: Place, made: bool) -> None:
    try:
        _kind(pod)
        _notes(pod, spec, place, made)
        for guard in (_identity, _spec, _urgency, _life, _names, _namespaces, _account, _security):
            guard(_before_its_life(pod) if made else pod, spec, place)
        inner: Mapping[str, Any] = pod["spec"]
        check_volumes(inner.get("volumes") or [], spec, place)
        links, users = inner.get("initContainers") or [], inner.get("containers") or []
        if len(links) != 1 or len(users) != 1:
            text = "a pod has the user's container and its link, and no other."
            raise refuse("containers", "spec.containers", text)
        check_link(links[0], spec, place)
        check_user(users[0], spec, place)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise refuse("malformed", "pod", f"it has another shape than a pod's ({error}).") from error


def _before_its_life(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod without what the scheduler, and whoever ended it, has noted on it."""
    metadata = {name: value for name, value in pod["metadata"].items() if name not in _GOING}
    inner = {name: value for name, value in pod["spec"].items() if name != "nodeName"}
    return {**pod, "metadata": metadata, "spec": inner}


def _kind(pod: Mapping[str, Any]) -> None:
    only_known(pod, {"apiVersion", "kind", "metadata", "spec", "status"}, "")
    if (pod.get("apiVersion"), pod.get("kind")) != ("v1", "Pod"):
        raise refuse("malformed", "kind", "it is no pod.")


def _identity(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    metadata: Mapping[str, Any] = pod["metadata"]
    only_known(metadata, _METADATA | _MADE, "metadata.")
    if (metadata.get("name"), metadata.get("namespace")) != (spec.id, place.cluster.namespace):
        text = f"it must be {spec.id} in {place.cluster.namespace}."
        raise refuse("label", "metadata.name", text)
    found: Mapping[str, str] = metadata.get("labels") or {}
    if {name: text for name, text in found.items() if name.startswith(_OURS)} != labels(spec, place.site):
        text = f"those of {LABEL_OWNER} say whose it is, and nobody adds one."
        raise refuse("label", "metadata.labels", text)
    for owner in metadata.get("ownerReferences") or ():
        if (owner.get("kind"), owner.get("name"), bool(owner.get("controller"))) != (
            "Secret",
            spec.id,
            False,
        ):
            raise refuse("life", "metadata.ownerReferences", "only the sandbox's own Secret owns it.")


def _notes(pod: Mapping[str, Any], spec: SandboxSpec, place: Place, made: bool) -> None:
    found: Mapping[str, Any] = pod["metadata"].get("annotations") or {}
    for name in found:
        # Older clusters took the profiles of system calls and of files by annotation.
        if "seccomp" in name or "apparmor" in name:
            raise refuse("seccomp", "metadata.annotations", f"{name} would change what it may do.")
        passes = may_stand if made else may_ask
        if not name.startswith(_OURS) and not passes(name, place.cluster.pod_annotations):
            text = f"{name} can give it another network or runtime, or is not in the site's pod_annotations."
            raise refuse("annotation", "metadata.annotations", text)
    if {name: text for name, text in found.items() if name.startswith(_OURS)} != notes(spec):
        raise refuse("label", "metadata.annotations", f"those of {LABEL_OWNER} say whose it is.")


def _urgency(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    inner: Mapping[str, Any] = pod["spec"]
    text = "it would push out what the nodes and other users live on."
    if str(inner.get("priorityClassName") or "").startswith("system-"):
        raise refuse("priority", "spec.priorityClassName", text)
    if int(inner.get("priority") or 0) >= _SYSTEM_PRIORITY:
        raise refuse("priority", "spec.priority", text)


def _spec(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    inner: Mapping[str, Any] = pod["spec"]
    for name, (code, why) in _OPENS.items():
        if inner.get(name):
            raise refuse(code, f"spec.{name}", why)
    only_known(inner, _SPEC | set(_OPENS), "spec.")
    known = set(place.cluster.pull_secrets)
    if not known <= {item.get("name") for item in inner.get("imagePullSecrets") or []}:
        raise refuse("image", "spec.imagePullSecrets", f"it must have {', '.join(sorted(known))}.")
    if not place.gpus.nodes.items() <= (inner.get("nodeSelector") or {}).items():
        raise refuse("devices", "spec.nodeSelector", "it would run where another kind of device is.")


def _life(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    inner = pod["spec"]
    if inner.get("restartPolicy") != "Never" or inner.get("terminationGracePeriodSeconds") != GRACE:
        raise refuse("life", "spec.restartPolicy", "the launcher alone starts and ends it.")


def _names(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    inner = pod["spec"]
    if inner.get("dnsPolicy") != "None" or inner.get("dnsConfig") != {"nameservers": ["127.0.0.1"]}:
        raise refuse("dns", "spec.dnsPolicy", "no question for a name may leave the sandbox.")
    if inner.get("hostname") != HOSTNAME:
        raise refuse("host_name", "spec.hostname", f"it must be {HOSTNAME!r}.")


def _namespaces(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    inner = pod["spec"]
    if inner.get("shareProcessNamespace") is not False:
        text = "the user's container would see the link's processes."
        raise refuse("namespace_missing", "spec.shareProcessNamespace", text)
    if place.cluster.host_users == "never" and inner.get("hostUsers") is not False:
        raise refuse("namespace_missing", "spec.hostUsers", "it must be false: uids inside are nobody's.")
    if (inner.get("runtimeClassName") or "") != place.runtime_class:
        wanted = place.runtime_class or "none"
        raise refuse("runtime", "spec.runtimeClassName", f"it must be {wanted}, which the profile names.")


def _account(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    inner = pod["spec"]
    if inner.get("automountServiceAccountToken") is not False:
        text = "it must be false: the API of the cluster is not for users."
        raise refuse("service_account", "spec.automountServiceAccountToken", text)
    for name in ("serviceAccountName", "serviceAccount"):
        if inner.get(name, "default") != "default":
            raise refuse("service_account", f"spec.{name}", "a sandbox has no account of the cluster.")
    if inner.get("enableServiceLinks") is not False:
        raise refuse("environment", "spec.enableServiceLinks", "it would be told who else is there.")


def _security(pod: Mapping[str, Any], spec: SandboxSpec, place: Place) -> None:
    if spec.host_uid < 1 or (place.cluster.host_users == "never" and spec.host_uid > MOST_UID):
        most = f" and at most {MOST_UID}" if place.cluster.host_users == "never" else ""
        raise refuse("user", "spec.securityContext", f"uid {spec.host_uid} must be above 0{most}.")
    if spec.host_uid == LINK_UID:
        raise refuse("user", "spec.securityContext", f"uid {LINK_UID} is the link's.")
    expected = {
        "runAsNonRoot": True,
        "fsGroup": spec.host_uid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    found: Mapping[str, Any] = pod["spec"].get("securityContext") or {}
    codes: dict[str, Callable[[], str]] = {"seccompProfile": lambda: "seccomp"}
    for name in sorted({*expected, *found}):
        if found.get(name) != expected.get(name):
            code = codes.get(name, lambda: "user")()
            text = f"it must be {expected.get(name, 'absent')}."
            raise refuse(code, f"spec.securityContext.{name}", text)
