"""Who runs 500 pods on a machine for two? A node that is none: it says of each pod that it runs, or ended.

Everything else is real: the API server that keeps them, the scheduler that brings them here, and the
controllers, for which this node gives its signs of life.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

import aiohttp

from hub_config.kubernetes.cluster.own_cluster import OwnCluster

from .row import BenchmarkError

__all__ = ["FakeNode", "open_fake_node"]

_NAME = "no-machine"
_ALIVE_EVERY = 5.0  # seconds; controllers give up a node after 20
_AT_ONCE = 16  # requests
_MERGE = {"Content-Type": "application/merge-patch+json"}
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_ROOM = {"cpu": "10k", "memory": "100Ti", "pods": "5k", "ephemeral-storage": "100Ti"}
_Item = Mapping[str, Any]


class FakeNode:
    """`pods` are paths of those that it says run."""

    def __init__(self, session: aiohttp.ClientSession, api: str) -> None:
        self.pods: dict[str, str] = {}
        self._session = session
        self._api = api
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._asked: set[asyncio.Task[None]] = set()

    async def change_all(self, times: int) -> int:
        """Say something new of each pod's containers, so many times; how many changes that were."""
        paths = list(self.pods)
        for _ in range(times):
            told = {"status": {"conditions": _conditions(datetime.now(timezone.utc).isoformat())}}
            await asyncio.gather(*(self.ask("PATCH", f"{path}/status", told) for path in paths))
        return times * len(paths)

    async def ask(self, method: str, path: str, body: Any = None, known: bool = False) -> _Item:
        """One call. `known`: that it is there already, or gone, is fine. Raises BenchmarkError."""
        headers = _MERGE if method == "PATCH" else {}
        async with (
            self._few,
            self._session.request(method, self._api + path, json=body, headers=headers) as answer,
        ):
            document: _Item = await answer.json()
        if answer.status >= 300 and not (known and answer.status in (404, 409)):
            raise BenchmarkError(f"{method} {path}: {answer.status} {document.get('message')}")
        return document

    async def enter(self) -> None:
        """Be a node of the cluster, with room for all."""
        labels = {"kubernetes.io/hostname": _NAME}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": _NAME, "labels": labels}}
        await self.ask("POST", "/api/v1/nodes", node)
        lease = {"metadata": {"name": _NAME}, "spec": {"holderIdentity": _NAME, "leaseDurationSeconds": 40}}
        await self.ask("POST", _LEASES, lease)
        await self._live()

    async def keep_alive(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(_ALIVE_EVERY)
            await self._live()

    async def _live(self) -> None:
        now = datetime.now(timezone.utc)
        ready = {"type": "Ready", "status": "True", "reason": "Pretended", "message": "it says so"}
        ready |= {"lastHeartbeatTime": _time(now), "lastTransitionTime": _time(now)}
        status = {"capacity": _ROOM, "allocatable": _ROOM, "conditions": [ready]}
        await self.ask("PATCH", f"/api/v1/nodes/{_NAME}/status", {"status": status})
        renewed = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        await self.ask("PATCH", f"{_LEASES}/{_NAME}", {"spec": {"renewTime": renewed}})

    async def run_pods(self) -> None:
        """As a kubelet does, all that the scheduler brings; until it is cancelled.

        The API server ends a watch now and then, of a slow listener too; then everything is listed anew.
        """
        where = f"/api/v1/pods?fieldSelector=spec.nodeName={_NAME}"
        limit = aiohttp.ClientTimeout(total=None)
        while True:
            listing = await self.ask("GET", where)
            there = {self._see(pod) for pod in listing["items"]}
            for path in self.pods.keys() - there:
                del self.pods[path]
            watch = f"{self._api}{where}&watch=1&resourceVersion={listing['metadata']['resourceVersion']}"
            async with self._session.get(watch, timeout=limit) as answer:
                async for line in answer.content:
                    told = json.loads(line)
                    if told["type"] == "ERROR":
                        break
                    self._see(told["object"])

    def _see(self, pod: _Item) -> str:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if "deletionTimestamp" in meta:
            if self.pods.pop(path, None):
                self._later(self._end(path))
        elif path not in self.pods:
            self.pods[path] = meta["uid"]
            self._later(self._begin(path, pod))
        return path

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _begin(self, path: str, pod: _Item) -> None:
        number = len(self.pods)
        now = datetime.now(timezone.utc)
        spec, address = pod["spec"], f"10.250.{number // 250}.{number % 250 + 1}"
        status = {
            "phase": "Running",
            "startTime": _time(now),
            "hostIP": "10.250.255.1",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": _conditions(now.isoformat()),
            "initContainerStatuses": [_running(item, now) for item in spec.get("initContainers", ())],
            "containerStatuses": [_running(item, now) for item in spec["containers"]],
        }
        await self.ask("PATCH", f"{path}/status", {"status": status}, known=True)

    async def _end(self, path: str) -> None:
        # As it does once no container is left: the object goes at once.
        await self.ask("DELETE", path, {"gracePeriodSeconds": 0}, known=True)


@asynccontextmanager
async def open_fake_node(cluster: OwnCluster) -> AsyncIterator[FakeNode]:
    """The cluster's only node while the block lasts. Raises BenchmarkError where it could not go on."""
    place = cluster.layout.authority
    tls = ssl.create_default_context(cafile=str(place / "ca.pem"))
    tls.load_cert_chain(place / "admin.pem", place / "admin-key.pem")
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=1 << 22) as session:
        node = FakeNode(session, cluster.layout.api)
        await node.enter()
        jobs = [asyncio.create_task(node.keep_alive()), asyncio.create_task(node.run_pods())]
        try:
            yield node
        finally:
            for job in jobs:
                job.cancel()
            ends = await asyncio.gather(*jobs, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end


def _running(container: _Item, now: datetime) -> dict[str, Any]:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "none",
        "containerID": "none://0",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": _time(now)}},
    }


def _conditions(word: str) -> list[dict[str, str]]:
    names = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return [{"type": name, "status": "True", "message": word} for name in names]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
