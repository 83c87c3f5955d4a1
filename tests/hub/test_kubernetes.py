"""What do a configuration file and a real hub make of KubeSpawner's settings, and in which order is a pod
announced, found and forgotten?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.setup_hub import setup_hub, site_from_config

from .cluster_sites import CLUSTER, IMAGE, SITE
from .hub_process import HubProcess

pytest.importorskip("kubespawner")
CONFIGURED = """
def into_pool(spawner, pod):
    pod.spec.node_selector = {"pool": "users"}
    pod.metadata.annotations["example.org/user"] = spawner.user.name
    return pod
c.KubeSpawner.modify_pod_hook = into_pool
c.KubeSpawner.extra_labels = {"cost-centre": "42"}
c.KubeSpawner.tolerations = [{"key": "dedicated", "operator": "Exists"}]
c.KubeSpawner.node_affinity_required = [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
c.KubeSpawner.extra_pod_config = {"topologySpreadConstraints": []}
c.KubeSpawner.priority_class_name = "users"
"""
OPENING = """
def open_it(spawner, pod):
    pod.spec.host_network = True
    return pod
c.KubeSpawner.modify_pod_hook = open_it
"""


def configured(profiles: Path, c: Config | None = None, **more: Any) -> Config:
    """A configuration after setup_hub with the Kubernetes backend."""
    c = c or Config()
    places = {"run_dir": "/run/jupyter-sandbox", "state_dir": "/var/lib/jupyter-sandbox"}
    settings = {"environments": {"default": IMAGE}, "kubernetes": CLUSTER, **more}
    setup_hub(c, profiles=profiles, backend="kubernetes", **places, **settings)
    return c


def test_a_site(profiles_file: Path) -> None:
    """What the launcher and the wires need is in the site; uids are such as pods can have."""
    hosts = {"hub": "hub.jupyter-sandbox", "proxy": "proxy.jupyter-sandbox"}
    places: dict[str, Any] = {"listen_host": "0.0.0.0", "hosts": hosts, "hub_port": 8081, "proxy_api_port": 1}
    c = configured(profiles_file, wires={"hosts": {"launcher": "launcher.jupyter-sandbox"}}, **places)
    site = site_from_config(c)
    assert site["kubernetes"]["namespace"] == "jupyter-sandbox-pods"
    assert site["wires"]["hosts"] == {"launcher": "launcher.jupyter-sandbox"}
    assert (site["uid_base"], site["uid_count"]) == (10_000, 50_000)
    assert c.JupyterHub.spawner_class.endswith("SandboxKubeSpawner")
    assert (c.JupyterHub.hub_ip, c.JupyterHub.hub_connect_ip) == ("0.0.0.0", "hub.jupyter-sandbox")
    assert c.ConfigurableHTTPProxy.api_url == "http://proxy.jupyter-sandbox:1"


def test_kubespawners_own_settings(profiles_file: Path) -> None:
    """Image, storage and pull policy of KubeSpawner count where setup_hub says nothing."""
    c = Config()
    c.KubeSpawner.image = "quay.io/jupyter/scipy-notebook"
    c.KubeSpawner.storage_capacity = "5Gi"
    c.KubeSpawner.storage_class = "fast"
    c.KubeSpawner.image_pull_policy = "Never"
    c.KubeSpawner.start_timeout = 300
    site = site_from_config(configured(profiles_file, c, environments=None))
    assert site["environments"]["default"]["image"] == "quay.io/jupyter/scipy-notebook"
    cluster = site["kubernetes"]
    found = (cluster["home_size"], cluster["storage_class"], cluster["pull_policy"])
    assert found == (5 << 30, "fast", "Never")


def test_a_start_on_a_cluster_may_take_longer() -> None:
    """Five minutes, as with z2jh, for an image or a new node; whoever sets it decides."""
    from jupyter_sandbox_spawner.hub.kubernetes import SandboxKubeSpawner

    assert SandboxKubeSpawner().start_timeout == 300
    assert SandboxKubeSpawner(config=Config({"Spawner": {"start_timeout": 40}})).start_timeout == 40


def test_settings_after_setup_hub(profiles_file: Path, control: Any) -> None:
    """What stands below setup_hub in the file is judged as well."""
    c = configured(profiles_file)
    c.KubeSpawner.node_selector = {"pool": "users"}
    control("harmless ones are taken", site_from_config(c)["backend"] == "kubernetes")
    c.SandboxKubeSpawner.privileged = True
    with pytest.raises(ConfigurationError) as refused:
        site_from_config(c)
    assert (refused.value.code, refused.value.field) == ("kubernetes.setting_refused", "privileged")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"kubernetes": None}, "kubernetes"),
    "no gateway": ({"kubernetes": {**CLUSTER, "gateway_address": ""}}, "kubernetes.gateway_address"),
    "a gateway by name": ({"kubernetes": {**CLUSTER, "gateway_address": "gw"}}, "kubernetes.gateway_address"),
    "an unknown key": ({"kubernetes": {**CLUSTER, "nodes": 3}}, "kubernetes.nodes"),
    "a number as text": ({"kubernetes": {**CLUSTER, "storage_class": 1}}, "kubernetes.storage_class"),
    "another choice": ({"kubernetes": {**CLUSTER, "host_users": "maybe"}}, "kubernetes.host_users"),
    "one namespace": (
        {"kubernetes": {**CLUSTER, "namespace": "jupyter-sandbox"}},
        "kubernetes.namespace",
    ),
    "a GPU without a resource": (
        {"kubernetes": {**CLUSTER, "gpu_counts": {"nvidia-a100": 2}}},
        "kubernetes.gpu_counts.nvidia-a100",
    ),
    "uids as on a host": ({"uid_base": 3_000_000}, "uid_base"),
    "a port twice": ({"wires": {"port": 8444}}, "wires.pods_port"),
    "a host for nobody": ({"wires": {"hosts": {"mail": "x"}}}, "wires.hosts.mail"),
    "a host with a port": ({"hosts": {"hub": "hub:8081"}}, "hosts.hub"),
    "no address to listen at": ({"listen_host": "everywhere"}, "listen_host"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(profiles_file: Path, name: str) -> None:
    """A wrong value is refused by its field with the way out, before anything starts."""
    more, field = BAD[name]
    with pytest.raises(ConfigurationError) as refused:
        configured(profiles_file, **more)
    assert refused.value.field == field
    assert refused.value.code in ("kubernetes.setting", "wires.setting")
    assert refused.value.remedy


def test_another_backend_has_no_cluster(profiles_file: Path) -> None:
    """A cluster beside another backend is a mistake, and no port leaves loopback without wires."""
    for more, field in (({"kubernetes": CLUSTER}, "kubernetes"), ({"listen_host": "0.0.0.0"}, "listen_host")):
        with pytest.raises(ConfigurationError) as refused:
            setup_hub(Config(), profiles=profiles_file, run_dir="/r", state_dir="/s", backend="local", **more)
        assert refused.value.field == field


def test_a_start_on_a_cluster(new_hub: Callable[..., AbstractContextManager[HubProcess]]) -> None:
    """The launcher gets image name, judged overlay and a ticket whose hash the wires had first; the address
    comes after the start, and the end forgets the pod."""
    with new_hub(more=CONFIGURED, **SITE) as hub:
        hub.launcher.address = "10.244.0.7"
        assert hub.start("anna").status == 201
        request = hub.launcher.requests[-1]
        sandbox, overlay = request.spec.id, request.overlay
        assert overlay["metadata"] == {
            "labels": {"cost-centre": "42"},
            "annotations": {"example.org/user": "anna"},
        }
        assert overlay["spec"]["nodeSelector"] == {"pool": "users"}
        assert overlay["spec"]["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
        assert overlay["spec"]["priorityClassName"] == "users"
        assert "nodeAffinity" in overlay["spec"]["affinity"]
        digest = hashlib.sha256(request.doors.ticket.encode()).hexdigest()
        assert hub.pods.tickets == {sandbox: digest}
        assert hub.pods.heard == [("register", sandbox), ("address", sandbox, "10.244.0.7")]
        assert request.spec.door_uid is not None
        assert hub.gateway.entries[sandbox].host_uid == request.spec.door_uid
        document = hub.gateway.documents[sandbox]
        assert document.environment["JUPYTER_IMAGE"] == "jupyter-sandbox-user"
        assert request.doors.ticket not in str(document) + hub.log()
        assert set(hub.servers("anna")[""]["state"]) == {"sandbox", "profile"}
        assert hub.api("DELETE", "users/anna/server").status == 204
        assert ("forget", sandbox) in hub.pods.heard
        assert hub.pods.tickets == {}


def test_an_opening_by_a_hook(new_hub: Callable[..., AbstractContextManager[HubProcess]]) -> None:
    """A hook that opens the pod is refused at the start with the path, and nothing is sent."""
    with new_hub(more=OPENING, **SITE) as hub:
        answer = hub.start("anna")
        assert answer.status >= 400
        assert "spec.hostNetwork" in str(answer.document) + hub.log()
        assert hub.launcher.requests == []
        assert hub.pods.tickets == {}


def test_a_pod_without_an_address(new_hub: Callable[..., AbstractContextManager[HubProcess]]) -> None:
    """Where the launcher knows no address the start fails, and nothing of it is left."""
    with new_hub(**SITE) as hub:
        answer = hub.start("anna")
        assert answer.status >= 400
        assert "pod.no_address" in hub.log()
        hub.wait_for("it is undone", lambda: hub.pods.tickets == {})
        assert hub.loop.run(hub.launcher.backend.inventory()) == ()
