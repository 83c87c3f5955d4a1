"""What must a probe in a pod have shown before anybody's server starts on a cluster?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.rules.canary import MUST_FAIL, MUST_WORK
from jupyter_sandbox_spawner.rules.pod_canary import (
    KUBELET,
    NODE_BY_IPV6,
    Targets,
    judge_pod,
    probe_plan,
    why_open,
)

from .test_claims import CLUSTER

PLAN = probe_plan(CLUSTER, 8444, Targets(api=("10.96.0.1", 443), names=["10.96.0.10"], gateway_ports=[8080]))
ISOLATION = dict.fromkeys(MUST_FAIL, "EPERM") | dict.fromkeys(MUST_WORK, "ok") | {"network interface": "ok"}
NETWORK = {
    **dict.fromkeys((*PLAN["closed"], KUBELET, *NODE_BY_IPV6), "TimeoutError"),
    "gateway": "ok",
    "account": "refused",
    "endless processes": "refused",
}


def test_the_plan_names_what_a_cluster_has() -> None:
    """API, name servers, metadata, other ports of the gateway must be closed; its pods' port is open."""
    assert PLAN["gateway"] == ["10.0.0.1", 8444]
    assert PLAN["closed"]["the cluster's API"] == ["tcp", "10.96.0.1", 443]
    assert PLAN["closed"]["the name server 1"] == ["udp", "10.96.0.10", 53]
    assert PLAN["closed"]["port 8080 of the gateway"] == ["tcp", "10.0.0.1", 8080]
    hosts = [place[1] for place in PLAN["closed"].values()]
    assert {"169.254.169.254", "fd00:ec2::254", "2606:4700:4700::1111"} <= set(hosts)


OPEN: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "the API": ({}, {"the cluster's API": "ok"}, "it reached the cluster's API"),
    "a name server": ({}, {"the name server 1": "ok"}, "it reached the name server 1"),
    "the world by IPv6": ({}, {"a public address by IPv6": "ok"}, "it reached a public address by IPv6"),
    "its node by IPv6": ({}, {"the node by IPv6": "ok"}, "it reached its node by IPv6"),
    "its node by the link": ({}, {"the node by its link": "ok"}, "it reached its node by IPv6"),
    "an identity": ({}, {"account": "ok"}, "it has an identity in the cluster"),
    "capabilities": ({"capability": "ok"}, {}, "it holds capabilities"),
    "its own root": ({"write root": "ok"}, {}, "its root file system can be written"),
    "root": ({"root user": "ok"}, {}, "it runs as root"),
    "no way out": ({}, {"gateway": "TimeoutError"}, "its one way out, to the gateway, is closed"),
    "no process": ({"process": "EAGAIN"}, {}, "no process could be started"),
}


@pytest.mark.proves("E21", "I13")
@pytest.mark.parametrize("name", OPEN)
def test_an_opening_refuses_everybody(name: str, control: Callable[[str, bool], None]) -> None:
    """One thing that worked and must not, or the gateway out of reach, and nothing is proved."""
    control("a closed one is proved", judge_pod(ISOLATION, NETWORK, PLAN).verdict.proved)
    isolation, network, why = OPEN[name]
    shown = judge_pod(ISOLATION | isolation, NETWORK | network, PLAN)
    assert not shown.verdict.proved
    assert why in shown.verdict.why


def test_what_was_not_tried_is_not_proved() -> None:
    """A missing line or a missing attempt proves nothing."""
    assert not judge_pod(None, NETWORK, PLAN).verdict.proved
    assert not judge_pod(ISOLATION, None, PLAN).verdict.proved
    for name in (*PLAN["closed"], *NODE_BY_IPV6):
        less = {key: met for key, met in NETWORK.items() if key != name}
        assert not judge_pod(ISOLATION, less, PLAN).verdict.proved
    for name in ISOLATION:
        less = {key: met for key, met in ISOLATION.items() if key != name}
        assert not judge_pod(less, NETWORK, PLAN).verdict.proved


