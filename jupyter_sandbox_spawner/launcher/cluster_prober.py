"""How does one probe run on a cluster? A policy, a pod, its words, and nothing left of both."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..backends.kubernetes.api import Cluster
from ..backends.kubernetes.host import ClusterHost
from ..backends.kubernetes.layout import OWNER_LABEL, SANDBOX_LABEL, SITE_LABEL, USER
from ..backends.kubernetes.questions import Document, Kind
from ..backends.kubernetes.render import way_out
from ..errors import BackendError, SandboxError
from ..names import LABEL_OWNER, sandbox_id
from ..rules.canary import Verdict
from ..rules.pod_canary import PodVerdict, Targets, judge_pod, probe_plan
from ..settings import Site
from .cluster_probe import PROBE_LABEL, probe_pod, probe_policy, probe_spec
from .pod_probe import MARK
from .proofs import CANARY

__all__ = ["ClusterProber", "Shown", "targets"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_PATIENCE = 120.0  # seconds for a probe, an image's way to a new node included
_LOOK = 0.5  # seconds between looks at a probe
_TAIL = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one probe has shown, and where it ran; `untried`: the cluster had no place for it just then."""

    verdict: Verdict
    node: str = ""
    untried: bool = False


class ClusterProber:
    """Verbs: probe, nodes, sweep, runtime_of. `way` is the one way out that a policy may open."""

    def __init__(
        self, site: Site, host: ClusterHost, uid: int, aims: Targets, tell_pids: Callable[[bool], None]
    ) -> None:
        """`aims` must not be reached. `tell_pids`: does a kubelet hold pods to a number of processes?"""
        self._api: Cluster = host.api
        self._host = host
        self._uid = uid
        self._environment = next(iter(site.environments), "")
        self._runtimes = site.runtimes
        self._plan = probe_plan(host.site.cluster, host.site.pods_port, aims)
        self.way = way_out(host.site.cluster, host.site.pods_port)
        self._selector = f"{OWNER_LABEL}={LABEL_OWNER},{SITE_LABEL}={host.label}"
        self._tell_pids = tell_pids

    async def probe(self, runtime: str, node: str, where: Mapping[str, Any]) -> Shown:
        """Try on a node, or ("") wherever the scheduler puts a sandbox that is placed so."""
        spec = probe_spec(
            sandbox_id(CANARY, node, os.urandom(8).hex()), self._environment, self._uid, runtime
        )
        try:
            place = self._host.place(spec)
            await self._make("networkpolicies", probe_policy(spec, place))
            await self._make("pods", probe_pod(spec, place, self._plan, _pinned(node) if node else where))
            return await self._watch(spec.id)
        except SandboxError as error:
            log.warning("The probe could not run: %s", error)
            return Shown(verdict=Verdict(broken=(str(error).rstrip("."),)), node=node, untried=True)
        finally:
            await self._erase(spec.id)

    async def nodes(self) -> frozenset[str]:
        """Nodes with sandboxes on them."""
        pods = await self._api.list("pods", f"{self._selector},{SANDBOX_LABEL}")
        found = {str((pod.get("spec") or {}).get("nodeName") or "") for pod in pods.items}
        return frozenset(found - {""})

    def runtime_of(self, pod: Document) -> str:
        """The runtime of a sandbox, by its pod's class."""
        name = (pod.get("spec") or {}).get("runtimeClassName") or ""
        classes = self._host.site.cluster.runtime_classes
        return next((key for key in self._runtimes if classes.get(key, "") == name), self._runtimes[0])

    async def sweep(self) -> None:
        """Take away what earlier probes left."""
        for kind in ("pods", "networkpolicies"):
            listing = await self._api.list(kind, f"{self._selector},{PROBE_LABEL}", metadata_only=True)
            for item in listing.items:
                await self._api.delete(kind, item["metadata"]["name"])

    async def _make(self, kind: Kind, manifest: Document) -> None:
        try:
            await self._api.create(kind, manifest)
        except BackendError as error:
            if error.code != "kubernetes.conflict":  # nobody else has a probe's name: an answer was lost
                raise

    async def _watch(self, name: str) -> Shown:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            pod = await self._api.get("pods", name) or {}
            node = str((pod.get("spec") or {}).get("nodeName") or "")
            phase = (pod.get("status") or {}).get("phase")
            if phase in ("Succeeded", "Failed"):
                break
            if not pod or asyncio.get_running_loop().time() > deadline:
                why = f"its pod is {phase or 'gone'}{f' on {node}' if node else ', and no node has it'}"
                late = Verdict(broken=(f"it did not end in time ({why})",))
                return Shown(verdict=late, node=node, untried=phase == "Pending")
            await asyncio.sleep(_LOOK)
        shown = self._judge((await self._api.log_tail(name, USER, _TAIL)).decode(errors="replace"))
        for note in shown.notes:
            log.warning("On the node %s a sandbox is weaker than it could be: %s.", node, note)
        self._tell_pids(shown.pids)
        return Shown(verdict=shown.verdict, node=node)

    def _judge(self, said: str) -> PodVerdict:
        lines = [line.removeprefix(MARK) for line in said.splitlines() if line.startswith(MARK)]
        found = [json.loads(line) for line in lines]
        network = next((item for item in found if "gateway" in item), None)
        isolation = next((item for item in found if "root user" in item), None)
        if network is None or isolation is None:
            log.error("The probe said: %s", said[-2000:])
        endless: dict[str, str] = next((item for item in found if "endless processes" in item), {})
        return judge_pod(isolation, network and {**network, **endless}, self._plan)

    async def _erase(self, name: str) -> None:
        for kind in ("pods", "networkpolicies"):
            try:
                await self._api.delete(kind, name, grace=1 if kind == "pods" else None)
            except BackendError as error:
                log.error("The probe %s could not be removed: %s", name, error)


def targets(site: Site, api_url: str, resolv: Path = Path("/etc/resolv.conf")) -> Targets:
    """What the launcher itself can reach: the API at this URL, its name servers, the gateway's ports."""
    parts = urlsplit(api_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    # Pods know no names, and are told the address of the API by which the launcher itself reaches it.
    host = os.environ.get("KUBERNETES_SERVICE_HOST") or socket.gethostbyname(parts.hostname or "")
    return Targets(
        api=(host, int(os.environ.get("KUBERNETES_SERVICE_PORT") or port)),
        names=_name_servers(resolv),
        gateway_ports=[port for port in (site.front_port, site.wires.port if site.wires else 0) if port],
    )


def _name_servers(resolv: Path) -> Sequence[str]:
    try:
        lines = resolv.read_text().splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    return [name for name in found if not name.startswith("127.")]


def _pinned(node: str) -> dict[str, Any]:
    """Only there, whatever keeps others away: sandboxes may be let in by tolerations of their own."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}, "tolerations": [{"operator": "Exists"}]}
