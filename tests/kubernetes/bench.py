"""What is the smallest real pod? The local backend's: a Python script as pid 1, in an image of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.host import ClusterSite
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite
from jupyter_sandbox_spawner.models import Doors, SandboxSpec
from jupyter_sandbox_spawner.settings import Environment
from tests.backends.tiny import OciBench
from tests.support.cluster import Cluster

from .images import IMAGE, PREFIX

__all__ = ["CLAIM", "PodBench", "open_bench"]

CLAIM = "homes"


class PodBench(OciBench):
    """Real pods; homes are directories of this machine, in one volume that all pods of the bench share."""

    def __init__(self, directory: Path, cluster: Cluster, namespace: str, **site: Any) -> None:
        super().__init__(directory)
        self.cluster = cluster
        self.namespace = namespace
        (directory / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        self.cluster_site = ClusterSite(
            cluster=KubernetesSite(
                namespace=namespace,
                gateway_name="gateway",
                gateway_address=cluster.host_address,
                gateway_namespace="elsewhere",
                gateway_labels={},
                link_image=IMAGE,
                authority=str(directory / "ca.pem"),
                host_users="allowed",
                pull_policy="Never",
                **site,
            ),
            pods_port=8444,
            environments={"tiny": Environment(prefix=PREFIX, image=IMAGE)},
            kubeconfig=str(cluster.kubeconfig),
        )

    def spec(self, user: str = "alice", main: str | None = None, **changes: Any) -> SandboxSpec:
        """See OciBench.spec; the home is a directory in the claim, and several fit a node of two cores."""
        spec = super().spec(user, **({"main": main} if main else {}), **changes)
        (mount,) = spec.mounts
        home = replace(mount, source=f"{CLAIM}/{Path(mount.source).name}")
        return replace(spec, mounts=(home,), resources=replace(spec.resources, cpu=0.4))

    def doors(self, spec: SandboxSpec) -> Doors:
        """See Bench.doors."""
        return replace(super().doors(spec), ticket=f"ticket-of-{spec.id}")

    async def end(self, spec: SandboxSpec, code: int) -> None:
        """See Bench.end."""
        await asyncio.to_thread((self.directory / f"home-{spec.id}" / "end").write_text, str(code))

    def pods(self) -> list[dict[str, Any]]:
        """Every pod of the namespace."""
        return self._all("/api/v1", "pods")

    def pod(self, spec: SandboxSpec) -> dict[str, Any]:
        """What the cluster tells about a sandbox's pod."""
        return self.cluster.pod(self.namespace, spec.id)

    def left(self) -> list[str]:
        """Kind and name of all pods, policies and Secrets of the namespace."""
        kinds = {"pods": "/api/v1", "networkpolicies": "/apis/networking.k8s.io/v1", "secrets": "/api/v1"}
        return sorted(
            f"{kind}/{item['metadata']['name']}"
            for kind, top in kinds.items()
            for item in self._all(top, kind)
        )

    def _all(self, top: str, kind: str) -> list[dict[str, Any]]:
        return list(self.cluster.api.ask("GET", f"{top}/namespaces/{self.namespace}/{kind}")["items"])


@asynccontextmanager
async def open_bench(
    directory: Path, cluster: Cluster, namespace: str, **site: Any
) -> AsyncIterator[PodBench]:
    """The Kubernetes backend in a namespace of its own; all sandboxes are removed, which is seen."""
    bench = PodBench(directory, cluster, namespace, **site)
    await asyncio.to_thread(_make_claim, bench)
    async with KubernetesBackend.opened(bench.cluster_site) as backend:
        bench.backend = backend
        try:
            yield bench
        finally:
            for item in await bench.backend.inventory():
                await bench.backend.remove(item.id)
    left = await asyncio.to_thread(bench.left)
    await asyncio.to_thread(cluster.api.ask, "DELETE", f"/api/v1/persistentvolumes/{namespace}")
    assert not left


def _make_claim(bench: PodBench) -> None:
    """One volume of this machine's disk, and the claim on it, bound."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}
    wanted = {"accessModes": ["ReadWriteMany"], "storageClassName": "none"}
    bench.directory.chmod(0o755)
    bench.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": bench.namespace},
            "spec": {
                **wanted,
                "capacity": {"storage": "1Gi"},
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(bench.directory)},
                "claimRef": {"namespace": bench.namespace, "name": CLAIM},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": bench.namespace},
            "spec": {
                **wanted,
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": bench.namespace,
            },
        },
    )
    where = f"/api/v1/namespaces/{bench.namespace}/persistentvolumeclaims/{CLAIM}"
    bench.cluster.until(lambda: bench.cluster.api.ask("GET", where)["status"].get("phase") == "Bound")
