"""What did a pytest see that a test ran as somebody else? Outcomes by test, and its records of attack ids."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.support.ordinary import OrdinaryUser

__all__ = ["Inner", "run_pytest"]


@dataclass(frozen=True)
class Inner:
    """`outcomes`: passed, failure, error or skipped and its message, by `FILE.py::test[parameters]`."""

    outcomes: Mapping[str, tuple[str, str]]
    records: Sequence[Mapping[str, Any]]
    output: str

    def of(self, file: str) -> dict[str, tuple[str, str]]:
        """The outcomes of one file."""
        return {name: seen for name, seen in self.outcomes.items() if name.startswith(f"{file}::")}

    def records_of(self, file: str) -> list[dict[str, Any]]:
        """The records of one file, as those of a rootless backend."""
        found = (record for record in self.records if f"/{file}::" in record["test"])
        return [{**record, "backend": "oci rootless"} for record in found]


def run_pytest(
    user: OrdinaryUser, *arguments: str, require: str, inside: bool, timeout: float = 300
) -> Inner:
    """Run tests as that user; `inside`: as uid 0 of the user's own namespace. No `require`d lane may skip."""
    report = user.home / "report.xml"
    unshare = (sys.executable, "-m", "jupyter_sandbox_spawner.admin", "unshare", "--") if inside else ()
    done = user.run(
        *(*unshare, "env", f"SANDBOX_REQUIRE={require}", sys.executable),
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
        *(f"--basetemp={user.home}/pytest", f"--junitxml={report}", *arguments),
        timeout=timeout,
    )
    output = done.stdout + done.stderr
    if not report.exists():
        raise AssertionError(output)
    records = json.loads((user.home / "results.json").read_text())
    return Inner(dict(_outcomes(report)), records, output)


def _outcomes(report: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{str(case.get('classname')).rpartition('.')[2]}.py::{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        yield name, (bad[0].tag, bad[0].get("message", "")) if bad else ("passed", "")
