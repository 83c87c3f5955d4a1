"""Do the contract, the attacks and the limits hold as well for an ordinary user's sandboxes?

The same files run once more, by a pytest of that user inside the user's own namespace; what each test there
gave counts here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import ALSO
from tests.support.ordinary import OrdinaryUser, ordinary_user

pytestmark = [pytest.mark.lane("root", "rootless", "runc"), pytest.mark.timeout(300)]
# What needs a hard limit of memory or CPU is skipped there, with this reason.
SKIPPED_FOR = "lane cgroup"
FILES = ("test_contract.py", "test_oci_attacks.py", "test_oci_limits.py", "test_oci_soft.py")


@dataclass(frozen=True)
class Inner:
    """What the ordinary user's pytest saw: outcome and reason by test, and its records of attack ids."""

    outcomes: dict[str, tuple[str, str]]
    records: list[dict[str, Any]]
    output: str


@pytest.fixture(scope="module")
def user() -> Iterator[OrdinaryUser]:
    """An ordinary user with subordinate uids."""
    with ordinary_user() as made:
        yield made


@pytest.fixture(scope="module")
def inner(user: OrdinaryUser) -> Inner:
    """The four files, once, as that user."""
    report = user.home / "report.xml"
    done = user.python(
        *("-m", "jupyter_sandbox_spawner.admin", "unshare", "--"),
        *("env", "SANDBOX_REQUIRE=hostuids runc", sys.executable),
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
        *(f"--basetemp={user.home}/pytest", f"--junitxml={report}"),
        *(f"tests/backends/{name}" for name in FILES),
    )
    output = done.stdout + done.stderr
    assert report.exists(), output
    records = json.loads((user.home / "results.json").read_text())
    return Inner(dict(_outcomes(report)), records, output)


def _outcomes(report: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        yield name, (bad[0].tag, bad[0].get("message", "")) if bad else ("passed", "")


@pytest.mark.parametrize("file", FILES)
def test_the_same_tests_pass(inner: Inner, file: str, request: pytest.FixtureRequest) -> None:
    """Every test of the file passes for an ordinary user; only what needs hard limits is left out."""
    mine = {name: seen for name, seen in inner.outcomes.items() if name.startswith(file)}
    request.node.stash[ALSO] = [
        {**record, "backend": "oci rootless"} for record in inner.records if f"/{file}::" in record["test"]
    ]
    passed = [name for name, (outcome, _) in mine.items() if outcome == "passed"]
    others = {name: seen for name, seen in mine.items() if seen[0] != "passed"}
    assert passed, inner.output
    assert [item for item in others.items() if SKIPPED_FOR not in item[1][1]] == [], inner.output


def test_nothing_of_it_is_left(user: OrdinaryUser, inner: Inner) -> None:
    """After the tests the user has no process, and so no namespace and no mount."""
    assert inner.outcomes
    uid = user.home.stat().st_uid
    left = [path for path in Path("/proc").glob("[0-9]*") if _owner(path) == uid]
    assert [(path.name, path.joinpath("cmdline").read_text()) for path in left] == []


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None
