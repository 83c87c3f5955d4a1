"""Which changes of a pod by an admin's settings and hooks reach the launcher, and which are refused?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.rules.kube_overlay import kube_overlay

Change = Callable[[dict[str, Any]], Any]
PLAIN: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "sb-x", "labels": {"a": "b"}, "annotations": {}},
    "spec": {
        "containers": [{"name": "notebook", "image": "lab", "env": []}],
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "volumes": [],
    },
}
OPENING: dict[str, tuple[Change, str, str]] = {
    "the node's network": (lambda pod: pod["spec"].update(hostNetwork=True), "spec.hostNetwork", "egress"),
    "the node's processes": (lambda pod: pod["spec"].update(hostPID=True), "spec.hostPID", "closed"),
    "a name server": (lambda pod: pod["spec"].update(dnsPolicy="ClusterFirst"), "spec.dnsPolicy", "egress"),
    "an account": (
        lambda pod: pod["spec"].update(serviceAccountName="x"),
        "spec.serviceAccountName",
        "identity",
    ),
    "its token": (
        lambda pod: pod["spec"].update(automountServiceAccountToken=True),
        "spec.automountServiceAccountToken",
        "identity",
    ),
    "a node by name": (lambda pod: pod["spec"].update(nodeName="n1"), "spec.nodeName", "node_selector"),
    "another runtime": (
        lambda pod: pod["spec"].update(runtimeClassName="x"),
        "spec.runtimeClassName",
        "runtime",
    ),
    "a volume": (lambda pod: pod["spec"]["volumes"].append({"name": "x"}), "spec.volumes", "datasets"),
    "a container": (lambda pod: pod["spec"]["containers"].append({}), "spec.containers", "image"),
    "a variable": (
        lambda pod: pod["spec"]["containers"][0]["env"].append({"name": "LD_PRELOAD"}),
        "spec.containers",
        "c.Spawner.environment",
    ),
    "something new": (lambda pod: pod["spec"].update(ofTomorrow=1), "spec.ofTomorrow", "closed"),
    "a priority of the system": (
        lambda pod: pod["spec"].update(priorityClassName="system-node-critical"),
        "spec.priorityClassName",
        "a node lives on",
    ),
    "our label": (
        lambda pod: pod["metadata"]["labels"].update({"jupyter-sandbox-spawner/site": "x"}),
        "metadata.labels['jupyter-sandbox-spawner/site']",
        "not jupyter",
    ),
    "a second network": (
        lambda pod: pod["metadata"]["annotations"].update({"k8s.v1.cni.cncf.io/networks": "x"}),
        "metadata.annotations['k8s.v1.cni.cncf.io/networks']",
        "network",
    ),
    "an order without a domain": (
        lambda pod: pod["metadata"]["annotations"].update({"io.kubernetes.cri-o.userns-mode": "x"}),
        "metadata.annotations['io.kubernetes.cri-o.userns-mode']",
        "network",
    ),
    "no AppArmor": (
        lambda pod: pod["metadata"]["annotations"].update(
            {"container.apparmor.security.beta.kubernetes.io/notebook": "unconfined"}
        ),
        "metadata.annotations['container.apparmor.security.beta.kubernetes.io/notebook']",
        "domain",
    ),
    "another name": (lambda pod: pod["metadata"].update(name="x"), "metadata.name", "launcher"),
    "an owner": (
        lambda pod: pod["metadata"].update(ownerReferences=[]),
        "metadata.ownerReferences",
        "launcher",
    ),
    "another kind": (lambda pod: pod.update(kind="Job"), "kind", "closed"),
    "less than before": (lambda pod: pod["spec"].pop("restartPolicy"), "spec.restartPolicy", "nothing away"),
    "a label less": (lambda pod: pod["metadata"]["labels"].pop("a"), "metadata.labels.a", "nothing away"),
}


@pytest.mark.parametrize("name", OPENING)
def test_refused(name: str, control: Callable[[str, bool], None]) -> None:
    """A change that opens the sandbox, or that nobody knows to be harmless, is refused by its path."""
    change, path, way = OPENING[name]
    control("the same pod without the change is taken", kube_overlay(PLAIN, copy.deepcopy(PLAIN)) == {})
    changed = copy.deepcopy(PLAIN)
    change(changed)
    with pytest.raises(ConfigurationError) as refused:
        kube_overlay(PLAIN, changed)
    assert refused.value.code == "kubernetes.setting_refused"
    assert refused.value.field == path
    assert path in refused.value.message
    assert way in refused.value.remedy


def test_what_says_where_it_runs() -> None:
    """Placement, priority, labels, annotations of an own domain and registry keys become the overlay."""
    spec = {
        "nodeSelector": {"pool": "users"},
        "tolerations": [{"key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "users",
        "schedulerName": "packing",
        "imagePullSecrets": [{"name": "registry-key"}],
        "topologySpreadConstraints": [],
    }
    changed = copy.deepcopy(PLAIN)
    changed["spec"].update(spec)
    changed["metadata"]["labels"].update({"cost-centre": "42", "hub.jupyter.org/network-access-hub": "true"})
    changed["metadata"]["annotations"].update(
        {"example.org/team": "x", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    )
    assert kube_overlay(PLAIN, changed, ("example.org/",)) == {
        "metadata": {
            "labels": {"cost-centre": "42", "hub.jupyter.org/network-access-hub": "true"},
            "annotations": {
                "example.org/team": "x",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            },
        },
        "spec": spec,
    }


def test_an_annotation_that_nobody_listed() -> None:
    """Unknown domains are refused like known bad ones, and a listed order stays an order."""
    for name in ("unheard.example/of", "plain", "org.systemd.property.ExecStopPost"):
        changed = copy.deepcopy(PLAIN)
        changed["metadata"]["annotations"][name] = "x"
        with pytest.raises(ConfigurationError) as refused:
            kube_overlay(PLAIN, changed, ("example.org/", "org.systemd.property.ExecStopPost"))
        assert refused.value.field == f"metadata.annotations[{name!r}]"
        assert "pod_annotations" in refused.value.remedy
