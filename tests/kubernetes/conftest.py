"""Which cluster do the tests use? The session's with an image of Python alone, or a pretended one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.host import ClusterSite
from jupyter_sandbox_spawner.settings import Environment
from tests.backends.kubernetes_facts import CLUSTER
from tests.support.cluster import Cluster

from .bench import PodBench, open_bench
from .house import cluster_house
from .images import IMAGE, make_root
from .pretend import pretend_cluster
from .stage import Stage

__all__ = ["cluster_house"]


@pytest.fixture(scope="session")
def with_image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The session's cluster, whose node has the image."""
    root = tmp_path_factory.mktemp("image") / "root.tar"
    make_root(root)
    cluster.import_root(root, IMAGE)
    root.unlink()
    return cluster


@pytest_asyncio.fixture
async def pods(with_image: Cluster, namespace: str) -> AsyncIterator[PodBench]:
    """The Kubernetes backend on the real cluster, in a namespace of its own."""
    directory = Path(tempfile.mkdtemp(prefix="jss-"))
    try:
        async with open_bench(directory, with_image, namespace) as bench:
            yield bench
    finally:
        shutil.rmtree(directory)


@pytest_asyncio.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A backend on a pretended cluster."""
    (tmp_path / "ca.pem").write_text("certificates")
    monkeypatch.setattr("jupyter_sandbox_spawner.backends.kubernetes.host.INSIST", 0.5)
    async with pretend_cluster(tmp_path) as (cluster, kubeconfig):
        site = ClusterSite(
            cluster=replace(CLUSTER, authority=str(tmp_path / "ca.pem")),
            pods_port=8444,
            environments={"data-science": Environment(prefix="/opt/jupyter", image="registry.example/a:1")},
            runtimes=("runc", "runsc"),
            kubeconfig=str(kubeconfig),
        )
        async with KubernetesBackend.opened(site) as backend:
            ready = Stage(cluster, site, backend)
            # Policies are listed and followed besides, which tests that count questions must not see.
            await ready.until(lambda: cluster.asked.count("GET networkpolicies") == 2)
            yield ready


@pytest.fixture
def backend(pods: PodBench) -> PodBench:
    """The Kubernetes backend under the contract."""
    return pods


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses the backend needs the cluster; the first one may wait for it to be made."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here) and {"pods", "with_image"} & set(item.fixturenames):  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.lane("cluster"))
            item.add_marker(pytest.mark.timeout(300))
