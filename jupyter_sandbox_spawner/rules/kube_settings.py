"""Which `c.KubeSpawner.*` settings keep working, and which would open the sandbox? Pure.

Law: what is not known to be harmless is refused with its name and the safe way to what it is used for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..units import parse_size
from .profile_fields import shown

__all__ = [
    "INTO_THE_POD",
    "NO_EFFECT",
    "REFUSED",
    "SITE_WIDE",
    "KubeSettings",
    "kube_settings",
    "refused_kube",
]

_EGRESS = 'Allow the name in the profile (egress: ["NAME:PORT"]); internal_services of setup_hub maps it.'
_UIDS = "Remove it; each user has a uid of their own, which never is root."
_CLOSED = "Remove it; every sandbox has the closed value."
_DATA = "Homes are PersistentVolumeClaims of the launcher; list data in the profiles file (datasets)."
_CONTAINERS = (
    "What runs beside the user could act as the user. Put it into the image. For z2jh's own:"
    " singleuser.cloudMetadata.blockWithIptables: false."
)
_LIMITS = "Set it in the profile (cpu, memory, gpu); control counts it there."
_ONE_PLACE = 'Use setup_hub(c, kubernetes={"namespace": ...}); the launcher has rights in that one alone.'
_HUB = "The hub has no rights in the cluster; modify_pod_hook works, and what it changes is judged."

# Become part of the pod, judged by what they make of it (kube_overlay.py).
INTO_THE_POD = (
    *("common_labels", "extra_annotations", "extra_labels", "extra_pod_config", "image_pull_secrets"),
    *("modify_pod_hook", "node_affinity_preferred", "node_affinity_required", "node_selector"),
    *("pod_affinity_preferred", "pod_affinity_required", "pod_anti_affinity_preferred"),
    *("pod_anti_affinity_required", "priority_class_name", "scheduler_name", "tolerations"),
)
# The same for everybody, so the launcher has them from the site.
SITE_WIDE = ("image", "image_pull_policy", "storage_capacity", "storage_class")
# Refused wherever they say anything, each with the way to what it is used for.
REFUSED: Mapping[str, str] = {
    "after_pod_created_hook": _HUB,
    "allow_privilege_escalation": _CLOSED,
    "automount_service_account_token": "A sandbox has no identity in the cluster. Remove it.",
    "container_security_context": _CLOSED,
    "enable_user_namespaces": _ONE_PLACE,
    "extra_container_config": "Use c.Spawner.environment, the profile's limits, or the image.",
    "extra_containers": _CONTAINERS,
    "extra_resource_guarantees": _LIMITS,
    "extra_resource_limits": _LIMITS,
    "fs_gid": _UIDS,
    "get_pod_url": "Nobody connects to a pod; browsers come by the gateway. Remove it.",
    "gid": _UIDS,
    "init_containers": _CONTAINERS,
    "lifecycle_hooks": "It would run inside with another identity. Put it into the image.",
    "pod_security_context": _CLOSED,
    "privileged": _CLOSED,
    "profile_list": "Give the list to setup_hub(c, profiles=...), which reads the same fields.",
    "service_account": "A sandbox has no identity in the cluster. Remove it.",
    "services_enabled": "Nobody connects to a pod; browsers come by the gateway. Remove it.",
    "supplemental_gids": _UIDS,
    "uid": _UIDS,
    "volume_mounts": _DATA,
    "volumes": _DATA,
    "working_dir": "Servers start in the home. Use c.Spawner.notebook_dir for another directory.",
}
# Say nothing about a sandbox that starts here: names, the hub's own client, kubespawner's page and volumes.
NO_EFFECT = (
    *("additional_profile_form_template_paths", "component_label", "delete_grace_period", "delete_pvc"),
    *("delete_stopped_pods", "dns_name_template", "events_enabled", "handle_legacy_names"),
    *("hub_connect_ip", "hub_connect_port", "k8s_api_host", "k8s_api_request_retry_timeout"),
    *("k8s_api_request_timeout", "k8s_api_ssl_ca_cert", "k8s_api_threadpool_workers", "k8s_api_verify_ssl"),
    *("namespace", "pod_connect_ip", "pod_name_template", "profile_form_template", "pvc_name_template"),
    *("remember_pvc_name", "secret_mount_path", "secret_name_template", "slow_spawn_message"),
    *("slow_spawn_message_frequency", "slow_spawn_message_threshold", "slug_scheme"),
    *("storage_access_modes", "storage_extra_annotations", "storage_extra_labels", "storage_pvc_ensure"),
    *("storage_selector", "user_namespace_annotations", "user_namespace_labels", "user_namespace_template"),
)
_PULL = ("Always", "IfNotPresent", "Never")
_IDS = ("fs_gid", "gid", "supplemental_gids", "uid")


@dataclass(frozen=True, kw_only=True)
class KubeSettings:
    """What the site takes over; "" and None: nothing was set."""

    image: str = ""
    pull_policy: str = ""
    storage_class: str = ""
    home_size: int | None = None


def kube_settings(given: Mapping[str, Any], general: Collection[str] = ()) -> KubeSettings:
    """Read the settings of one KubeSpawner; `general` are names of settings that every spawner has.

    Raises ConfigurationError `kubernetes.setting_refused`.
    """
    known = {*INTO_THE_POD, *SITE_WIDE, *NO_EFFECT, *general}
    for name, value in given.items():
        if name in REFUSED:
            if _opens(name, value):
                raise refused_kube(name, value, REFUSED[name])
        elif name not in known:
            raise refused_kube(name, value, _newer(name))
    policy = given.get("image_pull_policy") or ""
    if policy not in ("", *_PULL):
        raise refused_kube("image_pull_policy", policy, f"Write one of {', '.join(_PULL)}.")
    return KubeSettings(
        image=_text("image", given),
        pull_policy=policy,
        storage_class=_text("storage_class", given),
        home_size=_size(given.get("storage_capacity")),
    )


def refused_kube(name: str, value: Any, way: str) -> ConfigurationError:
    """The refusal of one setting; `name` may go on to a part of it."""
    return ConfigurationError(
        f"c.KubeSpawner.{name} = {shown(value)} would open the sandbox or is not known to be harmless.",
        code="kubernetes.setting_refused",
        field=name,
        remedy=way,
    )


def _opens(name: str, value: Any) -> bool:
    """Would it change anything that counts? z2jh sets ids and the home's volume for everybody."""
    if not value and not (name in _IDS and value == 0 and value is not False):
        return False
    if name in _IDS:
        ids = value if isinstance(value, (list, tuple)) else [value]
        return any(not isinstance(number, int) or number <= 0 for number in ids)
    if name == "volumes":
        return any(not _is_home(volume) for volume in _items(value))
    if name == "volume_mounts":
        return any(not str(mount.get("name", "")).startswith("volume-") for mount in _items(value))
    return True


def _items(value: Any) -> list[Mapping[str, Any]]:
    found = list(value.values()) if isinstance(value, Mapping) else list(value)
    return [item if isinstance(item, Mapping) else {} for item in found]


def _is_home(volume: Mapping[str, Any]) -> bool:
    """Is it the claim that z2jh makes for a user? Ours takes its place."""
    claim = volume.get("persistentVolumeClaim")
    named = isinstance(claim, Mapping) and str(claim.get("claimName", "")).startswith(
        ("{pvc_name}", "claim-")
    )
    return named and set(volume) == {"name", "persistentVolumeClaim"}


def _newer(name: str) -> str:
    for old in ("singleuser_", "user_"):
        if name.startswith(old):
            return f"It has a newer name: c.KubeSpawner.{name.removeprefix(old)}."
    return "Remove it; this version knows nothing of it."


def _text(name: str, given: Mapping[str, Any]) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str) or "{" in value:
        raise refused_kube(name, value, "Write one text, the same for everybody.")
    return value


def _size(value: Any) -> int | None:
    if not value:
        return None
    # Kubernetes' own spelling of the powers of two.
    return parse_size(str(value).removesuffix("i"), "storage_capacity")
