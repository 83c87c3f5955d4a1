"""Is anything committed that never may be: a secret, a registry's address, one machine's path, a binary?"""

from __future__ import annotations

import json
import re

import pytest

from tests.lanes import CHECKOUT
from tests.repo.sources import texts, tracked

SECRETS = {
    "private key": "-----BEGIN " + r"(?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/=]{40}",
    "AWS key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}",
    "Vault token": r"\bhvs\.[A-Za-z0-9_-]{24}",
    "Slack token": r"\bxox[abpr]-[A-Za-z0-9-]{10}",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.",
    "hub token": r"(?i)token[\"']?\s*[:=]\s*[\"'](?!0123456789abcdef)[0-9a-f]{32,}[\"']",
}
REGISTRIES = r"https?://(?:[\w.-]*\b(?:pypi|pythonhosted|npmjs|yarnpkg|artifactory|nexus|jfrog)\b[\w.-]*)"
# The first folders of a developer's or a builder's machine; users' own homes are examples in documents.
MACHINES = r"(?<![\w.])/(?:" + "work|ro" + r"ot|builds|workspace)/[\w.-]+"
LARGEST = 512 << 10


def places(pattern: str) -> list[str]:
    """`file:line` of every match in a tracked text."""
    expression = re.compile(pattern)
    return [
        f"{name}:{number}"
        for name, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if expression.search(line)
    ]


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret(kind: str) -> None:
    """No tracked file holds what looks like a secret of this kind."""
    expression = re.compile(SECRETS[kind])
    assert [name for name, text in texts().items() if expression.search(text)] == []


def test_a_planted_secret_is_found() -> None:
    """The patterns do find a secret: the control of the tests above."""
    planted = "token = '" + "3b1f9c0d7e5a4862" * 2 + "'"
    assert re.search(SECRETS["hub token"], planted)


def test_no_registry_address() -> None:
    """No tracked file names the address of a package registry."""
    assert places(REGISTRIES) == []


def test_no_path_of_a_machine() -> None:
    """No tracked file names a directory of the machine it was written on."""
    assert places(MACHINES) == []


LOCKS = [name for name in tracked() if name.endswith("package-lock.json")]


def test_every_npm_project_is_locked() -> None:
    """Beside each package.json of ours lies its lock, and the .npmrc that keeps addresses out of it."""
    projects = {name.removesuffix("package.json") for name in tracked() if name.endswith("/package.json")}
    assert len(projects) >= 3
    assert projects == {name.removesuffix("package-lock.json") for name in LOCKS}
    for project in projects:
        assert "omit-lockfile-registry-resolved=true" in (CHECKOUT / project / ".npmrc").read_text()


@pytest.mark.parametrize("name", LOCKS)
def test_the_npm_lock_has_no_addresses(name: str) -> None:
    """A lock pins versions and hashes, not where they were downloaded from."""
    lock = json.loads((CHECKOUT / name).read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all("integrity" in entry for entry in packages.values())
    assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_no_binary_and_no_large_file() -> None:
    """Every tracked file is text of at most 512 KiB; pictures of the documentation are the exception."""
    others = [name for name in tracked() if name not in texts() and not name.startswith("docs/")]
    assert others == []
    assert [name for name in tracked() if (CHECKOUT / name).stat().st_size > LARGEST] == []
