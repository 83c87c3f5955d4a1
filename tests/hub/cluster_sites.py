"""What does a configuration file for a cluster say at least?"""

from __future__ import annotations

from typing import Any

from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite, WiresSite
from jupyter_sandbox_spawner.settings import Environment

__all__ = ["CLUSTER", "IMAGE", "SITE"]

CLUSTER: dict[str, Any] = {
    "namespace": "jupyter-sandbox-pods",
    "gateway_name": "gateway.jupyter-sandbox",
    "gateway_address": "10.96.0.44",
    "gateway_namespace": "jupyter-sandbox",
    "gateway_labels": {"app": "gateway"},
    "link_image": "jupyter-sandbox-link:1",
}
IMAGE = Environment(image="jupyter-sandbox-user", prefix="/opt/jupyter")
# Fields of Site for programs of a test on a cluster.
SITE: dict[str, Any] = {
    "backend": "kubernetes",
    "environments": {"default": IMAGE},
    "kubernetes": KubernetesSite(**CLUSTER, pod_annotations=("example.org/",)),
    "wires": WiresSite(),
}
