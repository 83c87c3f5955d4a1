"""What is the cluster told to make for this sandbox? Pure: spec and place in, manifests out.

Law: the user's container has nothing that identifies it; ticket and key are the link's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...kubernetes_site import KubernetesSite
from ...models import SandboxSpec
from ...rules.pod_canary import policy_digest
from ..oci.layout import HOSTNAME, INSIDE
from .layout import (
    GRACE,
    LAST_WORDS,
    LINK,
    LINK_RESOURCES,
    LINK_UID,
    POLICY,
    RECORD,
    SANDBOX_LABEL,
    SPACE,
    TICKET,
    TRUSTS,
    USER,
    Place,
    Seen,
    claim_of,
    digest_of,
    environment,
    labels,
    link_command,
    link_sees,
    notes,
    site_label,
    user_sees,
    volumes_in_memory,
    wait_for_link,
)
from .quantities import cores

__all__ = [
    "Manifest",
    "merge",
    "owned_by",
    "render_pod",
    "render_policy",
    "render_secret",
    "trusting",
    "way_out",
]

Manifest = dict[str, Any]


def render_pod(spec: SandboxSpec, place: Place) -> Manifest:
    """The pod. There is no secret in it: whoever may read pods sees all of it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(spec, place.cluster),
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "shareProcessNamespace": False,
            "hostname": HOSTNAME,
            "dnsPolicy": "None",
            # Nobody answers there: no question for a name ever leaves the sandbox.
            "dnsConfig": {"nameservers": ["127.0.0.1"]},
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": _pod_security(spec),
            "initContainers": [_link(spec, place)],
            "containers": [_user(spec, place)],
            "volumes": _volumes(spec, place),
            **_placing(place),
        },
    }


def way_out(cluster: KubernetesSite, pods_port: int) -> list[Manifest]:
    """The egress rules of every sandbox: the gateway's one port."""
    family = "128" if ":" in cluster.gateway_address else "32"
    gateway: Manifest = {"ipBlock": {"cidr": f"{cluster.gateway_address}/{family}"}}
    if cluster.gateway_labels:
        gateway = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": cluster.gateway_namespace}},
            "podSelector": {"matchLabels": dict(cluster.gateway_labels)},
        }
    return [{"to": [gateway], "ports": [{"protocol": "TCP", "port": pods_port}]}]


def render_policy(spec: SandboxSpec, cluster: KubernetesSite, pods_port: int) -> Manifest:
    """The NetworkPolicy: nobody comes in, and the gateway's one port is the only way out.

    It needs no Place: who runs keeps its policy also when its image or its devices are gone from the site.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(spec, cluster),
        "spec": {
            "podSelector": {"matchLabels": {SANDBOX_LABEL: spec.id}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": way_out(cluster, pods_port),
        },
    }


def render_secret(spec: SandboxSpec, ticket: str, place: Place, record: str) -> Manifest:
    """The Secret: the launcher's record of the sandbox, what its link shows the gateway, its own /etc."""
    metadata = _metadata(spec, place.cluster)
    policy = render_policy(spec, place.cluster, place.pods_port)
    metadata["annotations"] |= {
        RECORD: record,
        TRUSTS: digest_of(place.authority),
        POLICY: policy_digest(policy),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata,
        "stringData": {TICKET: ticket, "ca.pem": place.authority, **place.etc},
    }


def trusting(authority: str) -> Manifest:
    """The change of a Secret whose link has to know the gateway by other certificates from now on."""
    annotations = {TRUSTS: digest_of(authority)}
    return {"metadata": {"annotations": annotations}, "stringData": {"ca.pem": authority}}


def owned_by(manifest: Mapping[str, Any], secret: Mapping[str, Any]) -> Manifest:
    """The manifest of an object that goes when the sandbox's Secret goes."""
    owner = {
        "apiVersion": "v1",
        "kind": "Secret",
        "name": secret["metadata"]["name"],
        "uid": secret["metadata"]["uid"],
    }
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [owner]}}


