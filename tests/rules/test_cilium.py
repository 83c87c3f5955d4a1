"""Does the emitted CiliumNetworkPolicy allow what the profiles allow together, and nothing else?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from jupyter_sandbox_spawner.rules.cilium import cilium_policy
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles
from tests.lanes import CHECKOUT

EMIT = CHECKOUT / "hub_config/kubernetes/emit-cilium"
LABELS = {"jupyter-sandbox-spawner/program": "gateway"}
PROFILES = """
- display_name: One
  slug: one
  default: true
  sandbox:
    cpu: 1
    memory: 1G
    egress:
      - pypi.org
      - "*.data.example:443"
      - pkg.sandbox.internal:80
      - {host: api.example, ports: [443, 8443]}
- display_name: Two
  slug: two
  sandbox:
    cpu: 1
    memory: 1G
    egress:
      - pypi.org
      - "203.0.113.0/24:5432"
  profile_options:
    mirror:
      display_name: Mirror
      choices:
        none: {display_name: None, default: true}
        own: {display_name: Ours, sandbox: {egress: [mirror.example]}}
"""


def policy(text: str = PROFILES) -> dict[str, Any]:
    """What is emitted for profiles."""
    services = {"pkg.sandbox.internal:80": "10.0.0.7:8080"}
    return cilium_policy(parse_profiles(text), services, "jupyter-sandbox", LABELS)


def openings(found: dict[str, Any], kind: str) -> dict[str, set[int]]:
    """Ports by what is reached."""
    ports: dict[str, set[int]] = {}
    for rule in found["spec"]["egress"]:
        for place in rule.get(kind, ()):
            name = place if isinstance(place, str) else next(iter(place.values()))
            for item in rule["toPorts"]:
                ports.setdefault(name, set()).update(int(port["port"]) for port in item["ports"])
    return ports


def asked(found: dict[str, Any]) -> set[str]:
    """Names that may be asked for."""
    (rules,) = (
        item["toPorts"][0]["rules"]["dns"] for item in found["spec"]["egress"] if "toEndpoints" in item
    )
    return {next(iter(rule.values())) for rule in rules}


def test_names_of_all_profiles_are_reached_at_their_ports() -> None:
    """Each name has its own ports; a wildcard stands for any depth, as the gateway reads it."""
    assert openings(policy(), "toFQDNs") == {
        "pypi.org": {443},
        "**.data.example": {443},
        "api.example": {443, 8443},
        "mirror.example": {443},
    }


def test_a_choice_of_an_option_counts() -> None:
    """What a user may choose into a profile is reached, too."""
    without = PROFILES.replace("[mirror.example]", "[]")
    assert "mirror.example" in openings(policy(), "toFQDNs")
    assert "mirror.example" not in openings(policy(without), "toFQDNs")


def test_only_these_names_may_be_asked_for() -> None:
    """The name server answers for what is reached by name, and for the other programs."""
    names = set(openings(policy(), "toFQDNs"))
    assert asked(policy()) == names | {"*.jupyter-sandbox.svc.cluster.local"}


def test_networks_and_internal_services_are_addresses() -> None:
    """A network is reached as it is written, an internal name by the address that answers for it."""
    assert openings(policy(), "toCIDR") == {"203.0.113.0/24": {5432}, "10.0.0.7/32": {8080}}


def test_a_rule_is_of_one_kind() -> None:
    """Cilium takes no rule that mixes names with addresses or pods."""
    kinds = [{"toFQDNs", "toCIDR", "toEndpoints"} & set(rule) for rule in policy()["spec"]["egress"]]
    assert all(len(found) == 1 for found in kinds)


def test_it_selects_the_gateway_alone() -> None:
    """No sandbox and no other program is concerned."""
    assert policy()["spec"]["endpointSelector"] == {"matchLabels": LABELS}


def test_profiles_that_allow_nothing_open_nothing() -> None:
    """Without a way out there is no opening but the other programs' names."""
    text = "- {display_name: One, slug: one, default: true, sandbox: {cpu: 1, memory: 1G}}\n"
    assert openings(policy(text), "toFQDNs") == {}
    assert asked(policy(text)) == {"*.jupyter-sandbox.svc.cluster.local"}


def test_the_command_prints_it(tmp_path: Path) -> None:
    """emit-cilium reads profiles and prints YAML; a mistake in them is one line and no policy."""
    file = tmp_path / "profiles.yaml"
    file.write_text(PROFILES)
    done = subprocess.run([sys.executable, EMIT, file], capture_output=True, text=True, check=True)
    found = yaml.safe_load(done.stdout)
    assert found["kind"] == "CiliumNetworkPolicy"
    assert found["spec"]["endpointSelector"] == {"matchLabels": LABELS}
    file.write_text("- slug: 1\n")
    done = subprocess.run([sys.executable, EMIT, file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "profiles.yaml:1" in done.stderr
