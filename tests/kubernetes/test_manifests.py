"""Do the manifests that we ship belong together: images, ports, volumes, secrets, probes, site.json?"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_sandbox_spawner import __version__
from jupyter_sandbox_spawner.backends.kubernetes.quantities import quantity
from jupyter_sandbox_spawner.rules.certificates import PROGRAMS
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles
from jupyter_sandbox_spawner.wires.papers import FILES
from tests.lanes import CHECKOUT

from .shipped import (
    KUBERNETES,
    OVERLAYS,
    PROGRAM,
    Manifest,
    found,
    kustomized,
    pod_templates,
    rendered,
    site_of,
)

pytestmark = pytest.mark.lane("kubectl")
NOT_OURS = {"quay.io/jupyterhub/configurable-http-proxy:5.3.0"}  # of the example, which has a registry
# What an admin makes, each from a command of the how-to.
SECRETS = {"tokens": {"control.token", "mlflow.token", "proxy.token"}, "database": {"password"}}
CONFIG_MAPS = {"kube-root-ca.crt", "database-authority"}


def containers(overlay: str) -> Iterator[tuple[str, Manifest]]:
    """Every container with the Deployment it is in."""
    for name, pod in pod_templates(overlay).items():
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            yield name, container


def sources(pod: Manifest) -> Iterator[Mapping[str, Any]]:
    """What the volumes of a pod are made of."""
    for volume in pod["spec"]["volumes"]:
        yield volume
        yield from volume.get("projected", {}).get("sources", ())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_are_named_by_a_version(overlay: str) -> None:
    """Ours have this package's version, none floats, and the rest is known by its whole name."""
    images = {container["image"] for _, container in containers(overlay)}
    site = site_of(overlay)
    assert site.kubernetes is not None
    images |= {site.kubernetes.link_image, *(place.image for place in site.environments.values())}
    ours = {image for image in images if "/jupyter-sandbox-" in image}
    assert images - ours <= NOT_OURS
    assert {image.rpartition(":")[2] for image in ours} == {__version__}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_a_manifest(overlay: str) -> None:
    """Secrets are referenced by names that an admin makes; none is an object, a value or in site.json."""
    assert not [item for item in rendered(overlay) if item["kind"] == "Secret"]
    for name, container in containers(overlay):
        for variable in container.get("env", ()):
            if re.search("TOKEN|KEY|SECRET|PASSWORD", variable["name"]):
                assert set(variable) == {"name", "valueFrom"}, (name, variable["name"])
    for item in found(overlay, "ConfigMap"):
        assert "PRIVATE KEY" not in str(item["data"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_referenced_secrets_and_keys_are_known(overlay: str) -> None:
    """The certificates of the program itself, and what the how-to makes; keys exist in what makes them."""
    for program, pod in pod_templates(overlay).items():
        known = SECRETS | {f"certificates-{program}": set(FILES)}
        used = [
            (item["secret"].get("secretName") or item["secret"]["name"], item["secret"].get("items", ()))
            for item in sources(pod)
            if "secret" in item
        ]
        for name, items in used:
            assert {entry["key"] for entry in items} <= known[name], (program, name)
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                assert reference is None or reference["key"] in known[reference["name"]]


def test_each_program_with_certificates_has_wires() -> None:
    """Whoever gets a certificate carries it in wires, started for that very program; the proxy has none."""
    for program, pod in pod_templates("example").items():
        wires = [item for item in pod["spec"]["containers"] if item["name"] == "wires"]
        assert bool(wires) is (program in PROGRAMS), program
        for container in wires:
            assert container["command"][-1] == "jupyter_sandbox_spawner.wires"
            (named,) = (item for item in container["env"] if item["name"] == "PROGRAM")
            assert named["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{PROGRAM}']"
            assert pod["metadata"]["labels"][PROGRAM] == program


def test_keys_are_in_wires_alone() -> None:
    """The launcher's own container sees the authority's certificate; no program sees a key."""
    for name, container in containers("example"):
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert ("certificates" in mounts) is (container["name"] == "wires"), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_volumes_and_mounts_belong_together(overlay: str) -> None:
    """Each mount has a volume, each volume is mounted, and claims and maps exist or are known to be made."""
    claims = {item["metadata"]["name"] for item in found(overlay, "PersistentVolumeClaim")}
    maps = {item["metadata"]["name"] for item in found(overlay, "ConfigMap")} | CONFIG_MAPS
    for program, pod in pod_templates(overlay).items():
        mounted = {m["name"] for name, c in containers(overlay) if name == program for m in c["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}, program
        for item in sources(pod):
            if "persistentVolumeClaim" in item:
                assert item["persistentVolumeClaim"]["claimName"] in claims
            if "configMap" in item:
                assert item["configMap"]["name"] in maps


def test_programs_and_wires_share_their_sockets() -> None:
    """Both containers of a pod see the same run_dir, which is below the mount: a mount belongs to root."""
    site = site_of("example")
    for program, pod in pod_templates("example").items():
        if program == "proxy":
            continue
        for container in pod["spec"]["containers"]:
            places = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert site.run_dir.rpartition("/")[0] in places, (program, container["name"])
            assert site.run_dir not in places
            assert site.state_dir not in places


def test_what_a_gateway_knows_outlives_its_pod() -> None:
    """Doors and pods of sandboxes are on the claim, as the gateway and its wires see them."""
    site = site_of("base")
    pod = pod_templates("base")["gateway"]
    claimed = {item["name"] for item in pod["spec"]["volumes"] if "persistentVolumeClaim" in item}
    for container in pod["spec"]["containers"]:
        kept = {m["mountPath"] for m in container["volumeMounts"] if m["name"] in claimed}
        assert {site.run_dir.rpartition("/")[0], site.state_dir.rpartition("/")[0]} <= kept, container["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_lead_to_ports_that_are_listened_at(overlay: str) -> None:
    """Each Service selects one program and its ports; the hosts of site.json are Services."""
    templates = pod_templates(overlay)
    services = {item["metadata"]["name"]: item["spec"] for item in found(overlay, "Service")}
    for name, service in services.items():
        pod = templates[service["selector"][PROGRAM]]
        ports = [port for item in pod["spec"]["containers"] for port in item.get("ports", ())]
        known = {port["containerPort"] for port in ports} | {port["name"] for port in ports}
        assert {port.get("targetPort", port["port"]) for port in service["ports"]} <= known, name
    site = site_of(overlay)
    assert site.wires is not None
    named = {*site.wires.hosts.values(), *site.hosts.values()}
    assert named - set(services) <= ({"hub", "proxy-api"} if overlay == "base" else set())


def test_pods_dial_the_address_that_the_service_has() -> None:
    """Pods know no names: gateway_address of site.json is the clusterIP that the overlay fixes."""
    site = site_of("example")
    assert site.kubernetes is not None
    (service,) = found("example", "Service", "gateway")
    assert service["spec"]["clusterIP"] == site.kubernetes.gateway_address
    assert site.kubernetes.gateway_labels == service["spec"]["selector"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_site_json_names_what_exists(overlay: str) -> None:
    """Namespaces, the quota, and the directory of certificates are those of the manifests."""
    site = site_of(overlay)
    assert site.kubernetes is not None
    assert site.wires is not None
    assert found(overlay, "Namespace", site.kubernetes.namespace)
    assert found(overlay, "Namespace", site.kubernetes.gateway_namespace)
    assert found(overlay, "ResourceQuota", site.kubernetes.quota, site.kubernetes.namespace)
    for name, container in containers(overlay):
        if container["name"] == "wires":
            assert site.wires.certificates in {m["mountPath"] for m in container["volumeMounts"]}, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_look_at_ports_and_sockets_of_their_container(overlay: str) -> None:
    """A TCP probe names a port of its container; another runs a program and asks no network."""
    for name, container in containers(overlay):
        ports = {port["name"] for port in container.get("ports", ())}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {})
            assert "httpGet" not in probe, (name, kind)
            if "tcpSocket" in probe:
                assert probe["tcpSocket"]["port"] in ports, (name, container["name"], kind)


def test_two_replicas_are_upgraded_one_by_one() -> None:
    """Launcher and control have two, never none during an upgrade or a drain; what has a volume has one."""
    for item in found("example", "Deployment"):
        name, spec = item["metadata"]["name"], item["spec"]
        if name in ("launcher", "control"):
            assert spec["replicas"] == 2
            assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
            (budget,) = found("example", "PodDisruptionBudget", name)
            assert budget["spec"]["selector"] == spec["selector"]
            assert budget["spec"]["minAvailable"] == 1
        else:
            assert spec["replicas"] == 1, name
            assert spec["strategy"] == {"type": "Recreate"}, name


def test_profiles_that_are_shipped_can_be_read() -> None:
    """profiles.yaml of the base has no mistake and offers a default."""
    (profiles,) = found("base", "ConfigMap", "profiles")
    assert any(profile.default for profile in parse_profiles(profiles["data"]["profiles.yaml"]))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_are_what_programs_take(overlay: str) -> None:
    """Each program of ours reads its arguments, and fails for the site that is not on this machine alone."""
    commands = {}
    for name, container in containers(overlay):
        words = [*container["command"], *container.get("args", ())]
        if "-m" in words and words[words.index("-m") + 1].startswith("jupyter_sandbox_spawner."):
            tail = [word.replace("$(PROGRAM)", name) for word in words[words.index("-m") :]]
            commands[tuple(tail)] = name
    assert len(commands) >= 2 * len({"launcher", "control", "gateway", "broker", "tracking"})
    for command, name in commands.items():
        done = subprocess.run(
            [sys.executable, "-I", *command], capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode in (1, 2), name
        assert "/etc/jupyter-sandbox/site.json cannot be read" in done.stderr, (name, done.stderr)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_sandbox_has_a_priority_of_the_clusters_own(overlay: str) -> None:
    """Where sandboxes run there is no place for pods of the two classes that every namespace may use."""
    site = site_of(overlay)
    assert site.kubernetes is not None
    (quota,) = found(overlay, "ResourceQuota", "system-priorities", site.kubernetes.namespace)
    assert quota["spec"]["hard"] == {"pods": "0"}
    (scope,) = quota["spec"]["scopeSelector"]["matchExpressions"]
    assert (scope["scopeName"], scope["operator"]) == ("PriorityClass", "In")
    assert set(scope["values"]) == {"system-cluster-critical", "system-node-critical"}


def test_the_quota_that_is_printed_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    """As a patch of an overlay: its numbers hold, and what is not printed stays as shipped."""
    for name in ("base", "common", "hub", "example"):
        shutil.copytree(KUBERNETES / name, tmp_path / name)
    mine, printed = tmp_path / "example", KUBERNETES / "emit-quota"
    (tmp_path / "profiles.yaml").write_text(
        "profiles: [{display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G}}]\n"
        "quotas: {user: [{servers: 1}]}\n"
    )
    words = [sys.executable, printed, tmp_path / "profiles.yaml", mine / "site.json", "--users", "20"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    (mine / "quota.yaml").write_text(done.stdout)
    kustomization = yaml.safe_load((mine / "kustomization.yaml").read_text())
    kustomization["patches"].append({"path": "quota.yaml"})
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (quota,) = (
        item
        for item in kustomized(mine)
        if item["kind"] == "ResourceQuota" and item["metadata"]["name"] == "sandboxes"
    )
    (shipped,) = found("example", "ResourceQuota", "sandboxes")
    asked = yaml.safe_load(done.stdout)["spec"]["hard"]
    assert asked["pods"] == "30"
    assert quota["spec"]["hard"] == {**shipped["spec"]["hard"], **asked}


def test_the_programs_ask_for_what_the_guide_says() -> None:
    """Less than a processor together, and for each pod what stands in the table beside what it used."""
    guide = (CHECKOUT / "docs/how-to/run-on-kubernetes.md").read_text()
    rows = re.findall(r"^\| (\w+)[^|]* \| (\d+)m, (\d+)Mi \|", guide, re.MULTILINE)
    told = {name: (int(cpu), int(memory)) for name, cpu, memory in rows}
    asked, together = {}, 0
    for item in found("example", "Deployment"):
        requests = [part["resources"]["requests"] for part in item["spec"]["template"]["spec"]["containers"]]
        cpu, memory = (sum(quantity(part[what]) for part in requests) for what in ("cpu", "memory"))
        asked[item["metadata"]["name"]] = (cpu * 1000, memory / (1 << 20))
        together += item["spec"]["replicas"] * cpu
    assert asked == told
    assert together < 1
