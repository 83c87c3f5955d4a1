"""How does a server run on a cluster? KubeSpawner's settings are read; only the launcher asks the cluster.

Law: a setting that would open the sandbox is refused, at the hub's start and again at each server's; what an
admin's hook makes of a pod is judged here, and the finished pod once more by the launcher.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from kubespawner.objects import make_pod
from traitlets import default

from ..models import SandboxSpec
from ..rules.kube_overlay import kube_overlay
from ..rules.kube_settings import REFUSED, SITE_WIDE, kube_settings
from .environment import ServerPlan
from .spawner import SandboxSpawner

__all__ = ["SandboxKubeSpawner"]

_LISTS = (
    *("image_pull_secrets", "node_affinity_preferred", "node_affinity_required", "tolerations"),
    *("pod_affinity_preferred", "pod_affinity_required", "pod_anti_affinity_preferred"),
    *("pod_anti_affinity_required",),
)
_EXPANDED = ("extra_annotations", "extra_labels", "extra_pod_config", "node_selector")


class _NoCluster(KubeSpawner):  # type: ignore[misc]  # without type hints
    """KubeSpawner's settings without its client: the hub has no rights in the cluster, and no state there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super(KubeSpawner, self).__init__(*args, **kwargs)
        self._pvc_exists = False
        self._start_future = None

    def get_state(self) -> dict[str, Any]:
        """Nothing of pods: their names are the launcher's."""
        state: dict[str, Any] = super(KubeSpawner, self).get_state()
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """See get_state."""
        super(KubeSpawner, self).load_state(state)

    def clear_state(self) -> None:
        """See get_state."""
        super(KubeSpawner, self).clear_state()


class SandboxKubeSpawner(SandboxSpawner, _NoCluster):
    """Servers in pods of a cluster. `super().start()` is never called: the launcher acts."""

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return ["jupyterhub-singleuser"]  # never the image's own command, which nothing here could judge

    @default("start_timeout")
    def _default_start_timeout(self) -> int:
        # As z2jh's: an image takes longer than JupyterHub's 60 seconds, and so may a Lease that is passed on.
        return 300

    async def load_user_options(self) -> None:
        """A choice is decided in `start`; kubespawner's profiles would be applied a second time."""

    def server_plan(self, spec: SandboxSpec) -> ServerPlan:
        """See SandboxSpawner.server_plan; the server is told its own image, not the configured default."""
        plan = super().server_plan(spec)
        image = self.site.environments[spec.environment_name].image
        told = {"JUPYTER_IMAGE_SPEC": image, "JUPYTER_IMAGE": image}
        return replace(plan, environment={**plan.environment, **told})

    async def overlay(self, spec: SandboxSpec) -> dict[str, Any]:
        """What settings and modify_pod_hook make of a plain pod, as a fragment of its manifest.

        Raises ConfigurationError `kubernetes.setting_refused` for what would open the sandbox.
        """
        judged = (*REFUSED, *SITE_WIDE)
        kube_settings({name: getattr(self, name) for name in judged if self.trait_has_value(name)})
        async with ApiClient() as client:
            read: Callable[[Any], Mapping[str, Any]] = client.sanitize_for_serialization
            plain = read(self._pod(spec, {}))
            pod = self._pod(spec, await self._settings())
            if self.modify_pod_hook:
                pod = await _settled(self.modify_pod_hook(self, pod))
            cluster = self.site.kubernetes
            return kube_overlay(plain, read(pod), cluster.pod_annotations if cluster is not None else ())

    def _pod(self, spec: SandboxSpec, settings: Mapping[str, Any]) -> Any:
        """A pod as KubeSpawner would make it, for hooks to look at; of it only what they change is used."""
        limits = {"cpu_limit": spec.resources.cpu, "mem_limit": spec.resources.memory}
        image = self.site.environments[spec.environment_name].image
        return make_pod(spec.id, list(self.cmd), 8888, image, **limits, **settings, logger=self.log)

    async def _settings(self) -> dict[str, Any]:
        found = {name: self._expand_all(getattr(self, name)) for name in _EXPANDED}
        found |= {name: self._sorted_dict_values(getattr(self, name)) for name in _LISTS}
        common = self.common_labels if self.trait_has_value("common_labels") else {}
        labels = {**found.pop("extra_labels"), **common}
        annotations = found.pop("extra_annotations")
        return {name: value for name, value in found.items() if value} | {
            "labels": labels,
            "annotations": annotations,
            "priority_class_name": self.priority_class_name or None,
            "scheduler_name": self.scheduler_name or None,
        }


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
