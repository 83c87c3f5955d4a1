"""Where on a cluster are the programs and the sandboxes of a site? No secret is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["KubernetesSite", "WiresSite"]


@dataclass(frozen=True, kw_only=True)
class WiresSite:
    """How programs on different machines meet: each one's own `wires` carries its unix sockets over TLS.

    `hosts` gives the host name of each program (`launcher`, `gateway`, `control`, `broker`, `tracking`) that
    is not on this machine, `port` where its wires listen for other programs. `certificates` is a directory
    with `ca.pem` (one authority or two while they change), `certificate.pem` and `key.pem`; they are read
    anew when they change. `pods_port`: where the gateway's wires listen for sandboxes.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    port: int = 8443
    certificates: str = "/run/jupyter-sandbox-tls"
    pods_port: int = 8444


@dataclass(frozen=True, kw_only=True)
class KubernetesSite:
    """What the launcher needs to know of the cluster.

    `namespace` is the sandboxes' own. `gateway_name` is the name in the certificate of the gateway's wires,
    `gateway_address` the address that pods dial, which have no DNS; `gateway_labels` select its pods, in the
    namespace `gateway_namespace`. `link_image` holds this package: the link of each pod runs in it, with the
    Python at `link_python`. `authority` is the file whose certificates pods are given to know the gateway by.

    `storage_class` "": the cluster's default. `home_size` in bytes where a profile names no disk quota.
    `runtime_classes` maps runtimes that profiles name to RuntimeClasses (`runc`: none is set).
    `host_users`: `never` demands a user namespace of each pod, `allowed` takes the node's.
    `gpu_resource` maps products or MIG profiles as profiles name them to resources (`nvidia.com/gpu`), and
    `gpu_products` those to the node label's value (`nvidia.com/gpu.product`); `gpu_counts` says how many of
    each there are: nobody here may list nodes. `quota` names the ResourceQuota whose GPUs are held to these
    counts; "" none. `pull_policy` and `pull_secrets` are the pods'. `pod_annotations` are those that may
    stand on pods: the admin's own, and what this cluster's controllers write (`example.org/`: a domain's).
    """

    namespace: str
    gateway_name: str
    gateway_address: str
    gateway_namespace: str
    gateway_labels: Mapping[str, str]
    link_image: str
    link_python: str = "/opt/jupyter-sandbox/bin/python"
    authority: str = "/run/jupyter-sandbox-tls/ca.pem"
    storage_class: str = ""
    home_size: int = 10 << 30
    runtime_classes: Mapping[str, str] = field(default_factory=dict)
    host_users: Literal["never", "allowed"] = "never"
    gpu_resource: Mapping[str, str] = field(default_factory=dict)
    gpu_products: Mapping[str, str] = field(default_factory=dict)
    gpu_counts: Mapping[str, int] = field(default_factory=dict)
    quota: str = ""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    pod_annotations: tuple[str, ...] = ()
