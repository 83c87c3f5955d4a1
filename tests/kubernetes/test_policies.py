"""Do the NetworkPolicies open exactly the ways that the programs use, and is all else closed both ways?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from jupyter_sandbox_spawner.names import LABEL_OWNER
from jupyter_sandbox_spawner.settings import Site

from .shipped import OVERLAYS, PROGRAM, Manifest, found, kustomized, pod_templates, site_of

pytestmark = pytest.mark.lane("kubectl")
PROGRAMS = ("hub", "proxy", "launcher", "control", "gateway", "broker", "tracking")
OURS = "jupyter-sandbox"
Way = tuple[str, str, int]  # from, to, port
DNS = {("UDP", 53), ("TCP", 53)}


def expected_ways(site: Site) -> set[Way]:
    """From the code: who calls which socket goes over wires, and these are the TCP ports besides."""
    assert site.wires is not None
    wires = {
        (caller, program, site.wires.port)
        for program in PROGRAMS
        for callers in site.sockets_of(program).values()
        for caller in callers
    }
    to_hub = {(name, "hub", site.hub_port) for name in ("proxy", "control", "gateway", "broker", "tracking")}
    to_proxy = {(name, "proxy", site.proxy_api_port) for name in ("hub", "control")}
    pages = {
        (name, *place)
        for name in ("hub", "proxy")
        for place in (
            ("gateway", site.front_port),
            ("control", site.control_port),
            ("tracking", site.tracking_port),
        )
    }
    return wires | to_hub | to_proxy | pages


def _selected(selector: Manifest) -> set[str]:
    """Programs that a podSelector selects."""
    labels = selector.get("matchLabels", {})
    named = {labels[PROGRAM]} if PROGRAM in labels else set(PROGRAMS)
    for item in selector.get("matchExpressions", ()):
        assert (item["key"], item["operator"]) == (PROGRAM, "In")
        named &= set(item["values"])
    assert set(labels) <= {PROGRAM}
    return named


def _policies(overlay: str, namespace: str = OURS) -> list[Manifest]:
    return [item["spec"] for item in found(overlay, "NetworkPolicy", namespace=namespace)]


def _rules(overlay: str, direction: str) -> Iterator[tuple[set[str], Manifest]]:
    """Who is selected, and one rule of theirs."""
    for policy in _policies(overlay):
        for rule in policy.get(direction, ()):
            yield _selected(policy["podSelector"]), rule


def _ports(rule: Manifest) -> set[tuple[str, int]]:
    return {(item["protocol"], item.get("port", 0)) for item in rule["ports"]}


def opened(overlay: str, direction: str) -> set[Way]:
    """Ways between programs that policies open in a direction."""
    ways = set()
    for selected, rule in _rules(overlay, direction):
        for peer in rule.get("to" if direction == "egress" else "from", ()):
            if set(peer) != {"podSelector"}:
                continue
            others = _selected(peer["podSelector"])
            pairs = {(one, other) for one in selected for other in others}
            ways |= {
                (*(pair if direction == "egress" else pair[::-1]), port)
                for pair in pairs
                for _, port in _ports(rule)
            }
    return ways


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_ways_between_programs_are_those_that_the_code_uses(overlay: str, direction: str) -> None:
    """Each way that a program calls is open at both its ends, and no other is at either."""
    assert opened(overlay, direction) == expected_ways(site_of(overlay))


@pytest.mark.parametrize("namespace", [OURS, "jupyter-sandbox-pods"])
def test_all_else_is_closed_both_ways(namespace: str) -> None:
    """A policy that selects every pod of the namespace and opens nothing names both directions."""
    closed = [
        policy
        for policy in _policies("base", namespace)
        if policy["podSelector"] == {} and set(policy["policyTypes"]) == {"Ingress", "Egress"}
    ]
    assert closed
    assert not any(policy.get("ingress") or policy.get("egress") for policy in closed)


def test_nothing_is_opened_in_the_sandboxes_namespace() -> None:
    """What a sandbox may reach stands in its own policy, which the launcher makes."""
    assert len(_policies("base", "jupyter-sandbox-pods")) == 1


def test_every_policy_says_which_directions_it_is_about() -> None:
    """Kubernetes guesses where policyTypes is absent, so ours never is, and covers what it opens."""
    for policy in _policies("example"):
        assert {name.capitalize() for name in ("ingress", "egress") if name in policy} <= set(
            policy["policyTypes"]
        )


def test_sandboxes_reach_one_port_of_the_gateway() -> None:
    """The gateway lets in pods of sandboxes by their label and namespace, at pods_port, and nothing else."""
    site = site_of("base")
    assert site.wires is not None
    assert site.kubernetes is not None
    from_pods = [
        (selected, peer, _ports(rule))
        for selected, rule in _rules("base", "ingress")
        for peer in rule.get("from", ())
        if "namespaceSelector" in peer
    ]
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.kubernetes.namespace}},
        "podSelector": {"matchLabels": {f"{LABEL_OWNER}/owner": LABEL_OWNER}},
    }
    assert from_pods == [({"gateway"}, peer, {("TCP", site.wires.pods_port)})]


def test_only_the_proxy_answers_everybody() -> None:
    """The one rule without a peer is the proxy's public port."""
    anybody = [(selected, _ports(rule)) for selected, rule in _rules("base", "ingress") if "from" not in rule]
    assert anybody == [({"proxy"}, {("TCP", site_of("base").public_port)})]
    assert all("to" in rule for _, rule in _rules("base", "egress"))


