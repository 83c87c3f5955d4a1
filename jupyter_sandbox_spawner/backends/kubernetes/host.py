"""What does the cluster give to sandboxes: which images and runtimes, which limits does it hold?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...errors import BackendError, SandboxError
from ...kubernetes_site import KubernetesSite
from ...models import Capabilities, SandboxSpec
from ...settings import Environment
from ..base import CANNOT_START, unknown_environment
from ..docker.etc import etc_files
from .api import Cluster
from .insisting import INSIST
from .layout import GpuRequest, Place, site_label

__all__ = ["ClusterGpus", "ClusterHost", "ClusterSite", "NamedGpus"]

_OLDEST = (1, 29)  # sidecars that end after the user's container; on by default from there on
_USERS = (1, 33)  # from there on pods have user namespaces without anybody's asking
_ETC = ("group", "nsswitch.conf", "passwd")  # the kubelet writes hosts and resolv.conf
_NO_PIDS = (
    "Nobody tells the launcher how many processes the nodes let a pod have. Set podPidsLimit in the"
    " configuration of every kubelet; the canary looks."
)


class ClusterGpus(Protocol):
    """Whoever knows what a device's id stands for on the cluster."""

    def request(self, ids: Sequence[str]) -> GpuRequest:
        """How a scheduler is asked for them. Raises RefusedError for one that nobody knows."""


class NamedGpus:
    """Ids are `KIND/NUMBER`: control counts them, and the cluster chooses the very device."""

    def __init__(self, cluster: KubernetesSite) -> None:
        self._cluster = cluster

    def request(self, ids: Sequence[str]) -> GpuRequest:
        """See ClusterGpus.request."""
        resources: dict[str, int] = {}
        nodes: dict[str, str] = {}
        for name in ids:
            kind = name.rpartition("/")[0]
            resource = self._cluster.gpu_resource.get(kind, "")
            if not resource:
                raise BackendError(
                    f"The cluster has no resource for a GPU of the kind {kind!r}.",
                    code="gpu.unusable",
                    field="gpu_resource",
                    remedy="Name it in gpu_resource of the site's Kubernetes settings.",
                )
            resources[resource] = resources.get(resource, 0) + 1
            if product := self._cluster.gpu_products.get(kind, ""):
                nodes["nvidia.com/gpu.product"] = product
        return GpuRequest(resources=resources, nodes=nodes)


@dataclass(frozen=True, kw_only=True)
class ClusterSite:
    """What the admin decides. `kubeconfig` "": KUBECONFIG's, else the account of the launcher's own pod.
    `left`: as of `Cluster`."""

    cluster: KubernetesSite
    pods_port: int
    environments: Mapping[str, Environment]
    runtimes: tuple[str, ...] = ("runc",)
    kubeconfig: str = ""
    gpus: ClusterGpus | None = field(default=None)
    left: Callable[[], float] | None = field(default=None)


class ClusterHost:
    """Asked each time the cluster answers anew; `place` then says what one sandbox gets."""

    def __init__(self, site: ClusterSite, api: Cluster | None = None) -> None:
        self.site = site
        self.api = api or Cluster(site.cluster.namespace, site.kubeconfig, site.left, INSIST)
        self.label = site_label(site.cluster)
        self.gpus: ClusterGpus = site.gpus or NamedGpus(site.cluster)
        self.identity = ""
        self._pids = False
        self._version = (0, 0)
        self.capabilities = self._nothing("the cluster has not been asked yet.")

    async def verify(self) -> None:
        """Ask the cluster what it is. Raises BackendError while it does not answer."""
        self._version = await self.api.version()
        self.identity = f"kubernetes {self._version[0]}.{self._version[1]}"
        self._judge()

    def proved(self, *, pids: bool) -> None:
        """A probe in a pod has met the kubelet's limit of processes, or none."""
        self._pids = pids
        if self.identity:
            self._judge()

    def lost(self, error: SandboxError) -> None:
        """The cluster does not answer: nothing can be started until it does."""
        self.identity = ""
        self.capabilities = self._nothing(str(error))

    def _judge(self) -> None:
        missing = [*self._fatal(), *([] if self._pids else [_NO_PIDS])]
        refused = self._refused()
        self.capabilities = Capabilities(
            backend="kubernetes",
            level="soft" if missing else "hard",
            limits={"memory": True, "cpu": True, "pids": self._pids},
            runtimes={
                name: self.site.cluster.runtime_classes.get(name, self.identity)
                for name in self.site.runtimes
                if name not in refused
            },
            missing=tuple(missing),
            refused=refused,
        )

    def _fatal(self) -> list[str]:
        own = f"{self._version[0]}.{self._version[1]}"
        if self._version < _OLDEST:
            return [
                f"{CANNOT_START} Kubernetes {own} has no sidecars. Use {_OLDEST[0]}.{_OLDEST[1]} or newer."
            ]
        if self.site.cluster.host_users == "never" and self._version < _USERS:
            least = f"{_USERS[0]}.{_USERS[1]}"
            return [
                f"{CANNOT_START} Kubernetes {own} gives pods no user namespaces by itself."
                f" Use {least} or newer, or set host_users='allowed'."
            ]
        return []

    def _refused(self) -> dict[str, str]:
        classes = self.site.cluster.runtime_classes
        return {
            name: f"runtime_classes names no RuntimeClass for {name}."
            for name in self.site.runtimes
            if name != "runc" and name not in classes
        }

    def _nothing(self, why: str) -> Capabilities:
        missing = (f"{CANNOT_START} {why}",)
        return Capabilities(backend="kubernetes", level="soft", limits={}, runtimes={}, missing=missing)

    def place(self, spec: SandboxSpec) -> Place:
        """What the cluster gives the sandbox. Raises BackendError `environment.unknown` or
        `kubernetes.authority`."""
        environment = self.site.environments.get(spec.environment_name)
        if environment is None:
            raise unknown_environment(spec.environment_name, self.site.environments)
        cluster = self.site.cluster
        texts = etc_files(spec.host_uid)
        return Place(
            cluster=cluster,
            pods_port=self.site.pods_port,
            image=environment.image,
            python=f"{environment.prefix}/bin/python",
            etc={name: texts[name] for name in _ETC},
            authority=self.authority(),
            site=self.label,
            runtime_class=cluster.runtime_classes.get(spec.runtime, ""),
            gpus=self.gpus.request(spec.gpu_devices),
        )

    def authority(self) -> str:
        """By which certificates links know the gateway now. Raises BackendError `kubernetes.authority`."""
        path = self.site.cluster.authority
        try:
            return Path(path).read_text()
        except OSError as error:
            raise BackendError(
                "Servers cannot be started: the gateway's certificate authority is missing.",
                code="kubernetes.authority",
                field="authority",
                remedy=f"{path}: {error.strerror}. Make it: jupyter-sandbox-admin certificates make",
            ) from error