def merge(known: Any, overlay: Any) -> Any:
    """`known` with the overlay over it: objects are merged, and lists of named things by their names.

    Everything else is replaced. So `{"spec": {"containers": [{"name": "sandbox", ...}]}}` changes one.
    """
    if isinstance(known, Mapping) and isinstance(overlay, Mapping):
        return {**known, **{key: merge(known.get(key), value) for key, value in overlay.items()}}
    if _named(known) and _named(overlay):
        changes = {item["name"]: item for item in overlay}
        merged = [merge(item, changes.pop(item["name"], {})) for item in known]
        return [*merged, *changes.values()]
    return overlay


def _named(value: Any) -> bool:
    return bool(value) and isinstance(value, list) and all(_has_name(item) for item in value)


def _has_name(item: Any) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("name"), str)


def _metadata(spec: SandboxSpec, cluster: KubernetesSite) -> Manifest:
    return {
        "name": spec.id,
        "namespace": cluster.namespace,
        "labels": labels(spec, site_label(cluster)),
        "annotations": notes(spec),
    }


def _placing(place: Place) -> Manifest:
    found: Manifest = {}
    if place.cluster.host_users == "never":
        found["hostUsers"] = False
    if place.runtime_class:
        found["runtimeClassName"] = place.runtime_class
    if place.gpus.nodes:
        found["nodeSelector"] = dict(place.gpus.nodes)
    if place.cluster.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in place.cluster.pull_secrets]
    return found


def _pod_security(spec: SandboxSpec) -> Manifest:
    return {
        "runAsNonRoot": True,
        # The home's group, and by it the link reads its secret.
        "fsGroup": spec.host_uid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container(uid: int) -> Manifest:
    return {
        "runAsUser": uid,
        "runAsGroup": uid,
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _link(spec: SandboxSpec, place: Place) -> Manifest:
    return {
        "name": LINK,
        "image": place.cluster.link_image,
        "imagePullPolicy": place.cluster.pull_policy,
        "command": link_command(spec, place),
        "workingDir": "/",
        "restartPolicy": "Always",  # makes it a sidecar, which runs before and after the user's container
        "securityContext": _container(LINK_UID),
        "resources": {name: dict(values) for name, values in LINK_RESOURCES.items()},
        "lifecycle": {"postStart": {"exec": {"command": wait_for_link(place)}}},
        "volumeMounts": [_mount(seen) for seen in link_sees()],
    }


def _user(spec: SandboxSpec, place: Place) -> Manifest:
    limits = {
        "cpu": cores(spec.resources.cpu),
        "memory": str(spec.resources.memory),
        "ephemeral-storage": str(SPACE),
        **{name: str(count) for name, count in place.gpus.resources.items()},
    }
    return {
        "name": USER,
        "image": place.image,
        "imagePullPolicy": place.cluster.pull_policy,
        "command": [place.python, "-I", "-S", "-B", INSIDE],
        "workingDir": "/",
        "terminationMessagePath": LAST_WORDS,
        "env": [{"name": name, "value": text} for name, text in environment(place).items()],
        "securityContext": _container(spec.host_uid),
        "resources": {"limits": limits, "requests": dict(limits)},
        "volumeMounts": [_mount(seen) for seen in user_sees(spec, place)],
    }


def _mount(seen: Seen) -> Manifest:
    found: Manifest = {"name": seen.volume, "mountPath": seen.at, "readOnly": seen.read_only}
    return {**found, "subPath": seen.part} if seen.part else found


def _volumes(spec: SandboxSpec, place: Place) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": str(size)}}
        for name, size in volumes_in_memory(spec).items()
    ]
    volumes.append(_of_secret("secret", spec.id, (TICKET, "ca.pem")))
    volumes.append(_of_secret("etc", spec.id, tuple(sorted(place.etc))))
    claims = {seen.volume: seen.at for seen in user_sees(spec, place)}
    for mount in spec.mounts:
        name = next(volume for volume, at in claims.items() if at == mount.target)
        source = {"claimName": claim_of(mount)[0], "readOnly": mount.read_only}
        volumes.append({"name": name, "persistentVolumeClaim": source})
    return volumes


def _of_secret(name: str, secret: str, files: tuple[str, ...]) -> Manifest:
    items = [{"key": file, "path": file} for file in files]
    mode = 0o440 if name == "secret" else 0o444
    return {"name": name, "secret": {"secretName": secret, "items": items, "defaultMode": mode}}
