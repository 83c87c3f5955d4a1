"""How does the launcher's own part of a cluster look in a test? Pretended, with probes that end at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from jupyter_sandbox_spawner.backends.kubernetes.api import Cluster
from jupyter_sandbox_spawner.backends.kubernetes.host import ClusterHost, ClusterSite
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite, WiresSite
from jupyter_sandbox_spawner.launcher.cluster_probe import PROBE_LABEL
from jupyter_sandbox_spawner.launcher.pod_probe import MARK
from jupyter_sandbox_spawner.rules.canary import MUST_FAIL, MUST_WORK
from jupyter_sandbox_spawner.rules.pod_canary import KUBELET, NODE_BY_IPV6
from jupyter_sandbox_spawner.settings import Environment, Site

from .pretend import Item, PretendCluster

__all__ = ["CLOSED", "Desk", "desk"]

CLOSED: Item = {
    "metadata": {"name": "closed"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


class Desk(PretendCluster):
    """`network` and `isolation` change what the next probes say; `node` is where they come to be; `waits` are
    pods that nothing comes of by itself."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.network: dict[str, str] = {}
        self.isolation: dict[str, str] = {}
        self.node = "n1"
        self.waits: set[str] = set()
        self.probes: list[Item] = []
        authority = directory / "ca.pem"
        authority.write_text("-----BEGIN CERTIFICATE-----\n")
        cluster = KubernetesSite(
            namespace="pods",
            gateway_name="gateway",
            gateway_address="10.96.0.44",
            gateway_namespace="programs",
            gateway_labels={"app": "gateway"},
            link_image="link",
            authority=str(authority),
        )
        self.site = Site(
            run_dir=str(directory),
            state_dir=str(directory),
            profiles="",
            public_port=0,
            hub_port=0,
            proxy_api_port=0,
            front_port=8080,
            backend="kubernetes",
            environments={"default": Environment(image="lab", prefix="/opt/jupyter")},
            kubernetes=cluster,
            wires=WiresSite(),
        )

    @property
    def cluster(self) -> KubernetesSite:
        """Where sandboxes are."""
        assert self.site.kubernetes is not None
        return self.site.kubernetes

    def host(self, api: Cluster) -> ClusterHost:
        """What the cluster gives sandboxes."""
        return ClusterHost(
            ClusterSite(cluster=self.cluster, pods_port=8444, environments=self.site.environments), api
        )

    def close(self) -> None:
        """The namespace has the policy that closes it."""
        self.kind("networkpolicies")["closed"] = json.loads(json.dumps(CLOSED))

    async def run(self, name: str) -> None:
        """A probe says what it was told to find, and ends; anything else runs."""
        if name in self.waits:
            return
        pod = self.kind("pods")[name]
        pod["spec"].setdefault("nodeName", self._chosen(pod))
        if PROBE_LABEL not in pod["metadata"]["labels"]:
            await super().run(name)
            return
        self.probes.append(json.loads(json.dumps(pod)))
        asked = json.loads(pod["spec"]["containers"][0]["command"][-1])
        names = (*asked["closed"], KUBELET, *NODE_BY_IPV6)
        network = dict.fromkeys(names, "TimeoutError") | {"gateway": "ok", "endless processes": "refused"}
        isolation = dict.fromkeys(MUST_FAIL, "EPERM") | dict.fromkeys(MUST_WORK, "ok")
        lines = [network | self.network, isolation | self.isolation]
        self.logs[name] = "".join(f"{MARK}{json.dumps(line)}\n" for line in lines).encode()
        await self.finish(name, 0)

    def _chosen(self, pod: Item) -> str:
        affinity = pod["spec"].get("affinity") or {}
        terms: Any = affinity.get("nodeAffinity", {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution", {}
        )
        for term in terms.get("nodeSelectorTerms", ()):
            for field in term.get("matchFields", ()):
                return str(field["values"][0])
        return self.node


@asynccontextmanager
async def desk(directory: Path, **changes: Any) -> AsyncIterator[tuple[Desk, Cluster]]:
    """A desk for the block, and a client of its namespace; `changes` are fields of its KubernetesSite."""
    here = Desk(directory)
    here.site = replace(here.site, kubernetes=replace(here.cluster, **changes))
    runner = web.AppRunner(here.application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    file = directory / "kubeconfig"
    file.write_text(json.dumps(_kubeconfig("http://{}:{}".format(*runner.addresses[0][:2]))))
    api = Cluster("pods", str(file))
    await api.open()
    try:
        yield here, api
    finally:
        await api.close()
        await runner.cleanup()


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {}}],
    }
