"""What does every test get: lanes that skip or fail, a control to record, a clean environment, evidence.

Law: a "blocked" result counts only beside its positive control; both land in .results/tests.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import CHECKOUT, LANES, VENVS, missing, required

RESULTS = Path(os.environ.get("SANDBOX_RESULTS", CHECKOUT / ".results/tests.json"))
REQUIRED = pytest.StashKey[frozenset[str]]()
RECORDS = pytest.StashKey[list[dict[str, Any]]]()
CONTROLS = pytest.StashKey[list[bool]]()
Evidence = tuple[str, Callable[[], str]]
EVIDENCE = pytest.StashKey[list[Evidence]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the two markers and read SANDBOX_REQUIRE once."""
    names = ", ".join(LANES)
    config.addinivalue_line("markers", f"lane(*names): what the test needs of this machine ({names})")
    config.addinivalue_line("markers", "proves(*ids): the attacks, traps and checks the test shows")
    try:
        config.stash[REQUIRED] = required(os.environ)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RECORDS] = []
    config.stash[EVIDENCE] = []


def _lanes(item: pytest.Item) -> list[str]:
    return sorted({name for marker in item.iter_markers("lane") for name in marker.args})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a lane nobody knows: a typing error would otherwise never run."""
    for item in items:
        unknown = [name for name in _lanes(item) if name not in LANES]
        if unknown:
            raise pytest.UsageError(f"{item.nodeid}: unknown lane {unknown[0]!r}; known: {', '.join(LANES)}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip where the machine lacks a lane; fail where SANDBOX_REQUIRE names that lane."""
    for lane in _lanes(item):
        reason = missing(lane)
        if reason and lane in item.config.stash[REQUIRED]:
            pytest.fail(f"lane {lane} is required (SANDBOX_REQUIRE) and absent: {reason}", pytrace=False)
        if reason:
            pytest.skip(f"lane {lane}: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip inside a required lane into a failure, add evidence to failures, record what was shown."""
    report = yield
    lanes = _lanes(item)
    wanted = item.config.stash[REQUIRED]
    if report.skipped and not hasattr(report, "wasxfail") and lanes and wanted.issuperset(lanes):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped although SANDBOX_REQUIRE names its lanes: {call.excinfo}"
    if report.failed:
        report.sections.extend(_collect(item.config.stash[EVIDENCE]))
    if report.when == "call" or report.outcome != "passed":
        _record(item, report)
    return report


def _collect(sources: list[Evidence]) -> Iterator[tuple[str, str]]:
    for title, read in sources:
        try:
            yield title, read()
        except Exception as error:
            yield title, f"(evidence not readable: {error!r})"


def _record(item: pytest.Item, report: pytest.TestReport) -> None:
    """One line for each id the test proves; a failure in teardown overrides a pass."""
    controls = item.stash.get(CONTROLS, [])
    parameters = getattr(item, "callspec", None)
    backend = str(parameters.params.get("backend", "")) if parameters else ""
    records = item.config.stash[RECORDS]
    records[:] = [record for record in records if record["test"] != item.nodeid]
    for name in sorted({name for marker in item.iter_markers("proves") for name in marker.args}):
        records.append(
            {
                "id": name,
                "backend": backend or ("oci" if "runc" in _lanes(item) else ""),
                "test": item.nodeid,
                "outcome": report.outcome,
                "control": "none" if not controls else "passed" if all(controls) else "failed",
                "seconds": round(report.duration, 3),
            }
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write .results/tests.json in one step, sorted by id."""
    if session.config.option.collectonly:
        return
    records = sorted(session.config.stash[RECORDS], key=lambda record: (record["id"], record["test"]))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    temporary = RESULTS.with_name(f"{RESULTS.name}.{os.getpid()}")
    temporary.write_text(json.dumps(records, indent=1) + "\n")
    os.replace(temporary, RESULTS)


@pytest.fixture
def control(request: pytest.FixtureRequest) -> Callable[[str, bool], None]:
    """`control(description, succeeded)`: the allowed twin of a refusal; it must have succeeded."""
    outcomes: list[bool] = request.node.stash.setdefault(CONTROLS, [])

    def check(description: str, succeeded: bool) -> None:
        outcomes.append(bool(succeeded))
        assert succeeded, f"positive control failed: {description}"

    return check


@pytest.fixture(scope="session")
def evidence(request: pytest.FixtureRequest) -> Callable[[str, Callable[[], str]], Callable[[], None]]:
    """`forget = evidence(title, read)`: while registered, `read()` is printed with every failed test."""
    sources = request.config.stash[EVIDENCE]

    def register(title: str, read: Callable[[], str]) -> Callable[[], None]:
        source = (title, read)
        sources.append(source)
        return lambda: sources.remove(source)

    return register


@pytest.fixture(scope="session", autouse=True)
def clean_environ() -> Iterator[None]:
    """No proxy, hub or sandbox setting of the caller's shell reaches a test or a program it starts."""
    exact = {
        "CONFIGPROXY_AUTH_TOKEN",
        "JUPYTER_SANDBOX",
        "JUPYTER_SANDBOX_SITE",
        "PYTHONPATH",
        "NOTIFY_SOCKET",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in exact or name.lower().endswith("_proxy") or name.startswith("JUPYTERHUB_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The directory of this checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def venvs() -> Path:
    """Where scripts/prepare put hub, hub5, user and proxy."""
    return VENVS
