"""Do homes, the Lease and the canary do on a real cluster what they do on a pretended one?"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.kubernetes.api import Cluster as Api
from jupyter_sandbox_spawner.backends.kubernetes.host import ClusterHost, ClusterSite
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite, WiresSite
from jupyter_sandbox_spawner.launcher import lease as lease_module
from jupyter_sandbox_spawner.launcher.claims import ClaimedHomes
from jupyter_sandbox_spawner.launcher.cluster_canary import ClusterCanary
from jupyter_sandbox_spawner.launcher.cluster_prober import ClusterProber
from jupyter_sandbox_spawner.launcher.lease import Lease
from jupyter_sandbox_spawner.rules.pod_canary import Targets
from jupyter_sandbox_spawner.settings import Environment, Site
from tests.support.cluster import Cluster

from .images import IMAGE, PREFIX

pytestmark = [pytest.mark.lane("cluster"), pytest.mark.timeout(300)]
Control = Callable[[str, bool], None]
CLOSED = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "closed"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


@dataclass(frozen=True)
class Street:
    """A namespace of the cluster, with a gateway that is a listening socket of this machine."""

    cluster: Cluster
    namespace: str
    api: Api
    site: Site
    place: ClusterSite
    stranger: tuple[str, int]
    pids: list[bool] = field(default_factory=list)  # what a probe told of the kubelet's limit of processes

    def canary(self) -> ClusterCanary:
        """One that knows nothing yet. What must not be reached is the API, and another socket beside it."""
        parts = urlsplit(self.api.url)
        host = self.cluster.host_address if parts.hostname == "127.0.0.1" else str(parts.hostname)
        aims = Targets(api=(host, parts.port or 443), gateway_ports=[self.stranger[1]])
        uid = os.getpid() % 1000 + 20_000
        prober = ClusterProber(self.site, ClusterHost(self.place, self.api), uid, aims, self.pids.append)
        return ClusterCanary(self.api, prober, ("runc",))

    def close(self) -> None:
        """The namespace has the policy that closes it."""
        self.cluster.apply({**CLOSED, "metadata": {"name": "closed", "namespace": self.namespace}})


@contextmanager
def listening(address: str) -> Iterator[int]:
    """A port at which somebody takes connections."""
    with socket.create_server((address, 0), backlog=64) as door:
        yield int(door.getsockname()[1])


@pytest_asyncio.fixture
async def street(with_image: Cluster, namespace: str, tmp_path: Path) -> AsyncIterator[Street]:
    """A street of the test's own."""
    host = with_image.host_address
    with listening(host) as gateway, listening(host) as stranger:
        (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        known = KubernetesSite(
            namespace=namespace,
            gateway_name="gateway",
            gateway_address=host,
            gateway_namespace="elsewhere",
            gateway_labels={},
            link_image=IMAGE,
            authority=str(tmp_path / "ca.pem"),
            host_users="allowed",
            pull_policy="Never",
            home_size=8 << 20,
        )
        site = Site(
            run_dir=str(tmp_path),
            state_dir=str(tmp_path),
            profiles="",
            public_port=0,
            hub_port=0,
            proxy_api_port=0,
            front_port=0,
            backend="kubernetes",
            environments={"default": Environment(image=IMAGE, prefix=PREFIX)},
            kubernetes=known,
            wires=WiresSite(pods_port=gateway),
        )
        place = ClusterSite(cluster=known, pods_port=gateway, environments=site.environments)
        api = Api(namespace, str(with_image.kubeconfig))
        await api.open()
        try:
            yield Street(with_image, namespace, api, site, place, (host, stranger))
        finally:
            await api.close()


ALIKE = ("a-b", "a_b", "a--b", "a.b", "ä-b", "b" * 200, "b" * 199 + "c")


@pytest.mark.proves("O05")
async def test_names_that_look_alike(street: Street, control: Control) -> None:
    """Each has a claim and a uid of its own, whatever names the objects of a cluster may have."""
    users = ClaimedHomes(street.api, street.place.cluster, 10_000, 1000)
    places = await asyncio.gather(*(users.place(name) for name in ALIKE))
    assert len({place.home for place in places}) == len({place.host_uid for place in places}) == len(ALIKE)
    claims = {
        item["metadata"]["name"] for item in (await street.api.list("persistentvolumeclaims", "")).items
    }
    control("the cluster has them all", claims == {place.home for place in places})


@pytest.mark.proves("O06")
async def test_homes(street: Street, control: Control) -> None:
    """The API server takes our claims; what a user has is found again and stays when the user is deleted."""
    known = street.place.cluster
    users = ClaimedHomes(street.api, known, 10_000, 1000)
    alice, bob = await asyncio.gather(users.place("alice@example.org"), users.place("bob"))
    assert {alice.host_uid, bob.host_uid} == {10_001, 10_002}
    assert (await users.place("alice@example.org", "pii")).host_uid == alice.host_uid
    assert await ClaimedHomes(street.api, known, 10_000, 1000).find("bob") == bob
    await users.retire("bob")
    assert await users.find("bob") is None
    assert (await users.place("bob")).host_uid == 10_003
    control("what the first bob had is kept", [item.name for item in await users.strays()] == [bob.home])


async def test_one_lease(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two, the API server lets one have it; the other has it when the first gives it back."""
    monkeypatch.setattr(lease_module, "RENEW", 0.1)
    first, second = Lease(street.api, "first"), Lease(street.api, "second")
    async with first.held():
        assert not await second._turn()
    async with second.held():
        assert not await first._turn()


@pytest.mark.proves("E21", "E01", "E06", "I13")
async def test_isolation_is_proved(street: Street, control: Control) -> None:
    """With policies that are enforced a probe proves it, in a namespace where only restricted pods may be."""
    await asyncio.to_thread(street.close)
    guard = street.canary()
    await guard.require("runc", {})
    control("a probe has run", guard.proofs["runc"].verdict.proved)
    assert street.pids == [True]
    assert (await street.api.list("pods", "")).items == () or await _gone(street.api)


@pytest.mark.proves("E21")
async def test_a_network_without_policies(street: Street, control: Control) -> None:
    """A cluster that takes policies and enforces none is found out, and nothing starts; repaired, it does."""
    await asyncio.to_thread(street.close)
    guard = street.canary()
    await asyncio.to_thread(street.cluster.enforce, False)
    try:
        with pytest.raises(IsolationError) as refused:
            await guard.require("runc", {})
        assert refused.value.code == "isolation.unproved"
        assert f"it reached port {street.stranger[1]} of the gateway" in refused.value.message
        assert not guard.proofs["runc"].verdict.proved
    finally:
        await asyncio.to_thread(street.cluster.enforce, True)
    await guard.prove()
    await guard.require("runc", {})
    control("with policies it is proved", guard.proofs["runc"].verdict.proved)


@pytest.mark.proves("E21")
async def test_a_policy_that_is_deleted(street: Street) -> None:
    """The namespace's own policy is missed at the next look, though the last proof is a moment old."""
    await asyncio.to_thread(street.close)
    guard = street.canary()
    await guard.require("runc", {})
    await street.api.delete("networkpolicies", "closed")
    await guard._look()
    with pytest.raises(IsolationError, match="No NetworkPolicy closes"):
        await guard.require("runc", {})


async def test_a_gateway_out_of_reach(street: Street) -> None:
    """Where the one way out is closed too, a probe proves nothing: a dead network looks closed as well."""
    await asyncio.to_thread(street.close)
    place = replace(street.place, pods_port=1)
    guard = replace(street, place=place).canary()
    with pytest.raises(IsolationError, match="its one way out, to the gateway, is closed"):
        await guard.require("runc", {})


async def _gone(api: Api) -> bool:
    """Pods that were deleted a moment ago are gone soon."""
    end = asyncio.get_running_loop().time() + 60
    while (await api.list("pods", "")).items:
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.2)
    return True
