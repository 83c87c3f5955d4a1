"""Do the contract, the attacks and the limits hold as well for an ordinary user's sandboxes?

The same files run once more, by a pytest of that user inside the user's own namespace; what each test there
gave counts here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ALSO
from tests.support.handed import handed_cgroup
from tests.support.inner import Inner, run_pytest
from tests.support.ordinary import OrdinaryUser, ordinary_user

pytestmark = [pytest.mark.lane("root", "rootless", "runc"), pytest.mark.timeout(300)]
# Other runtimes: where the host has none, and gVisor, which is root's alone.
OTHERS = ("lane crun", "lane runsc")
# What needs a hard limit of memory or CPU is skipped there.
SKIPPED_FOR = ("lane cgroup", *OTHERS)
FILES = (
    "test_canary.py",
    "test_contract.py",
    "test_oci_attacks.py",
    "test_oci_limits.py",
    "test_oci_soft.py",
)


@pytest.fixture(scope="module")
def user() -> Iterator[OrdinaryUser]:
    """An ordinary user with subordinate uids."""
    with ordinary_user() as made:
        yield made


@pytest.fixture(scope="module")
def inner(user: OrdinaryUser) -> Inner:
    """The files, once, as that user."""
    paths = [f"tests/backends/{name}" for name in FILES]
    return run_pytest(user, *paths, require="hostuids runc", inside=True)


@pytest.mark.parametrize("file", FILES)
def test_the_same_tests_pass(inner: Inner, file: str, request: pytest.FixtureRequest) -> None:
    """Every test of the file passes for an ordinary user; only what needs hard limits is left out."""
    request.node.stash[ALSO] = inner.records_of(file)
    found = inner.of(file)
    others = {name: seen for name, seen in found.items() if seen[0] != "passed"}
    assert len(found) > len(others), inner.output
    assert _unexpected(others, *SKIPPED_FOR) == [], inner.output


@pytest.mark.lane("cgroup")
def test_limits_are_hard_in_a_cgroup_of_ones_own(user: OrdinaryUser) -> None:
    """Where a cgroup was handed to the user, every limit is the kernel's, and no test is left out."""
    with handed_cgroup(user) as handed:
        paths = [f"tests/backends/{name}" for name in ("test_contract.py", "test_oci_limits.py")]
        found = run_pytest(handed, *paths, require="hostuids runc cgroup", inside=True)
    assert len(found.outcomes) > 20
    others = {name: seen for name, seen in found.outcomes.items() if seen[0] != "passed"}
    assert _unexpected(others, *OTHERS) == [], found.output


def test_nothing_of_it_is_left(user: OrdinaryUser, inner: Inner) -> None:
    """After the tests the user has no process, and so no namespace and no mount."""
    assert inner.outcomes
    uid = user.home.stat().st_uid
    left = [path for path in Path("/proc").glob("[0-9]*") if _owner(path) == uid and _command(path)]
    assert [(path.name, _command(path)) for path in left] == []


def _unexpected(others: dict[str, tuple[str, str]], *lanes: str) -> list[str]:
    """Names of tests that were not skipped for one of these lanes."""
    return [name for name, seen in others.items() if not any(lane in seen[1] for lane in lanes)]


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _command(path: Path) -> str:
    """Its command line; empty for what has ended and is not waited for yet."""
    try:
        return path.joinpath("cmdline").read_text()
    except OSError:
        return ""
