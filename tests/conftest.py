"""What does every test get: lanes that skip or fail, a control to record, a clean environment, evidence.

Law: a "blocked" result counts only beside its positive control; both land in .results/tests.json.
Law: with `-n N` only the controlling process writes; workers send what they saw in reports.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.lanes import CHECKOUT, LANES, VENVS, missing, required
from tests.sharing import Shares, in_order
from tests.support.cluster import cluster, namespace  # noqa: F401 - fixtures for everybody
from tests.support.vault_server import vault, warehouse  # noqa: F401 - fixtures for everybody

RESULTS = CHECKOUT / os.environ.get("SANDBOX_RESULTS", ".results/tests.json")
REQUIRED = pytest.StashKey[frozenset[str]]()
RECORDS = pytest.StashKey[dict[str, list[dict[str, Any]]]]()
FAILED = pytest.StashKey[bool]()
CONTROLS = pytest.StashKey[list[bool]]()
# Records of tests that a test ran itself, as somebody else; they count as its own.
ALSO = pytest.StashKey[list[dict[str, Any]]]()
Evidence = tuple[str, Callable[[], str]]
EVIDENCE = pytest.StashKey[list[Evidence]]()
# A busy machine is slow; how long an example takes says nothing about the code.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the two markers and read SANDBOX_REQUIRE once."""
    names = ", ".join(LANES)
    config.addinivalue_line("markers", f"lane(*names): what the test needs of this machine ({names})")
    config.addinivalue_line("markers", "proves(*ids): the attacks, traps and checks the test shows")
    try:
        config.stash[REQUIRED] = required(os.environ)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RECORDS] = {}
    config.stash[EVIDENCE] = []
    config.pluginmanager.register(_Results(config))


def pytest_addoption(parser: pytest.Parser) -> None:
    """.ci/run tries first what needs no program that takes long to build."""
    parser.addoption("--without-lanes", default="", metavar="LANES", help="no test that needs one of these")
    parser.addoption("--only-lanes", default="", metavar="LANES", help="only tests that need one of these")


def _lanes(item: pytest.Item) -> list[str]:
    return sorted({name for marker in item.iter_markers("lane") for name in marker.args})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares:
    """How `-n N` shares the tests out. (xdist's own groups need node ids that pytest 9.2 does not give.)"""
    return Shares(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a lane nobody knows, as a typing error would never run; leave out what was not asked for."""
    if hasattr(config, "workerinput"):
        in_order(items)
    for item in items:
        _known(item.nodeid, _lanes(item))
    without, only = (config.getoption(name).split() for name in ("without_lanes", "only_lanes"))
    _known("--without-lanes, --only-lanes", [*without, *only])
    left_out = [item for item in items if not _wanted(set(_lanes(item)), set(without), set(only))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _known(where: str, lanes: Iterable[str]) -> None:
    unknown = [name for name in lanes if name not in LANES]
    if unknown:
        raise pytest.UsageError(f"{where}: unknown lane {unknown[0]!r}; known: {', '.join(LANES)}")


def _wanted(lanes: set[str], without: set[str], only: set[str]) -> bool:
    return not lanes & without and (not only or bool(lanes & only))


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
        item.stash[FAILED] = True
        report.sections.extend(_collect(item.config.stash[EVIDENCE]))
    if report.when == "call" or report.outcome != "passed":
        report.user_properties.append(("proves", [*_records(item, report), *item.stash.get(ALSO, [])]))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """What a failed test left open is closed here, silently: one failure must not fail its neighbours."""
    handled = yield
    if item.stash.get(FAILED, False):
        sys.last_value = sys.last_traceback = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
    return handled


def _collect(sources: list[Evidence]) -> Iterator[tuple[str, str]]:
    for title, read in sources:
        try:
            yield title, read()
        except Exception as error:
            yield title, f"(evidence not readable: {error!r})"


def _records(item: pytest.Item, report: pytest.TestReport) -> list[dict[str, Any]]:
    """One record for each id that the test proves."""
    controls = item.stash.get(CONTROLS, [])
    parameters = getattr(item, "callspec", None)
    backend = str(parameters.params.get("backend", "")) if parameters else ""
    return [
        {
            "id": name,
            "backend": backend or _backend_of(_lanes(item)),
            "test": item.nodeid,
            "outcome": report.outcome,
            "control": "none" if not controls else "passed" if all(controls) else "failed",
            "seconds": round(report.duration, 3),
        }
        for name in sorted({name for marker in item.iter_markers("proves") for name in marker.args})
    ]


_BACKENDS = (
    ("cluster", "kubernetes"),
    ("docker", "docker"),
    ("runsc", "runsc"),
    ("runc", "oci"),
)  # of a test, by its lane


def _backend_of(lanes: list[str]) -> str:
    return next((name for lane, name in _BACKENDS if lane in lanes), "")


class _Results:
    """Collects the records of all reports, also of those that workers sent."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A later report of the same test (a failure in teardown) replaces the earlier one."""
        for name, found in report.user_properties:
            if name == "proves":
                self._config.stash[RECORDS][report.nodeid] = found  # type: ignore[assignment]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write .results/tests.json in one step, sorted by id."""
    if session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return
    found = [record for records in session.config.stash[RECORDS].values() for record in records]
    records = sorted(found, key=lambda record: (record["id"], record["test"]))
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
