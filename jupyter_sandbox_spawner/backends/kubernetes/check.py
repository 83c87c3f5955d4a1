"""Would this pod open the sandbox? Pure; refuses with one code a reason, whoever asked or changed it.

It judges the pod before it is made, with the admin's overlay in it, and the pod that the cluster made of it,
with the cluster's defaults and whatever an admission controller put there.

Law: what is not known to be closed is refused; nothing here looks at who wrote the pod.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...models import SandboxSpec
from ..oci.layout import HOSTNAME
from ..refusing import only_known, refuse
from .check_containers import check_link, check_user, check_volumes
from .layout import GRACE, LINK_UID, MOST_UID, Place, labels

__all__ = ["check"]

_METADATA = {"name", "namespace", "labels", "annotations", "ownerReferences"}
# Of the server's own making; nobody asks for them.
_MADE = {"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"}
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
    try:
        _kind(pod)
        for guard in (_identity, _spec, _life, _names, _namespaces, _account, _security):
            guard(pod, spec, place)
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
    if not labels(spec, place.site).items() <= (metadata.get("labels") or {}).items():
        raise refuse("label", "metadata.labels", "without the owner's labels nobody could stop it.")
    for owner in metadata.get("ownerReferences") or ():
        if (owner.get("kind"), owner.get("name"), bool(owner.get("controller"))) != (
            "Secret",
            spec.id,
            False,
        ):
            raise refuse("life", "metadata.ownerReferences", "only the sandbox's own Secret owns it.")
    for name in metadata.get("annotations") or {}:
        # Older clusters took the profiles of system calls and of files by annotation.
        if "seccomp" in name or "apparmor" in name:
            raise refuse("seccomp", "metadata.annotations", f"{name} would change what it may do.")


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
    never = place.cluster.host_users == "never"
    if inner.get("hostUsers") is not (False if never else inner.get("hostUsers")):
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