def test_what_is_told_and_stops_nobody() -> None:
    """Sockets that an older runtime leaves open, the own kubelet, and no limit of processes are notes."""
    weaker = judge_pod(ISOLATION | {"io_uring": "ok"}, NETWORK | {KUBELET: "ok"}, PLAN)
    assert weaker.verdict.proved
    assert len(weaker.notes) == 2
    assert weaker.pids
    assert not judge_pod(ISOLATION, NETWORK | {"endless processes": "ok"}, PLAN).pids


def test_policies_for_ipv4_alone() -> None:
    """A node that is closed by IPv4 and open by IPv6 refuses everybody; one that is open by both is told,
    as Kubernetes lets it be; a node without IPv6 is as good as a closed one."""
    by_link = {"the node by its link": "ok"}
    assert not judge_pod(ISOLATION, NETWORK | by_link, PLAN).verdict.proved
    both = judge_pod(ISOLATION, NETWORK | by_link | {KUBELET: "ok"}, PLAN)
    assert (both.verdict.proved, len(both.notes)) == (True, 1)
    assert judge_pod(ISOLATION, NETWORK | dict.fromkeys(NODE_BY_IPV6, "absent"), PLAN).verdict.proved


CLOSED = {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
NOT_CLOSED: dict[str, Any] = {
    "for some": {"spec": {**CLOSED["spec"], "podSelector": {"matchLabels": {"a": "b"}}}},
    "one way": {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
    "with a hole": {"spec": {**CLOSED["spec"], "egress": [{}]}},
}


@pytest.mark.proves("E21")
@pytest.mark.parametrize("name", NOT_CLOSED)
def test_the_namespace_is_closed_by_a_policy(name: str, control: Callable[[str, bool], None]) -> None:
    """Only a policy for every pod, both ways and without exception, closes the namespace."""
    control("a closed one", why_open([CLOSED]) == "")
    assert why_open([]) != ""
    assert why_open([NOT_CLOSED[name]]) != ""


WAY = [{"to": [{"podSelector": {"matchLabels": {"app": "gateway"}}}], "ports": [{"port": 8444}]}]
OWN: dict[str, Any] = {
    "metadata": {"name": "sb-x"},
    "spec": {"podSelector": {"matchLabels": {"jupyter-sandbox-spawner/sandbox": "sb-x"}}, "egress": WAY},
}
OPENING: dict[str, dict[str, Any]] = {
    "every sandbox": {"podSelector": {}, "egress": [{}]},
    "what probes have not": {
        "podSelector": {
            "matchExpressions": [{"key": "jupyter-sandbox-spawner/sandbox", "operator": "Exists"}]
        },
        "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}],
    },
    "a way in": {"podSelector": {}, "ingress": [{}]},
    "more than the way out": {"podSelector": {}, "egress": [*WAY, {"ports": [{"port": 53}]}]},
    "another's sandbox": OWN["spec"] | {"egress": [{}]},
}


@pytest.mark.proves("E21")
@pytest.mark.parametrize("name", OPENING)
def test_no_other_policy_opens_it(name: str, control: Callable[[str, bool], None]) -> None:
    """A policy beside the closing one that opens more than the way to the gateway is named."""
    control("the launcher's own, and the way out for all", why_open([CLOSED, OWN], WAY) == "")
    control(
        "the way out for all", why_open([CLOSED, {"spec": {"podSelector": {}, "egress": WAY}}], WAY) == ""
    )
    opening = {"metadata": {"name": "dns-for-all"}, "spec": OPENING[name]}
    assert "dns-for-all" in why_open([CLOSED, OWN, opening], WAY)


@pytest.mark.proves("E21")
@pytest.mark.parametrize("change", [{"egress": [{}]}, {"egress": [*WAY, {}]}, {"ingress": [{}]}])
def test_a_sandboxs_own_policy_is_looked_at_too(
    change: dict[str, Any], control: Callable[[str, bool], None]
) -> None:
    """One that somebody opened is named until it is mended, though it selects that sandbox alone."""
    control("as the launcher made it", why_open([CLOSED, OWN], WAY) == "")
    assert "sb-x" in why_open([CLOSED, OWN | {"spec": OWN["spec"] | change}], WAY)