def test_who_asks_for_names() -> None:
    """All but the launcher ask the cluster's DNS, at its port and no other."""
    asking: set[str] = set()
    for selected, rule in _rules("base", "egress"):
        for peer in rule["to"]:
            if "namespaceSelector" in peer:
                assert peer["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
                assert _ports(rule) == DNS
                asking |= selected
    assert asking == set(PROGRAMS) - {"launcher"}


def _blocks(overlay: str, name: str) -> list[Any]:
    (policy,) = found(overlay, "NetworkPolicy", name)
    (rule,) = policy["spec"]["egress"]
    return [peer["ipBlock"] for peer in rule["to"]]


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.96.0.1", False),
        ("172.20.0.1", False),
        ("192.168.1.1", False),
        ("100.100.100.200", False),
        ("169.254.169.254", False),
        ("169.254.170.23", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("::1", False),
        ("64:ff9b::a9fe:a9fe", False),
    ],
)
def test_the_gateway_reaches_the_world_and_nothing_inside(address: str, reached: bool) -> None:
    """Private, shared, link-local and metadata addresses are closed a second time, after its own rules."""
    place = ip_address(address)

    def opens(block: Manifest) -> bool:
        network = ip_network(block["cidr"])
        inside = place.version == network.version and place in network
        return inside and not any(place in ip_network(item) for item in block.get("except", ()))

    assert any(map(opens, _blocks("base", "gateway-to-world"))) is reached


def test_only_the_gateway_reaches_the_world() -> None:
    """What else leaves the cluster's pods is the launcher to the API server, and control to its database."""
    leaving = {
        item["metadata"]["name"]: _selected(item["spec"]["podSelector"])
        for item in found("base", "NetworkPolicy", namespace=OURS)
        if any("ipBlock" in peer for rule in item["spec"].get("egress", ()) for peer in rule["to"])
    }
    assert leaving == {
        "gateway-to-world": {"gateway"},
        "launcher-to-cluster": {"launcher"},
        "control-to-database": {"control"},
    }


@pytest.mark.parametrize("name", ["launcher-to-cluster", "control-to-database"])
def test_addresses_that_only_a_site_knows_are_closed_until_it_says_them(
    name: str, control: Callable[[str, bool], None]
) -> None:
    """The base opens an address that nobody has; the example shows how a site names its own."""
    control("the example opens others", _blocks("example", name) != _blocks("base", name))
    assert _blocks("base", name) == [{"cidr": "192.0.2.1/32"}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_of_containers_are_those_that_policies_open(overlay: str) -> None:
    """Whatever a container says it listens at is a way in, and every way in is listened at."""
    ways = {(to, port) for _, to, port in expected_ways(site_of(overlay))}
    ways |= {("gateway", 8444), ("proxy", 8000)}
    templates = pod_templates(overlay)
    listened = {
        (name, port["containerPort"])
        for name, pod in templates.items()
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    }
    assert listened == {(name, port) for name, port in ways if name in templates}


def test_with_cilium_the_gateway_keeps_its_ways_to_programs_alone(tmp_path: Any) -> None:
    """The component takes away the world and every name, and leaves the rest."""
    from .shipped import KUBERNETES

    names = [item["metadata"]["name"] for item in found("base", "NetworkPolicy", namespace=OURS)]
    (tmp_path / "all").symlink_to(KUBERNETES)
    (tmp_path / "kustomization.yaml").write_text("resources: [all/base]\ncomponents: [all/cilium]\n")
    left = [
        item["metadata"]["name"]
        for item in kustomized(tmp_path)
        if item["kind"] == "NetworkPolicy" and item["metadata"]["namespace"] == OURS
    ]
    assert set(names) - set(left) == {"gateway-to-world", "gateway-to-names"}
