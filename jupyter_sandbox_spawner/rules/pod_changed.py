"""Who changes a pod on its way into the cluster, and how is a namespace exempted from that? Pure."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["way_out"]

_WAYS: Mapping[str, str] = {
    "isolation.containers": "A service mesh injects containers: label {space} istio-injection=disabled,"
    " annotate it linkerd.io/inject=disabled.",
    "isolation.image": "AlwaysPullImages or an image policy rewrites images: exempt {space}, or set"
    ' pull_policy="Always" in setup_hub(c, kubernetes=...).',
    "isolation.limit": "See: kubectl get limitrange -n {name}. Its defaults and ratios change limits.",
    "isolation.devices": "See: kubectl get limitrange -n {name}. No other device is added to sandboxes.",
    "isolation.priority": "A default PriorityClass is the cluster's own: name another in the profile"
    " (priority_class_name), or mark another as globalDefault.",
    "isolation.annotation": "If you know what reads it and that it opens nothing, list it in pod_annotations"
    " of setup_hub(c, kubernetes=...), and restart the launcher; else exempt {space} from what writes it.",
    "isolation.runtime": "Another default RuntimeClass is put in: name it in runtime_classes.",
    "isolation.namespace_missing": "The cluster is too old for user namespaces of pods, or their feature"
    ' gate is off: turn it on, or set host_users="allowed".',
}
_ANY = (
    "An admission controller did it. See: kubectl get mutatingwebhookconfigurations. Exempt {space} there"
    " (namespaceSelector), and try again."
)


def way_out(code: str, namespace: str) -> str:
    """What the admin does about a change that was refused by this code."""
    text = _WAYS.get(code, _ANY)
    return text.format(space=f"the namespace {namespace}", name=namespace)
