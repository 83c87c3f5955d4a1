"""Does the hub of a cluster, our own or z2jh's, find out what site.json tells the other programs?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.settings import SITE_VARIABLE, Site, load_site
from jupyter_sandbox_spawner.setup_hub import site_from_config
from jupyter_sandbox_spawner.setup_services import CONTROL_TOKEN, TRACKING_TOKEN
from jupyter_sandbox_spawner.wire import decode

from .pod_security import broken_controls
from .shipped import KUBERNETES, PROGRAM, pod_templates

VALUES: Mapping[str, Any] = yaml.safe_load((KUBERNETES / "z2jh/values.yaml").read_text())
SITE = KUBERNETES / "example/site.json"
# What the chart's schema (3.x; newer ones know more paths and kinds) says of the paths that ours set: an open
# mapping, one of texts, a list, a text, a truth, or one of these words. It refuses other paths.
CHART: Mapping[str, str] = {
    **dict.fromkeys(("hub.config.", "hub.services.", "hub.loadRoles.", "hub.extraConfig."), "open"),
    **dict.fromkeys(("hub.extraEnv.", "proxy.chp.extraEnv.", "hub.extraPodSpec."), "open"),
    **dict.fromkeys(("hub.labels.", "proxy.labels.", "singleuser.extraLabels."), "texts"),
    **dict.fromkeys(("hub.image.name", "hub.image.tag"), "text"),
    **dict.fromkeys(("singleuser.image.name", "singleuser.image.tag"), "text"),
    **dict.fromkeys(("hub.extraContainers", "hub.extraVolumes", "hub.extraVolumeMounts"), "list"),
    "proxy.chp.extraCommandLineFlags": "list",
    **dict.fromkeys(("hub.networkPolicy.enabled", "proxy.chp.networkPolicy.enabled"), "truth"),
    **dict.fromkeys(("hub.serviceAccount.create", "rbac.create", "cull.enabled"), "truth"),
    **dict.fromkeys(("singleuser.networkPolicy.enabled", "prePuller.hook.enabled"), "truth"),
    **dict.fromkeys(("scheduling.userScheduler.enabled", "scheduling.userPlaceholder.enabled"), "truth"),
    "singleuser.cloudMetadata.blockWithIptables": "truth",
    "singleuser.storage.type": "dynamic static none",
    "scheduling.userPods.nodeAffinity.matchNodePurpose": "ignore prefer require",
    # Helm takes a default away where values say null, and the schema does not see it.
    **dict.fromkeys(("singleuser.uid", "singleuser.fsGid", "singleuser.cmd"), "a default"),
    "singleuser.memory.guarantee": "a default",
}
KINDS: Mapping[str, Callable[[Any], bool]] = {
    "open": lambda value: isinstance(value, Mapping),
    "texts": lambda value: all(isinstance(item, str) for item in value.values()),
    "text": lambda value: isinstance(value, str),
    "list": lambda value: isinstance(value, list),
    "truth": lambda value: isinstance(value, bool),
    "a default": lambda value: value is None,
}
# The one label that the chart itself gives servers, taken away as the defaults above.
CHARTS_LABEL = "hub.jupyter.org/network-access-hub"
# What the chart's jupyterhub_config.py sets before extraConfig, with our values over its own.
CHARTS_HUB = """
c.JupyterHub.services = []
c.JupyterHub.load_roles = []
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.cookie_secret = b"0" * 32
c.KubeSpawner.common_labels = {"app": "jupyterhub", "release": "jupyterhub"}
c.KubeSpawner.namespace = "jupyter-sandbox"
c.KubeSpawner.start_timeout = 300
c.KubeSpawner.events_enabled = True
c.KubeSpawner.extra_labels = {}
c.KubeSpawner.allow_privilege_escalation = False
c.KubeSpawner.image = "registry.example.org/jupyter-sandbox-user:0.1.0.dev0"
c.KubeSpawner.tolerations.append({"key": "hub.jupyter.org/dedicated", "effect": "NoSchedule"})
c.KubeSpawner.volumes.extend([])
c.KubeSpawner.volume_mounts.extend([])
c.KubeSpawner.profile_list = []
"""


def run_config(text: str, c: Config) -> Config:
    """Run a configuration file, or lines of one, as JupyterHub and z2jh do."""
    exec(compile(text, "config", "exec"), {"c": c, "get_config": lambda: c, "__file__": "config"})
    return c


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in the hub's pod: profiles.yaml lies beside site.json."""
    place = tmp_path / "site.json"
    profiles = str(KUBERNETES / "base/config/profiles.yaml")
    place.write_text(json.dumps(json.loads(SITE.read_text()) | {"profiles": profiles}))
    monkeypatch.setenv(SITE_VARIABLE, str(place))
    monkeypatch.setenv(CONTROL_TOKEN, "c" * 32)
    monkeypatch.setenv(TRACKING_TOKEN, "m" * 32)


