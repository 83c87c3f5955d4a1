"""What do 500 sandboxes of a cluster cost the launcher? Real objects of a real API server; no pod runs.

Both contestants know the very same pods: our backend as the launcher opens it, and kubespawner's reflector as
its hub has one. Each round starts the program anew, as after a restart.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from hub_config.demo.running import CHECKOUT
from hub_config.kubernetes.cluster.own_cluster import OwnCluster
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite

from .figures import Goal, Measure
from .house import scratch
from .kube_cluster import RESTRICTED, make_namespaces, open_cluster
from .kube_node import FakeNode, open_fake_node
from .machine import cpu_seconds, end_of, program
from .row import BenchmarkError, Row, Take

__all__ = ["COUNT", "rows"]

COUNT = 500
_OURS, _PEER, _NOBODY = "launcher's backend", "kubespawner's reflector", "nobody"
_PROGRAMS = {_OURS: "ours", _PEER: "reflector"}
_NAMESPACE = "bench-many"
_CHANGES = 2  # of each pod
_QUIET = 30.0  # seconds
_SETTLES = 1.0  # seconds until the last change has been heard
_ROUNDS = 5
_LOG_LIMIT = 1 << 16
_PATIENCE = 180.0  # seconds


@dataclass(frozen=True)
class _Street:
    """A cluster with its pods."""

    cluster: OwnCluster
    node: FakeNode
    site: KubernetesSite
    directory: Path
    count: int
    quiet: float

    def api_server(self) -> float:
        """Seconds of a processor that the API server has used."""
        return cpu_seconds([self.cluster.pid("kube-apiserver")])


@dataclass(frozen=True)
class _Watcher:
    """A process that knows the pods."""

    process: asyncio.subprocess.Process
    log: Path

    async def ask(self, word: str) -> Mapping[str, float]:
        """One answer. Raises BenchmarkError."""
        source, target = self.process.stdout, self.process.stdin
        if source is None or target is None:
            raise BenchmarkError("The watching program has no pipes.")
        target.write(f"{word}\n".encode())
        line = await source.readline()
        if not line:
            raise BenchmarkError(f"The watching program ended; the end of its log:\n{end_of(self.log)}")
        told: Mapping[str, float] = json.loads(line)
        return told


def rows(count: int = COUNT, quiet: float = _QUIET) -> tuple[Row, ...]:
    """The rows, with so many pods, and so many seconds without a change."""
    measures = _measures(count, quiet)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Take]:
        async with (
            scratch() as directory,
            open_cluster(directory, node=False) as cluster,
            open_fake_node(cluster) as node,
        ):
            site = await _move_in(directory, cluster, count)
            street = _Street(cluster, node, site, directory, count, quiet)

            async def take(contestant: str) -> Mapping[str, float]:
                return {
                    measures[name].name: value for name, value in (await _once(street, contestant)).items()
                }

            yield take

    about = (
        f"{count} sandboxes on a real API server, their node pretended: to know them all, and what changes"
    )
    return (Row("kube-pods", about, (_OURS, _PEER, _NOBODY), tuple(measures.values()), opened, _ROUNDS),)


def _measures(count: int, quiet: float) -> dict[str, Measure]:
    pods = f"{count} pods"
    return {
        "took": Measure(f"{pods}: from a restart until all are known", "s", Goal("at most", 3.0), "ours"),
        "cpu": Measure(f"{pods}: its processor time", "s"),
        "memory": Measure(f"{pods}: memory", "MiB", Goal("at most", 1.0)),
        "changes": Measure(
            f"{pods}: processor time for {_CHANGES} changes of each", "s", Goal("at most", 1.0)
        ),
        "quiet": Measure(
            f"{pods}: processor time in {quiet:.0f} s without a change", "ms", Goal("at most", 1.0)
        ),
        "api": Measure(f"{pods}: that of the API server meanwhile", "ms"),
        "sweep": Measure(f"{pods}: a look for leftovers, or the same list anew", "ms"),
        "sweep_cpu": Measure(f"{pods}: processor time of that", "ms"),
    }


async def _once(street: _Street, contestant: str) -> Mapping[str, float]:
    """Start the program anew and measure it."""
    if contestant == _NOBODY:
        used = street.api_server()
        await asyncio.sleep(street.quiet)
        return {"api": (street.api_server() - used) * 1e3}
    async with _watcher(street, _PROGRAMS[contestant]) as watcher:
        opened = await watcher.ask("open")
        if opened["running"] != street.count:
            raise BenchmarkError(
                f"{contestant}: {opened['running']} of {street.count} pods are known to run."
            )
        sweep = await watcher.ask("sweep")
        before = (await watcher.ask("cost"))["all"]
        await street.node.change_all(_CHANGES)
        await asyncio.sleep(_SETTLES)
        changed = (await watcher.ask("cost"))["all"]
        used = street.api_server()
        await asyncio.sleep(street.quiet)
        api = street.api_server() - used
        quiet = (await watcher.ask("cost"))["all"] - changed
    return {
        "took": opened["took"],
        "cpu": opened["cpu"],
        "memory": opened["memory"],
        "changes": changed - before,
        "quiet": quiet * 1e3,
        "api": api * 1e3,
        "sweep": sweep["took"] * 1e3,
        "sweep_cpu": sweep["cpu"] * 1e3,
    }


@asynccontextmanager
async def _watcher(street: _Street, name: str) -> AsyncIterator[_Watcher]:
    log = street.directory / f"{name}.log"
    words = (sys.executable, "-m", "benchmarks.kube_watcher", name, json.dumps(asdict(street.site)))
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *words,
            env=_environment(street.cluster),
            cwd=street.directory,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            limit=_LOG_LIMIT,
        )
    watcher = _Watcher(process, log)
    try:
        await watcher.ask("cost")  # it has been loaded
        yield watcher
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()


async def _move_in(directory: Path, cluster: OwnCluster, count: int) -> KubernetesSite:
    """Start the sandboxes by our own backend; it goes, and they stay."""
    await make_namespaces(cluster, {_NAMESPACE: RESTRICTED})
    authority = directory / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\n" + "x" * 1200 + "\n")
    site = KubernetesSite(
        namespace=_NAMESPACE,
        gateway_name="gateway",
        gateway_address="10.250.255.2",
        gateway_namespace="elsewhere",
        gateway_labels={},
        link_image="none",
        authority=str(authority),
        host_users="allowed",
    )
    await _make_homes(cluster)
    # A program of its own, as a launcher is: this one stays free of clients of the cluster.
    log = directory / "sandboxes.log"
    words = (sys.executable, "-m", "benchmarks.kube_sandboxes", json.dumps(asdict(site)), str(count))
    async with program(words, log, _environment(cluster)) as process:
        if await process.wait():
            raise BenchmarkError(f"The sandboxes were not started; the end of the log:\n{end_of(log)}")
    return site


def _environment(cluster: OwnCluster) -> Mapping[str, str]:
    """Of a program that asks this cluster."""
    return os.environ | {"KUBECONFIG": str(cluster.layout.kubeconfig), "PYTHONPATH": str(CHECKOUT)}


async def _make_homes(cluster: OwnCluster) -> None:
    """Until it is bound: a scheduler that meets it before looks again minutes later."""
    await asyncio.to_thread(cluster.apply, *_homes())
    claim = f"/api/v1/namespaces/{_NAMESPACE}/persistentvolumeclaims/homes"
    end = time.monotonic() + _PATIENCE
    while (await asyncio.to_thread(cluster.api.ask, "GET", claim))["status"].get("phase") != "Bound":
        if time.monotonic() > end:
            raise BenchmarkError("The claim of the homes is not bound.")
        await asyncio.sleep(0.1)  # a controller does it, and tells nobody


def _homes() -> list[dict[str, object]]:
    """One claim with everybody's home, bound already: claims are not what is measured."""
    wanted = {"accessModes": ["ReadWriteMany"], "storageClassName": "none"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": _NAMESPACE},
            "spec": {
                **wanted,
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/nowhere"},
                "claimRef": {"namespace": _NAMESPACE, "name": "homes"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "homes", "namespace": _NAMESPACE},
            "spec": {**wanted, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": _NAMESPACE},
        },
    ]
