"""Does each KubeSpawner setting keep working, or get refused with its name and the safe way?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.rules.kube_settings import (
    INTO_THE_POD,
    NO_EFFECT,
    REFUSED,
    SITE_WIDE,
    KubeSettings,
    kube_settings,
)

OPENING: dict[str, tuple[dict[str, Any], str]] = {
    "privileged": ({"privileged": True}, "closed"),
    "set-uid programs": ({"allow_privilege_escalation": True}, "closed"),
    "an account's token": ({"automount_service_account_token": True}, "identity"),
    "an account": ({"service_account": "admin"}, "identity"),
    "root": ({"uid": 0}, "never is root"),
    "root's group": ({"gid": 0}, "never is root"),
    "root's files": ({"fs_gid": 0}, "never is root"),
    "a further group of root": ({"supplemental_gids": [100, 0]}, "never is root"),
    "a uid by function": ({"uid": lambda spawner: 0}, "never is root"),
    "no seccomp": ({"container_security_context": {"seccompProfile": {"type": "Unconfined"}}}, "closed"),
    "sysctls": ({"pod_security_context": {"sysctls": []}}, "closed"),
    "the node's disk": ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "datasets"),
    "volumes by name": ({"volumes": {"x": {"name": "x", "secret": {"secretName": "hub"}}}}, "datasets"),
    "another's claim": (
        {"volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "bob"}}]},
        "datasets",
    ),
    "a mount": ({"volume_mounts": [{"name": "x", "mountPath": "/x"}]}, "datasets"),
    "what z2jh blocks the metadata address with": (
        {"init_containers": [{"name": "block-cloud-metadata"}]},
        "blockWithIptables: false",
    ),
    "a container beside": ({"extra_containers": [{"name": "x"}]}, "image"),
    "the container": ({"extra_container_config": {"securityContext": {}}}, "environment"),
    "a GPU": ({"extra_resource_limits": {"nvidia.com/gpu": "8"}}, "profile"),
    "a command afterwards": ({"lifecycle_hooks": {"postStart": {"exec": {"command": ["x"]}}}}, "image"),
    "a namespace a user": ({"enable_user_namespaces": True}, "namespace"),
    "a hook with the hub's rights": ({"after_pod_created_hook": print}, "modify_pod_hook"),
    "kubespawner's profiles": ({"profile_list": [{"display_name": "x"}]}, "setup_hub(c, profiles="),
    "an old name": ({"singleuser_uid": 1000}, "c.KubeSpawner.uid"),
    "something new": ({"of_tomorrow": 1}, "knows nothing"),
    "an odd pull policy": ({"image_pull_policy": "Sometimes"}, "IfNotPresent"),
    "an image a user": ({"image": "lab-{username}"}, "same for everybody"),
}


@pytest.mark.parametrize("name", OPENING)
def test_refused(name: str, control: Callable[[str, bool], None]) -> None:
    """A setting that opens the sandbox is refused with its name, its value and the safe way."""
    given, way = OPENING[name]
    control("a hub without it starts", kube_settings({}) == KubeSettings())
    with pytest.raises(ConfigurationError) as refused:
        kube_settings(given)
    assert refused.value.code == "kubernetes.setting_refused"
    assert refused.value.field == next(iter(given))
    assert f"c.KubeSpawner.{refused.value.field}" in refused.value.message
    assert way in refused.value.remedy


def test_what_z2jh_sets_for_everybody() -> None:
    """Ids that are not root's, a user's own claim and names that have no effect here stop nobody."""
    claim = {"name": "volume-{user_server}", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
    given = {
        "uid": 1000,
        "fs_gid": 100,
        "volumes": [claim],
        "volume_mounts": [{"name": "volume-{user_server}", "mountPath": "/home/jovyan"}],
        "namespace": "hub",
        "pod_name_template": "jupyter-{user_server}",
        "storage_capacity": "10Gi",
        "storage_class": "fast",
        "image": "quay.io/jupyter/base-notebook",
        "image_pull_policy": "Always",
        "privileged": False,
        "start_timeout": 300,
    }
    assert kube_settings(given, ("start_timeout",)) == KubeSettings(
        image="quay.io/jupyter/base-notebook",
        pull_policy="Always",
        storage_class="fast",
        home_size=10 << 30,
    )


def test_every_setting_of_kubespawner_is_judged() -> None:
    """What the installed KubeSpawner can be told beyond a plain spawner is in exactly one of the lists."""
    kubespawner = pytest.importorskip("kubespawner")
    from jupyterhub.spawner import Spawner

    own = set(kubespawner.KubeSpawner.class_trait_names(config=True))
    own -= set(Spawner.class_trait_names(config=True))
    listed = [*INTO_THE_POD, *SITE_WIDE, *NO_EFFECT, *REFUSED]
    assert sorted(own) == sorted(listed)
