"""How is the launcher put together on a cluster? As on a host, once the Lease is its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ..backends.kubernetes.api import Cluster
from ..backends.kubernetes.backend import KubernetesBackend
from ..backends.kubernetes.host import ClusterHost, ClusterSite
from ..backends.kubernetes.insisting import INSIST
from ..errors import BackendError, ConfigurationError
from ..kubernetes_site import KubernetesSite
from ..serving import application, listening_socket, serve_until_signal
from ..settings import Site
from .claims import ClaimedHomes
from .cluster_canary import ClusterCanary
from .cluster_devices import ClusterDevices
from .cluster_prober import ClusterProber, targets
from .lease import Lease, until_first
from .premises import Premises
from .routes import LauncherRoutes

__all__ = ["run_on_cluster"]


async def run_on_cluster(site: Site, descriptor: int | None = None) -> None:
    """Wait for the Lease, then serve until SIGTERM; pods go on. Raises BackendError `launcher.lease_lost`."""
    cluster = _cluster(site)
    own = Cluster(os.environ.get("POD_NAMESPACE") or cluster.gateway_namespace)
    lease = Lease(own)
    api = Cluster(cluster.namespace, left=lease.left, insist=INSIST)
    try:
        await own.open()
        await api.open()
        async with lease.held():
            serving = asyncio.ensure_future(_serve(site, cluster, api, lease.left, descriptor))
            lost = False

            async def give_up() -> None:
                nonlocal lost
                await lease.lost()
                lost = True

            await until_first(lambda: serving, give_up)
            if lost:
                raise BackendError(
                    "Another launcher may hold the Lease by now, so this one stops.",
                    code="launcher.lease_lost",
                    remedy="It is started again by itself; see that the cluster's API answers.",
                )
    finally:
        await api.close()
        await own.close()


async def _serve(
    site: Site, cluster: KubernetesSite, api: Cluster, left: Callable[[], float], descriptor: int | None
) -> None:
    place = ClusterSite(
        cluster=cluster,
        pods_port=site.wires.pods_port if site.wires else 0,
        environments=site.environments,
        runtimes=site.runtimes,
        left=left,
    )
    users = ClaimedHomes(api, cluster, site.uid_base, site.uid_count)
    async with KubernetesBackend.opened(place) as backend:
        aims = targets(site, api.url)
        host = ClusterHost(place, api)
        prober = ClusterProber(site, host, users.canary_uid, aims, lambda pids: backend.proved(pids=pids))
        canary = ClusterCanary(api, prober, site.runtimes)
        devices = ClusterDevices(api, cluster)
        premises = Premises(users=users, homes=users, devices=devices, prover=canary)
        async with canary.at_work():
            app = application(site.callers_of("launcher"))
            LauncherRoutes(site, backend, premises).add_to(app)
            # Not before: of two launchers only one listens, and callers try them in turn.
            await serve_until_signal(app, listening_socket(site.launcher_socket, descriptor))


def _cluster(site: Site) -> KubernetesSite:
    if site.kubernetes is None or site.wires is None:
        raise ConfigurationError(
            "kubernetes, wires: the site names a cluster as its backend, and does not say where it is.",
            code="kubernetes.setting",
            field="kubernetes",
            remedy="Write both into site.json, or use setup_hub(c, kubernetes={...}).",
        )
    return site.kubernetes
