"""Which tests stay together on one worker of xdist, and which begin first?

Law: what shares a fixture of a module or of the house stays together, so that nothing is started twice.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["Shares", "group", "in_order"]

# The longest first, so that no worker ends alone with one of them; the others follow as they come.
FIRST = (
    "tests/attacks",
    "tests/programs/test_ordinary_attacks.py",
    "tests/docker",
    "tests/kubernetes/test_house.py",
    "tests/kubernetes/test_bad_input.py",
    "tests/kubernetes",  # mostly waits; each worker that takes one has a cluster of its own
    "tests/browser",
    "tests/galata",
    "tests/stories",
    # These mostly wait, each in a house of its own.
    "tests/chaos/test_three_minutes.py",
    "tests/chaos/test_deadlines.py",
    "tests/chaos/test_kills.py",
    "tests/hub/test_admission.py",
    "tests/backends/test_ordinary.py",
    "tests/tutorials",
    "tests/hub/test_endings.py",
    "tests/programs/test_admin_sandboxes.py",
    "tests/benchmarks",
    "tests/tracking",
)
HOUSE = "tests/attacks"
# They open houses of their own.
APART = ("tests/attacks/test_data.py", "tests/attacks/test_secrets_proxy.py")
VAULT = "tests/attacks/vault"
DOCKER = "tests/docker"
BROWSER = "tests/browser"
STORIES = "tests/stories"


def group(name: str) -> str:
    """What a test (by its node id) stays with: the house, a file, or a file and one version of the hub."""
    file, _, rest = name.partition("::")
    if file.startswith(VAULT + "/"):
        return VAULT  # a house of its own, with a Vault
    if file.startswith(HOUSE + "/") and file not in APART:
        return HOUSE
    if file.startswith(DOCKER + "/"):
        return DOCKER  # one daemon, with one copy of the user image
    if file.startswith(BROWSER + "/"):
        return BROWSER  # one hub with subdomains
    if file.startswith(STORIES + "/"):
        return STORIES  # another one
    version = re.search(r"\b(hub\d*)\b", rest.partition("[")[2]) if file.startswith("tests/hub/") else None
    return f"{file}[{version[1]}]" if version else file


def in_order(items: list[pytest.Item]) -> None:
    """Bring the long groups to the front."""
    items.sort(key=lambda item: _place(group(item.nodeid)))


def _place(name: str) -> int:
    return next((place for place, first in enumerate(FIRST) if name.startswith(first)), len(FIRST))


class Shares(LoadScopeScheduling):
    """Gives a free worker the next group, in the order of collection."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
