"""Does the test-only agent turn NetworkPolicies into the rules that Kubernetes describes?"""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from hub_config.kubernetes.cluster.policy_rules import Pod, matches, ruleset, seen_pods

NETWORK = "10.202.9.0/24"
ALICE = Pod("sandboxes", "alice", "10.202.9.2", {"app": "sandbox"})
BOB = Pod("sandboxes", "bob", "10.202.9.3", {"app": "other"})
GATEWAY = Pod("programs", "gateway", "10.202.9.4", {"app": "gateway"}, {"pods": 8443})
PODS = [ALICE, BOB, GATEWAY]
NAMESPACES = {"sandboxes": {"kind": "sandboxes"}, "programs": {"kind": "programs"}}


def policy(namespace: str = "sandboxes", **spec: Any) -> dict[str, Any]:
    """A NetworkPolicy for every pod of a namespace, unless the spec says which."""
    return {"metadata": {"namespace": namespace, "name": "p"}, "spec": {"podSelector": {}, **spec}}


def chain(text: str, name: str) -> list[str]:
    """The lines of one chain."""
    _, found, rest = text.partition(f"chain {name} {{")
    assert found, text
    return [line.strip() for line in rest.partition("}")[0].splitlines()[1:] if line.strip()]


def rules(*policies: dict[str, Any]) -> str:
    """The table for the three pods."""
    return ruleset(PODS, NAMESPACES, list(policies), NETWORK)


def test_a_default_deny_drops_both_ways() -> None:
    """A policy without rules isolates every pod of its namespace, and no other."""
    text = rules(policy(policyTypes=["Ingress", "Egress"]))
    assert chain(text, "egress_0") == chain(text, "ingress_1") == ["drop"]
    assert "egress_2" not in text


def test_without_policies_nothing_is_isolated() -> None:
    """Pods that no policy chooses reach one another."""
    assert "drop\n    }" not in rules().replace("@known drop\n    }", "")


def test_an_allowed_pod_in_another_namespace_is_reached_at_its_port_only() -> None:
    """Both selectors of one peer must choose the pod."""
    peer = {
        "namespaceSelector": {"matchLabels": {"kind": "programs"}},
        "podSelector": {"matchLabels": {"app": "gateway"}},
    }
    text = rules(policy(policyTypes=["Egress"], egress=[{"to": [peer], "ports": [{"port": 8443}]}]))
    assert chain(text, "egress_0") == ["ip daddr 10.202.9.4 tcp dport 8443 return", "drop"]


def test_a_pod_selector_alone_means_the_policys_own_namespace() -> None:
    """A peer without a namespace selector is near."""
    text = rules(policy(policyTypes=["Ingress"], ingress=[{"from": [{"podSelector": {}}]}]))
    near = ["ip saddr 10.202.9.2 return", "ip saddr 10.202.9.3 return", "drop"]
    assert chain(text, "ingress_0") == near


def test_a_rule_whose_peers_choose_nobody_allows_nothing() -> None:
    """No pod with that label: all is dropped, as with no rule."""
    nobody = {"podSelector": {"matchLabels": {"app": "nobody"}}}
    text = rules(policy(policyTypes=["Egress"], egress=[{"to": [nobody]}]))
    assert chain(text, "egress_0") == ["drop"]


def test_an_empty_rule_allows_everything() -> None:
    """`egress: [{}]` is how a policy says: all."""
    assert chain(rules(policy(policyTypes=["Egress"], egress=[{}])), "egress_0") == ["return", "drop"]


def test_a_block_of_addresses_leaves_out_its_exceptions() -> None:
    """`except` is not reached, the rest of the block is."""
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    text = rules(
        policy(policyTypes=["Egress"], egress=[{"to": [block], "ports": [{"port": 1, "endPort": 9}]}])
    )
    line = "ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16 } tcp dport 1-9 return"
    assert line in text


def test_a_named_port_is_the_receivers() -> None:
    """`port: pods` means what the gateway's container calls so."""
    text = rules(policy(policyTypes=["Egress"], egress=[{"ports": [{"port": "pods"}]}]))
    assert chain(text, "egress_0") == ["tcp dport 8443 return", "drop"]


def test_policies_add_up() -> None:
    """What one of them allows is allowed."""
    deny = policy(policyTypes=["Egress"])
    allow = policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 53, "protocol": "UDP"}]}])
    assert chain(rules(deny, allow), "egress_0") == ["udp dport 53 return", "drop"]


def test_egress_counts_where_a_policy_without_types_has_rules_for_it() -> None:
    """Absent policyTypes mean Ingress, and Egress with a rule."""
    assert "egress_0" not in rules(policy())
    assert "egress_0" in rules(policy(egress=[{}]))


def test_an_unknown_pod_reaches_nothing() -> None:
    """An address of the pods' network that the API server has not told yet is dropped, also to the node."""
    text = rules()
    assert "elements = { 10.202.9.2, 10.202.9.3, 10.202.9.4 }" in text
    assert chain(text, "input")[-1] == f"ip saddr {NETWORK} ip saddr != @known drop"
    assert chain(text, "forward")[-1] == f"ip daddr {NETWORK} ip daddr != @known drop"


@pytest.mark.parametrize(
    ("part", "chosen"),
    [
        ({"key": "app", "operator": "In", "values": ["sandbox"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["sandbox"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
        ({"key": "none", "operator": "NotIn", "values": ["a"]}, True),
    ],
)
def test_expressions_choose_as_kubernetes_says(part: dict[str, Any], chosen: bool) -> None:
    """NotIn chooses what lacks the label, too."""
    assert matches({"matchExpressions": [part]}, ALICE.labels) is chosen


def test_only_pods_with_an_address_of_their_own_are_seen() -> None:
    """Those that ended, wait, or use the node's network have no rules."""
    here = {"status": {"podIP": "10.0.0.1", "phase": "Running"}}
    meta, spec = {"namespace": "a", "name": "b"}, {"containers": [{"name": "c"}]}
    assert len(seen_pods([{**here, "metadata": meta, "spec": spec}])) == 1
    assert seen_pods([{"status": {}, "metadata": meta, "spec": spec}]) == []
    assert seen_pods([{**here, "metadata": meta, "spec": {**spec, "hostNetwork": True}}]) == []
    assert (
        seen_pods([{"status": {"podIP": "10.0.0.1", "phase": "Failed"}, "metadata": meta, "spec": spec}])
        == []
    )


@pytest.mark.lane("root")
@pytest.mark.skipif(shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin") is None, reason="no nft")
def test_nft_understands_every_rule() -> None:
    """The real nft checks the table, and changes nothing."""
    peers = [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}, {"podSelector": {}}]
    ports = [{"port": 1}, {"port": 2, "endPort": 3, "protocol": "UDP"}, {"protocol": "SCTP"}]
    text = rules(
        policy(policyTypes=["Ingress", "Egress"]),
        policy(policyTypes=["Egress"], egress=[{"to": peers, "ports": ports}, {}]),
        policy("programs", policyTypes=["Ingress"], ingress=[{"from": peers, "ports": [{"port": "pods"}]}]),
    )
    done = subprocess.run(
        ["unshare", "--net", "nft", "--check", "--file", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
