"""What does doctor say of a cluster, by what the launcher has found there?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from jupyter_sandbox_spawner.admin.cluster_findings import cluster_findings
from jupyter_sandbox_spawner.admin.doctor import examine
from jupyter_sandbox_spawner.admin.installation import Installation
from jupyter_sandbox_spawner.admin.machine import machine_findings
from jupyter_sandbox_spawner.admin.requirements import check_programs
from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory
from jupyter_sandbox_spawner.models import Capabilities
from jupyter_sandbox_spawner.serving import application
from jupyter_sandbox_spawner.settings import Site
from jupyter_sandbox_spawner.wire import encode
from tests.hub.cluster_sites import SITE
from tests.hub.standins import LoopThread

FOUND: dict[str, Any] = {
    "canary": {"runtimes": {"runc": {"proved": True, "why": "", "at": "2026-11-30T08:00:00+00:00"}}},
    "capabilities": Capabilities(
        backend="kubernetes", level="hard", limits={"pids": True}, runtimes={"runc": "kubernetes 1.34"}
    ),
    "gpus": GpuInventory(devices=(GpuDevice(id="nvidia-a100/1", kind="nvidia-a100"),)),
}


@pytest.fixture
def site() -> Iterator[Site]:
    """A site on a cluster in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="jss", dir="/tmp") as directory:
        ports = {"public_port": 0, "hub_port": 0, "proxy_api_port": 0, "front_port": 0}
        found = Site(run_dir=directory, state_dir=directory, profiles="", **ports, **SITE)  # type: ignore[arg-type]
        cluster = replace(SITE["kubernetes"], gpu_resource={"nvidia-a100": "nvidia.com/gpu"})
        yield replace(found, kubernetes=cluster)


def ask(site: Site, **changes: Any) -> list[tuple[bool, str]]:
    """Findings, with a launcher that has found these things."""
    told = FOUND | changes
    app = application(frozenset())

    def answer(name: str) -> Any:
        async def handle(_: web.Request) -> web.Response:
            value = told[name]
            return web.json_response(value if isinstance(value, dict) else encode(value))

        return handle

    for name in FOUND:
        app.router.add_get(f"/{name}", answer(name))
    with LoopThread() as loop:
        loop.serve(app, site.launcher_socket)
        return [(item.fine, f"{item.name}: {item.seen}") for item in cluster_findings(site)]


def test_a_good_cluster(site: Site) -> None:
    """What is proved, and how many GPUs of which kind can be given."""
    assert ask(site) == [
        (True, "launcher: it answers; hard isolation on kubernetes 1.34"),
        (True, "isolation runc: proved at 2026-11-30T08:00:00+00:00"),
        (True, "GPUs: 1 of nvidia-a100"),
    ]


def test_an_open_cluster(site: Site) -> None:
    """The probe's own reason is told, with what else is weak."""
    why = "A probe sandbox was not closed: it reached the cluster's API."
    capabilities = replace(FOUND["capabilities"], level="soft", missing=("No limit of processes.",))
    gpus = GpuInventory(notes=("gpu_counts does not say how many there are.",))
    proof = {"runtimes": {"runc": {"proved": False, "why": why, "at": None}}}
    found = ask(site, canary=proof, capabilities=capabilities, gpus=gpus)
    assert (False, f"isolation runc: {why}") in found
    assert (False, "cluster: No limit of processes.") in found
    assert (False, "GPUs: gpu_counts does not say how many there are.") in found


def test_without_a_launcher(site: Site) -> None:
    """Nobody answers: that is the finding; another backend has none of these."""
    (finding,) = cluster_findings(site)
    assert not finding.fine
    assert "does not answer" in finding.seen
    assert list(cluster_findings(replace(site, backend="local"))) == []


def test_doctor_looks_at_no_machine(site: Site, control: Callable[[str, bool], None]) -> None:
    """Where sandboxes are pods, this machine needs no runtime: what it lacks is not said."""

    def looked_at(site: Site) -> set[str]:
        installation = Installation(config_file="x.py", site=site)
        return {item.name for item in examine(installation)}

    machine = {item.name for item in machine_findings(("runc",))}
    control("of one machine it is said", machine <= looked_at(replace(site, backend="local")))
    assert not machine & looked_at(site)
    assert "launcher" in looked_at(site)


def test_run_is_of_one_machine(site: Site) -> None:
    """`run` for a site on a cluster names kubectl and the how-to, and speaks of no Docker."""
    with pytest.raises(ConfigurationError) as refused:
        check_programs(Installation(config_file="x.py", site=site))
    assert refused.value.code == "kubernetes.not_one_machine"
    assert "kubectl apply -k" in refused.value.remedy
    assert "Docker" not in str(refused.value)
