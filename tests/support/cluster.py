"""How do tests meet a real Kubernetes? One for the session, with a Ready node, gone afterwards.

Fixtures, for every test that is marked `@pytest.mark.lane("cluster")`: `cluster` is a Cluster, `namespace` a
name of the test's own in it, where Pod Security `restricted` is enforced. Its calls wait; an async test calls
them in a thread, unless it may wait for half a second. What a test switches off, it switches on again.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub_config.kubernetes.cluster.api import ApiError
from hub_config.kubernetes.cluster.layout import STORAGE_CLASS, TRY_IMAGE
from hub_config.kubernetes.cluster.own_cluster import ClusterError, OwnCluster
from tests.lanes import missing

__all__ = [
    "STORAGE_CLASS",
    "TRY_IMAGE",
    "Cluster",
    "ClusterError",
    "cluster",
    "namespace",
    "restricted_pod",
    "running_cluster",
]

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
# Where the API server has objects that tests make again and again.
_PLACES = {
    "Namespace": "/api/v1/namespaces",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "/api/v1/namespaces/{}/pods",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
}
Evidence = Callable[[str, Callable[[], str]], Callable[[], None]]


class Cluster(OwnCluster):
    """An OwnCluster with what tests ask of it again and again."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.layout.kubeconfig

    @property
    def host_address(self) -> str:
        """Where pods reach what a test listens with on this machine: bind there, to port 0."""
        return self.layout.host_address

    def apply(self, *objects: dict[str, Any]) -> None:
        """See OwnCluster.apply; known kinds without kubectl, which takes a fifth of a second each time."""
        if not {item["kind"] for item in objects} <= _PLACES.keys():
            super().apply(*objects)
            return
        for item in objects:
            name, space = item["metadata"]["name"], item["metadata"].get("namespace", "default")
            path = _PLACES[item["kind"]].format(space)
            try:
                self.api.ask("PATCH", f"{path}/{name}?fieldManager=tests&force=true", item)
            except ApiError as error:
                raise ClusterError(f"{item['kind']} {name}: {error}") from None

    def make_namespace(self, name: str, labels: dict[str, str] = RESTRICTED) -> None:
        """A namespace; Pod Security `restricted` is enforced unless other labels are given."""
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}
        )
        # Pods are refused until it has its account.
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        self.until(lambda: self.api.finds(account))

    def drop_namespace(self, name: str, wait: bool = True) -> None:
        """Remove it with all in it, and wait until it is gone, which takes some seconds."""
        path = f"/api/v1/namespaces/{name}"
        with contextlib.suppress(ApiError):  # it is not there, or goes already
            self.api.ask("DELETE", path)
        if wait:
            self.until(lambda: not self.api.finds(path))

    def pod(self, namespace: str, name: str) -> dict[str, Any]:
        """The pod as it is now."""
        return self.api.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    def wait_for_pod(self, namespace: str, name: str, phase: str = "Running", patience: float = 60) -> str:
        """Until the pod has this phase, and an address where it runs. Returns its address."""

        def ready() -> bool:
            status = self.pod(namespace, name)["status"]
            return status.get("phase") == phase and (phase != "Running" or bool(status.get("podIP")))

        try:
            self.until(ready, patience)
        except ClusterError as error:
            raise ClusterError(f"{error}; {self.explain(namespace, name)}") from None
        return str(self.pod(namespace, name)["status"].get("podIP", ""))

    def explain(self, namespace: str, name: str) -> str:
        """What the cluster says about a pod."""
        return self.kubectl("describe", "pod", name, "-n", namespace, check=False).stdout[-3000:]

    def run_in(self, namespace: str, name: str, words: Sequence[str], container: str = "") -> tuple[int, str]:
        """Exit status and output of a command inside of a pod's container."""
        chosen = ["-c", container] if container else []
        done = self.kubectl("exec", "-n", namespace, name, *chosen, "--", *words, check=False)
        return done.returncode, done.stdout + done.stderr

    def until(self, true: Callable[[], bool], patience: float = 60) -> None:
        """Wait until it is true. Raises ClusterError after `patience` seconds."""
        end = time.monotonic() + patience
        while not true():
            if time.monotonic() > end:
                raise ClusterError(f"it did not happen within {patience:.0f} s")
            time.sleep(0.1)  # a cluster announces nothing

    def evidence(self) -> str:
        """What helps to understand a failure: pods, events, and the kubelet's last words."""
        pods = self.kubectl("get", "pods", "-A", "-o", "wide", check=False).stdout
        events = self.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp", check=False).stdout
        return f"{pods}\n{events[-3000:]}\n{self.log('kubelet', 1500)}\n{self.log('policies', 500)}"


def restricted_pod(name: str, words: Sequence[str], **spec: Any) -> dict[str, Any]:
    """A pod of the try image that Pod Security `restricted` accepts, ending at once when told to."""
    container = {
        "name": "main",
        "image": TRY_IMAGE,
        "imagePullPolicy": "Never",
        "command": list(words),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "limits": {"cpu": "200m", "memory": "32Mi"},
            "requests": {"cpu": "10m", "memory": "16Mi"},
        },
    }
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [container],
            "securityContext": security,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            **spec,
        },
    }


@contextmanager
def running_cluster(node: bool = True) -> Iterator[Cluster]:
    """A cluster for the block."""
    # Short, as sockets lie below it.
    directory = Path(tempfile.mkdtemp(prefix="jss-k8s-", dir="/tmp"))
    made = Cluster(directory)
    try:
        made.up(node=node, tied=True)
        yield made
    finally:
        made.down()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(evidence: Evidence) -> Iterator[Cluster]:
    """The session's cluster."""
    if reason := missing("cluster"):
        pytest.skip(f"lane cluster: {reason}")
    with running_cluster() as running:
        forget = evidence("the cluster", running.evidence)
        yield running
        forget()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own; Pod Security `restricted` is enforced in it."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.make_namespace(name)
    yield name
    cluster.drop_namespace(name, wait=False)