def own() -> Config:
    """The hub of the manifests."""
    return run_config((KUBERNETES / "hub/config/jupyterhub_config.py").read_text(), Config())


def z2jh() -> Config:
    """The hub of the chart with our values."""
    c = run_config(CHARTS_HUB, Config())
    for name, value in VALUES["hub"]["config"]["JupyterHub"].items():
        c.JupyterHub[name] = value
    return run_config(VALUES["hub"]["extraConfig"]["10-sandbox"], c)


BOTH = pytest.mark.parametrize("hub", [own, z2jh])


@BOTH
def test_the_hub_and_the_other_programs_know_the_same_site(hub: Callable[[], Config]) -> None:
    """What setup_hub makes of site.json is site.json, what it finds out by itself included."""
    found = decode(Site, {k: v for k, v in site_from_config(hub()).items() if v is not None})
    known = load_site()
    different = {item.name for item in fields(Site) if getattr(found, item.name) != getattr(known, item.name)}
    assert different == set()


@BOTH
def test_the_hub_reaches_programs_where_they_are(hub: Callable[[], Config]) -> None:
    """Proxy and services are dialled by their Services' names, and the hub listens for other pods."""
    c = hub()
    assert c.ConfigurableHTTPProxy.api_url == "http://proxy-api:8001"
    assert c.JupyterHub.hub_ip == "0.0.0.0"
    given = c.JupyterHub.services
    services = given.get_value([]) if isinstance(given, LazyConfigValue) else given
    assert {item["name"]: item["url"] for item in services} == {
        "sandbox": "http://control:8082",
        "mlflow": "http://tracking:8083",
    }
    assert c.JupyterHub.spawner_class.endswith(".SandboxKubeSpawner")


def test_what_z2jh_sets_stays() -> None:
    """Its database and its address for other pods are not ours to change."""
    c = z2jh()
    assert c.JupyterHub.db_url == "sqlite:///jupyterhub.sqlite"
    assert c.JupyterHub.hub_bind_url == "http://:8081"


@pytest.mark.parametrize(
    "setting",
    [
        "c.KubeSpawner.service_account = 'admin'",
        "c.KubeSpawner.privileged = True",
        "c.KubeSpawner.init_containers = [{'name': 'block-cloud-metadata'}]",
        "c.KubeSpawner.volumes.append({'name': 'all', 'hostPath': {'path': '/'}})",
    ],
)
def test_values_that_would_open_a_sandbox_stop_the_hub(
    setting: str, control: Callable[[str, bool], None]
) -> None:
    """Whatever z2jh makes of other values is judged; the chart's own with ours is fine."""
    control("the shipped values start a hub", bool(z2jh()))
    c = run_config(CHARTS_HUB + setting, Config())
    with pytest.raises(ConfigurationError) as caught:
        run_config(VALUES["hub"]["extraConfig"]["10-sandbox"], c)
    assert caught.value.code == "kubernetes.setting_refused"


