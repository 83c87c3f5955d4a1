"""Has the launcher alone rights in the cluster, each with a reason, and none beyond its two namespaces?"""

from __future__ import annotations

import re

import pytest

from tests.lanes import CHECKOUT

from .shipped import OVERLAYS, found, pod_templates, rendered

pytestmark = pytest.mark.lane("kubectl")
PAGE = CHECKOUT / "docs/explanation/kubernetes.md"
Right = tuple[str, str, str]  # namespace, resource (with its group, where it is not the core's), verb


def granted() -> set[Right]:
    """Every verb of every Role."""
    return {
        (role["metadata"]["namespace"], f"{resource}.{group}".rstrip("."), verb)
        for role in found("base", "Role")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def reasons() -> dict[Right, str]:
    """The table of docs/explanation/kubernetes.md: namespace, resource, verb, reason."""
    section = PAGE.read_text().partition("## Rights")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| `([\w/.]+)` \| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    return {(namespace, resource, verb): reason for namespace, resource, verb, reason in rows}


def test_each_verb_has_a_reason_and_each_reason_a_verb() -> None:
    """The table in the docs and the Roles say the same."""
    assert reasons().keys() == granted()
    assert all(len(reason) > 10 for reason in reasons().values())


def test_nothing_is_granted_by_a_wildcard() -> None:
    """No `*` is in any group, resource or verb, and no rule is for escalating, binding or impersonating."""
    for role in found("base", "Role"):
        for rule in role["rules"]:
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not any("*" in word for word in words), rule
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), rule


@pytest.mark.parametrize(
    "resource", ["pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"]
)
def test_nobody_gets_into_a_running_pod(resource: str) -> None:
    """Not even the launcher may run something in a user's pod, or connect to it."""
    assert resource not in {name for _, name, _ in granted()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_right_is_for_the_whole_cluster(overlay: str) -> None:
    """What is shipped has no object without a namespace but the namespaces themselves."""
    whole = {item["kind"] for item in rendered(overlay) if "namespace" not in item["metadata"]}
    assert whole == {"Namespace"}


def test_the_launcher_alone_is_bound() -> None:
    """Each binding names the launcher's account, and each account exists."""
    accounts = {
        item["metadata"]["name"] for item in found("example", "ServiceAccount", namespace="jupyter-sandbox")
    }
    for binding in found("example", "RoleBinding"):
        assert [item["name"] for item in binding["subjects"]] == ["launcher"]
        assert binding["subjects"][0]["namespace"] == "jupyter-sandbox"
    used = {pod["spec"]["serviceAccountName"] for pod in pod_templates("example").values()}
    assert used == accounts == set(pod_templates("example"))


def test_a_token_of_the_cluster_is_in_one_container_alone() -> None:
    """The launcher's own; not its wires, no other program, and no account gives one by itself."""
    holders = set()
    for name, pod in pod_templates("example").items():
        tokens = {
            volume["name"]
            for volume in pod["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", ())
            if "serviceAccountToken" in source and "audience" not in source["serviceAccountToken"]
        }
        holders |= {
            (name, container["name"])
            for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
            for mount in container.get("volumeMounts", ())
            if mount["name"] in tokens
        }
    assert holders == {("launcher", "launcher")}
    assert all(item["automountServiceAccountToken"] is False for item in found("example", "ServiceAccount"))
