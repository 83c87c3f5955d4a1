"""Does a spec always render to the same pod, policy and Secret, and do they hold what the design asks for?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.check import check
from jupyter_sandbox_spawner.backends.kubernetes.layout import GpuRequest, labels
from jupyter_sandbox_spawner.backends.kubernetes.render import (
    merge,
    owned_by,
    render_pod,
    render_policy,
    render_secret,
)
from jupyter_sandbox_spawner.models import Mount
from tests.backends.kubernetes_facts import CLUSTER, PLACE, SPEC

GOLDEN = Path(__file__).parent / "golden"
TICKET = "the-ticket-marks-it"


def users(pod: dict[str, Any]) -> dict[str, Any]:
    """The user's container."""
    (found,) = pod["spec"]["containers"]
    container: dict[str, Any] = found
    return container


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("pod", render_pod(SPEC, PLACE)),
        ("networkpolicy", render_policy(SPEC, CLUSTER, PLACE.pods_port)),
        ("secret", render_secret(SPEC, TICKET, PLACE, "{}")),
    ],
)
def test_golden(name: str, manifest: dict[str, Any]) -> None:
    """The manifests of a fixed spec are those that were read by a person (golden/kubernetes-*.json)."""
    assert manifest == json.loads((GOLDEN / f"kubernetes-{name}.json").read_text())


@pytest.mark.proves("T4", "C03")
def test_no_secret_in_what_a_pod_shows() -> None:
    """Neither the ticket nor a variable of the profile is in the pod, its policy, or an annotation."""
    spec = replace(SPEC, environment={"SECRET": "x-marks-it"})
    shown = json.dumps([render_pod(spec, PLACE), render_policy(spec, CLUSTER, PLACE.pods_port)])
    secret = render_secret(spec, TICKET, PLACE, "{}")
    assert TICKET in secret["stringData"].values()
    assert "x-marks-it" not in shown
    assert TICKET not in shown + json.dumps(secret["metadata"])


@pytest.mark.proves("I13", "C01")
def test_the_user_sees_nothing_of_the_link() -> None:
    """No volume that holds ticket or key is mounted in the user's container; only files of /etc."""
    pod = render_pod(SPEC, PLACE)
    own = {mount["name"]: mount for mount in users(pod)["volumeMounts"]}
    (link,) = pod["spec"]["initContainers"]
    private = {mount["name"] for mount in link["volumeMounts"]} - own.keys()
    (etc,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "etc"]
    assert private == {"secret", "memory"}
    assert {item["key"] for item in etc["secret"]["items"]} == {"group", "nsswitch.conf", "passwd"}
    assert all(mount["subPath"] for mount in users(pod)["volumeMounts"] if mount["name"] == "etc")


@pytest.mark.proves("O05")
def test_labels_are_no_escapes() -> None:
    """Users and servers whose escapes would be one have labels of their own, which every cluster takes."""
    names = ("a-b", "a_b", "a.b", "a--b", "ä", "x" * 200)
    told = [labels(replace(SPEC, user=name), "site") for name in names]
    assert len({tuple(sorted(found.items())) for found in told}) == len(names)
    assert all(len(value) <= 63 and value.isascii() for found in told for value in found.values())


@pytest.mark.proves("I13")
def test_no_address_of_the_api() -> None:
    """What kubelets tell every container of the API is overwritten with nothing, and GPUs are asked for."""
    env = {item["name"]: item["value"] for item in users(render_pod(SPEC, PLACE))["env"]}
    assert {env[name] for name in env if name.startswith("KUBERNETES_")} == {""}
    assert (env["PATH"], env["NVIDIA_VISIBLE_DEVICES"]) == ("/usr/bin:/bin", "void")


