"""Does the ResourceQuota that is worked out hold all that control admits, and little more?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from jupyter_sandbox_spawner.rules.cluster_quota import Crowd, Room, cluster_quota, most_admitted
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook
from tests.lanes import CHECKOUT

from .test_claims import CLUSTER

EMIT = CHECKOUT / "hub_config/kubernetes/emit-quota"
BESIDE = Room(cpu=0.01, memory=128 << 20, space=512 << 20)
PROFILES = """
profiles:
  - {display_name: Small, slug: small, default: true, sandbox: {cpu: 1, memory: 2G, disk: 10G}}
  - display_name: Large
    slug: large
    allowed_groups: [research, staff]
    sandbox: {cpu: 4, memory: 8G, disk: 50G}
    profile_options:
      size:
        display_name: Size
        choices:
          plain: {display_name: As it is, default: true}
          huge: {display_name: Huge, sandbox: {memory: 16G}}
"""
EACH_USER = "quotas: {user: [{group: staff, servers: 3}, {servers: 2, cpu: 6, memory: 20G}]}\n"


def book(more: str = "", text: str = PROFILES) -> Rulebook:
    """The rule book of a text."""
    return parse_rulebook(text + more)


def test_the_golden_quota() -> None:
    """100 users with 3 servers at most: each dimension by the least of what holds it, and ten pods more."""
    cluster = replace(
        CLUSTER,
        gpu_resource={"nvidia-a100": "nvidia.com/gpu", "nvidia-l4": "nvidia.com/gpu"},
        gpu_counts={"nvidia-a100": 2, "nvidia-l4": 3},
        quota="sandboxes",
    )
    manifest, notes = cluster_quota(book(EACH_USER), cluster, Crowd(users=100), BESIDE)
    assert notes == ()
    assert yaml.safe_dump(manifest, sort_keys=False) == (
        "apiVersion: v1\n"
        "kind: ResourceQuota\n"
        "metadata:\n"
        "  name: sandboxes\n"
        "  namespace: pods\n"
        "spec:\n"
        "  hard:\n"
        "    pods: '310'\n"  # 300 servers
        "    requests.cpu: '1244'\n"  # 1200 of servers of 4, 40 of those to spare, 3.1 of links
        "    limits.memory: 5118720Mi\n"  # 310 times 16 GiB and a link
        "    limits.ephemeral-storage: 158720Mi\n"
        "    requests.nvidia.com/gpu: '5'\n"
        "    persistentvolumeclaims: '100'\n"
        "    requests.storage: 5120000Mi\n"
    )


@pytest.mark.parametrize(
    ("quotas", "crowd", "servers", "cpu", "memory"),
    [
        # Each user, as often as there are users; an entry of a group that says nothing holds nobody.
        ("quotas: {user: [{servers: 2, cpu: 6, memory: 20G}]}\n", Crowd(users=10), 20, 60, 200 << 30),
        ("quotas: {user: [{servers: 2, cpu: 6, memory: 20G}]}\n", Crowd(), None, None, None),
        ("quotas: {user: [{group: staff}, {servers: 2}]}\n", Crowd(users=10), None, None, None),
        ("quotas: {user: [{group: staff, servers: 2}]}\n", Crowd(users=10), None, None, None),
        # What the site says where profiles are silent.
        ("", Crowd(users=10, servers_per_user=3), 30, 120, 480 << 30),
        ("", Crowd(users=10), None, None, None),
    ],
)
def test_what_control_admits_at_most(
    quotas: str, crowd: Crowd, servers: int | None, cpu: float | None, memory: int | None
) -> None:
    """Only what holds everybody counts; nothing does where a user or a profile is without a cap."""
    most = most_admitted(book(quotas), crowd)
    assert (most.servers, most.cpu, most.memory) == (servers, cpu, memory)


def test_profiles_are_held_by_their_own_caps_and_by_those_of_their_groups() -> None:
    """The sum of all profiles: at_most of the one, all allowed groups of the other together."""
    small = PROFILES.replace("slug: small,", "slug: small, at_most: {servers: 5},")
    groups = "quotas: {group: [{group: research, servers: 3}, {group: staff, servers: 4, cpu: 8}]}\n"
    most = most_admitted(book(groups, small), Crowd())
    assert (most.servers, most.cpu, most.memory) == (12, 5 + 28, (5 * 2 + 7 * 16) << 30)
    one = "quotas: {group: [{group: research, servers: 3}]}\n"
    assert most_admitted(book(one, small), Crowd()).servers is None


def test_a_profile_for_nobody_takes_nothing() -> None:
    """allowed_groups [] closes it; the others are held by their caps."""
    text = PROFILES.replace("slug: small,", "slug: small, at_most: {servers: 5},")
    text = text.replace("[research, staff]", "[]")
    assert most_admitted(book("", text), Crowd()).servers == 5


DATASETS = """
datasets:
  - {id: open, version: "1", uri: "file:///srv/open", owner: a, tags: [public]}
  - {id: cases, version: "1", uri: "file:///srv/cases", owner: a, tags: [phi]}
  - {id: unknown, version: "1", uri: "file:///srv/unknown", owner: a}
"""


@pytest.mark.parametrize(
    ("names", "homes"),
    [("", 1), ("gone", 1), ("unknown", 2), ("cases", 3), ("cases, unknown", 3), ("open", 4)],
)
def test_each_user_has_a_home_in_each_zone_that_a_dataset_can_lead_to(names: str, homes: int) -> None:
    """By its tags, and by those that it may still get; data that no profile mounts leads nowhere."""
    text = PROFILES.replace("disk: 10G", f"disk: 10G, datasets: [{names}]")
    manifest, _ = cluster_quota(book(DATASETS, text), CLUSTER, Crowd(users=10), BESIDE)
    hard = manifest["spec"]["hard"]
    assert hard["persistentvolumeclaims"] == str(10 * homes)
    assert hard["requests.storage"] == f"{10 * homes * 50 * 1024}Mi"


def test_what_nobody_caps_has_no_line() -> None:
    """The shipped numbers stay, and a sentence says why; GPUs are counted by the admin in any case."""
    cluster = replace(CLUSTER, gpu_resource={"a": "nvidia.com/gpu", "b": "amd.com/gpu"}, gpu_counts={"a": 2})
    manifest, notes = cluster_quota(book(), cluster, Crowd(), BESIDE)
    assert manifest["spec"]["hard"] == {"requests.amd.com/gpu": "0", "requests.nvidia.com/gpu": "2"}
    assert [note.partition(":")[0] for note in notes] == [
        "Nothing caps all servers together",
        "How many users there are is not known",
    ]


def test_the_command_prints_it(tmp_path: Path) -> None:
    """emit-quota reads the file of profiles and site.json; a mistake in them is one line and no quota."""
    file = tmp_path / "profiles.yaml"
    file.write_text(PROFILES + EACH_USER)
    words = [sys.executable, EMIT, file, "--users", "100"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = yaml.safe_load(done.stdout)
    assert found["metadata"] == {"name": "sandboxes", "namespace": "jupyter-sandbox-pods"}
    assert found["spec"]["hard"]["limits.memory"] == "5118720Mi"
    file.write_text("- slug: 1\n")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "profiles.yaml:1" in done.stderr
    done = subprocess.run([*words[:3], "--users", "-1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
