"""Which fixed spec and place do the pure tests of the Kubernetes backend use?"""

from __future__ import annotations

from dataclasses import replace

from jupyter_sandbox_spawner.backends.docker.etc import etc_files
from jupyter_sandbox_spawner.backends.kubernetes.layout import Place, site_label
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite
from jupyter_sandbox_spawner.models import Mount
from tests.backends import facts

__all__ = ["CLUSTER", "PLACE", "SPEC"]

SPEC = replace(
    facts.SPEC,
    host_uid=10_001,
    mounts=(Mount(kind="home", source="home-x", target="/home/jovyan", read_only=False),),
)
CLUSTER = KubernetesSite(
    namespace="jupyter-sandbox-pods",
    gateway_name="gateway",
    gateway_address="10.0.0.7",
    gateway_namespace="jupyter-sandbox",
    gateway_labels={"app": "jupyter-sandbox-gateway"},
    link_image="registry.example/jupyter-sandbox:1",
)
PLACE = Place(
    cluster=CLUSTER,
    pods_port=8444,
    image="registry.example/data-science:2",
    python="/opt/jupyter/bin/python",
    etc={name: etc_files(SPEC.host_uid)[name] for name in ("group", "nsswitch.conf", "passwd")},
    authority="-----BEGIN CERTIFICATE-----\n...\n",
    site=site_label(CLUSTER),
)