def paths(value: Any, prefix: str = "") -> set[str]:
    """Every path that values set, cut where the chart leaves a mapping open."""
    if f"{prefix}." in CHART:
        return {f"{prefix}."}
    if not isinstance(value, Mapping):
        return {prefix}
    return {path for key, item in value.items() for path in paths(item, f"{prefix}.{key}".lstrip("."))}


def value_at(path: str) -> Any:
    """What our values have there."""
    value: Any = VALUES
    for key in path.rstrip(".").split("."):
        value = value[key]
    return value


def test_the_values_are_those_of_the_chart() -> None:
    """Each path exists in the chart; its schema would refuse another."""
    assert paths(VALUES) == set(CHART)


@pytest.mark.parametrize("path", sorted(CHART))
def test_the_charts_schema_takes_each_value(path: str) -> None:
    """It is of the kind that the chart's schema has there."""
    kind, value = CHART[path], value_at(path)
    if path == "singleuser.extraLabels.":
        assert value == {CHARTS_LABEL: None}
        value = {}
    assert KINDS[kind](value) if kind in KINDS else value in kind.split()


def test_what_the_chart_runs_as_code_or_as_kubernetes_is_whole() -> None:
    """Snippets of extraConfig are texts that compile; what pods get is in Kubernetes' own words."""
    for name, text in VALUES["hub"]["extraConfig"].items():
        compile(text, name, "exec")
    assert all(name[:1].isupper() for name in VALUES["hub"]["config"])  # from 4.3 on others stop the hub
    for place in (VALUES["hub"], VALUES["proxy"]["chp"]):
        assert all(isinstance(item, str) or "valueFrom" in item for item in place["extraEnv"].values())
    mounted = {item["name"] for item in VALUES["hub"]["extraVolumeMounts"]}
    mounted |= {mount["name"] for item in VALUES["hub"]["extraContainers"] for mount in item["volumeMounts"]}
    assert mounted == {volume["name"] for volume in VALUES["hub"]["extraVolumes"]}


def test_the_charts_own_ways_around_are_off() -> None:
    """No culler, no rights for the hub, no policy that opens more than ours."""
    assert VALUES["cull"] == {"enabled": False}
    assert VALUES["rbac"] == {"create": False}
    assert VALUES["hub"]["serviceAccount"] == {"create": False}
    for place in (VALUES["hub"], VALUES["proxy"]["chp"], VALUES["singleuser"]):
        assert place["networkPolicy"] == {"enabled": False}


@pytest.mark.lane("kubectl")
def test_its_wires_are_those_of_the_manifests() -> None:
    """Same program, mounts and volumes as the hub that we ship; the uid is the chart's."""
    (ours,) = (
        item for item in pod_templates("example")["hub"]["spec"]["containers"] if item["name"] == "wires"
    )
    (theirs,) = VALUES["hub"]["extraContainers"]
    assert theirs["command"] == ours["command"]
    assert theirs["args"] == [word.replace("$(PROGRAM)", "hub") for word in ours["args"]]
    mounts = [sorted(item["volumeMounts"], key=lambda mount: mount["name"]) for item in (ours, theirs)]
    assert mounts[0] == mounts[1]
    assert theirs["image"] == ours["image"]
    assert theirs["readinessProbe"] == ours["readinessProbe"]


def test_its_pod_is_restricted() -> None:
    """With the chart's own contexts (4.0 and newer) the hub's pod keeps to Pod Security "restricted"."""
    hub = {
        "name": "hub",
        "securityContext": {
            "runAsUser": 1000,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    context = {"runAsNonRoot": True, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "securityContext": context,
        "containers": [*VALUES["hub"]["extraContainers"], hub],
        "volumes": VALUES["hub"]["extraVolumes"],
    }
    assert broken_controls({"spec": spec}) == set()


def test_policies_know_its_pods() -> None:
    """Hub and proxy of the chart carry the label that our NetworkPolicies select."""
    assert VALUES["hub"]["labels"] == {PROGRAM: "hub"}
    assert VALUES["proxy"]["labels"] == {PROGRAM: "proxy"}