def test_the_policy_has_one_way_out() -> None:
    """Nobody comes in; out is the gateway's port alone, by its labels or, off the cluster, by its address."""
    policy = render_policy(SPEC, CLUSTER, PLACE.pods_port)["spec"]
    assert (policy["ingress"], policy["policyTypes"]) == ([], ["Ingress", "Egress"])
    (rule,) = policy["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8444}]
    assert set(rule["to"][0]) == {"namespaceSelector", "podSelector"}
    for address, block in (("10.0.0.7", "10.0.0.7/32"), ("fd00::7", "fd00::7/128")):
        place = replace(PLACE, cluster=replace(CLUSTER, gateway_labels={}, gateway_address=address))
        (rule,) = render_policy(SPEC, place.cluster, place.pods_port)["spec"]["egress"]
        assert rule["to"] == [{"ipBlock": {"cidr": block}}]


def test_gpus_are_asked_for_by_resource() -> None:
    """A GPU is a resource and a node label; the device plugin alone says which device it is."""
    gpus = GpuRequest(resources={"nvidia.com/gpu": 2}, nodes={"nvidia.com/gpu.product": "NVIDIA-H200"})
    place = replace(PLACE, gpus=gpus)
    pod = render_pod(SPEC, place)
    check(pod, SPEC, place)
    assert users(pod)["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert pod["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H200"}
    assert "NVIDIA_VISIBLE_DEVICES" not in {item["name"] for item in users(pod)["env"]}


def test_a_dataset_is_a_claim_read_only() -> None:
    """Its path is the claim and what lies in it; volume and mount are both read-only."""
    data = Mount(
        kind="dataset", source="/cases/v1/raw", target="/data/cases", read_only=True, dataset="cases@1"
    )
    spec = replace(SPEC, mounts=(*SPEC.mounts, data))
    pod = render_pod(spec, PLACE)
    check(pod, spec, PLACE)
    assert pod["spec"]["volumes"][-1] == {
        "name": "data-1",
        "persistentVolumeClaim": {"claimName": "cases", "readOnly": True},
    }
    assert users(pod)["volumeMounts"][-1] == {
        "name": "data-1",
        "mountPath": "/data/cases",
        "readOnly": True,
        "subPath": "v1/raw",
    }


def test_runtime_class_and_node_users() -> None:
    """A profile's runtime is a RuntimeClass; where the site takes the node's users, none are demanded."""
    place = replace(PLACE, runtime_class="gvisor", cluster=replace(CLUSTER, host_users="allowed"))
    pod = render_pod(SPEC, place)
    check(pod, SPEC, place)
    assert pod["spec"]["runtimeClassName"] == "gvisor"
    assert "hostUsers" not in pod["spec"]
    assert render_pod(SPEC, PLACE)["spec"]["hostUsers"] is False


def test_what_owns_and_what_is_merged() -> None:
    """The Secret owns without controlling; an overlay changes the container of that name and no other."""
    owned = owned_by(render_pod(SPEC, PLACE), {"metadata": {"name": SPEC.id, "uid": "u"}})
    check(owned, SPEC, PLACE)
    (owner,) = owned["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Secret", "u")
    overlay = {"spec": {"containers": [{"name": "sandbox", "resources": {"requests": {"cpu": "100m"}}}]}}
    merged = merge(owned, overlay)
    assert users(merged)["resources"]["requests"]["cpu"] == "100m"
    assert users(merged)["image"] == PLACE.image
    assert merge(owned, {"spec": {"tolerations": [{"key": "x"}]}})["spec"]["tolerations"] == [{"key": "x"}]


@pytest.mark.proves("Q03")
def test_last_words_are_nobodys_disk() -> None:
    """A kubelet's file for last words lies in a directory that the link has closed before."""
    pod = render_pod(SPEC, PLACE)
    path = users(pod)["terminationMessagePath"]
    (link,) = pod["spec"]["initContainers"]
    *_, script = link["lifecycle"]["postStart"]["exec"]["command"]
    closed = path.rpartition("/")[0]
    assert f"os.makedirs({closed!r},0o700,True)" in script
    assert script.index("makedirs") < script.index("while")
    compile(script, "postStart", "exec")
