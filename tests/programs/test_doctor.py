"""Does doctor see what is wrong, name the way out, and stay calm where nobody reads to the end?"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.admin import versions
from jupyter_sandbox_spawner.admin.profile_findings import profile_findings
from jupyter_sandbox_spawner.admin.versions import FIXES, numbers, version_findings
from jupyter_sandbox_spawner.settings import Environment, Site
from tests.lanes import CHECKOUT
from tests.programs.admin_run import AdminRun, admin, environment, site_directory


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory for one site."""
    run = AdminRun(site_directory())
    yield run.top
    run.erase()


def findings(*arguments: str) -> dict[str, dict[str, Any]]:
    """What doctor found, by name."""
    done = admin("doctor", "--json", *arguments)
    assert "Traceback" not in done.stderr
    return {item["name"]: item for item in json.loads(done.stdout)}


def test_every_finding_that_is_not_fine_has_a_remedy() -> None:
    """Whatever doctor finds missing or weak comes with the words that help."""
    found = findings()
    assert {
        "python",
        "kernel",
        "runc",
        "cgroups",
        "limits",
        "uid range",
        "run_dir",
        "jupyterhub",
    } <= found.keys()
    assert [name for name, item in found.items() if not item["fine"] and not item["remedy"]] == []


@pytest.mark.lane("root")
def test_a_site_is_looked_at_by_its_configuration(top: Path) -> None:
    """With -f doctor knows the site's uids, directories and user images."""
    run = AdminRun(top)
    found = findings("-f", str(run.config))
    assert found["run_dir"]["seen"].startswith(f"{top}/run, ")
    assert "jupyterhub in default" in found
    assert "uids" in found


def test_profiles_that_ask_for_more_are_weak(
    tmp_path: Path, control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile with another runtime is named; so is one whose home cannot be limited on this machine."""
    file = tmp_path / "profiles.yaml"
    limits = "cpu: 1, memory: 1G, disk: 2G, runtime: crun"
    file.write_text(f"- {{display_name: A, slug: a, default: true, sandbox: {{{limits}}}}}\n")
    ports = dict.fromkeys(("public_port", "hub_port", "proxy_api_port", "front_port"), 0)
    site = Site(run_dir="/run/x", state_dir="/srv/x", profiles=str(file), **ports)
    fitting = {item.name: item for item in profile_findings(replace(site, further_runtimes=("crun",)))}
    control("on a site with that runtime all is fine", fitting["runtimes"].fine)
    monkeypatch.setattr("jupyter_sandbox_spawner.admin.profile_findings._LOOP", str(tmp_path / "loop"))
    found = {item.name: item for item in profile_findings(site)}
    assert (found["runtimes"].fine, "a asks for crun" in found["runtimes"].seen) == (False, True)
    assert (found["home quota"].fine, "asked for by a" in found["home quota"].seen) == (False, True)


@pytest.mark.lane("root", "uids")
def test_one_uid_is_called_weak(top: Path, control: Any) -> None:
    """A site that accepted one uid is reminded of it; one with uids of its own is fine."""
    control("uids of their own are fine", findings("-f", str(AdminRun(top).config))["uids"]["fine"])
    found = findings("-f", str(AdminRun(top, one_uid=True).config))["uids"]
    assert (found["fine"], found["needed"], "one_uid=True" in found["remedy"]) == (False, False, True)


@pytest.mark.proves("T19")
def test_an_idle_culler_is_called_weak(top: Path, control: Any) -> None:
    """A second culler that is configured after setup_hub is found too, with what to do."""
    run = AdminRun(top)
    control("without one nothing is said", "idle culler" not in findings("-f", str(run.config)))
    service = '{"name": "x", "command": ["jupyterhub-idle-culler", "--timeout=60"]}'
    run.config.write_text(run.config.read_text() + f"\nc.JupyterHub.services.append({service})\n")
    found = findings("-f", str(run.config))["idle culler"]
    assert (found["fine"], found["needed"]) == (False, False)
    assert "Remove it from c.JupyterHub.services" in found["remedy"]


def test_a_shared_origin_is_called_weak(top: Path, control: Any) -> None:
    """A hub off loopback whose servers share its origin is reminded of it; one on loopback is not."""
    run = AdminRun(top)
    control("on loopback nothing is said", "origin" not in findings("-f", str(run.config)))
    accepted = 'public_host="0.0.0.0", accept_shared_origin=True, one_uid'
    run.config.write_text(run.config.read_text().replace("one_uid", accepted, 1))
    found = findings("-f", str(run.config))["origin"]
    assert (found["fine"], found["needed"], "subdomain_host" in found["remedy"]) == (False, False, True)


@pytest.mark.lane("root", "uids")
def test_what_a_uid_cannot_read_is_missing(top: Path) -> None:
    """A configuration in a private directory is told with that directory, before anybody starts it."""
    run = AdminRun(top)
    top.chmod(0o700)
    found = findings("-f", str(run.config))["reach"]
    assert (found["fine"], found["needed"], f"{top} has mode 700" in found["seen"]) == (False, True, True)


@pytest.mark.lane("root")
def test_uids_that_somebody_else_has_are_named(top: Path) -> None:
    """A range of sandboxes' uids that holds a user of the host is refused by doctor."""
    run = AdminRun(top)
    run.config.write_text(run.config.read_text().replace("one_uid", "uid_base=65000, one_uid"))
    found = findings("-f", str(run.config))["uid range"]
    assert (found["fine"], "nobody" in found["seen"]) == (False, True)


def test_a_broken_configuration_is_one_finding(top: Path) -> None:
    """A configuration file with an error does not hide the rest."""
    (top / "broken.py").write_text("nonsense(")
    found = findings("-f", str(top / "broken.py"))
    assert found["configuration"]["fine"] is False
    assert "python" in found


def test_a_reader_who_leaves_early_gets_no_traceback() -> None:
    """`doctor | head -1` prints one line and nothing on stderr."""
    command = f"{sys.executable} -m jupyter_sandbox_spawner.admin doctor | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment(PYTHONUNBUFFERED="1"),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("package", "version", "fine"),
    [
        ("docker", "20.10.24", False),
        ("docker", "25.0.4", False),
        ("docker", "26.0.0", True),
        ("runc", "1.1.5+ds1", False),
        ("runc", "1.2.7", False),
        ("runc", "1.2.8", True),
        ("runc", "1.3.2", False),
        ("runc", "1.4.0", True),
        ("jupyterhub", "5.4.5", False),
        ("jupyterhub", "6.1.1", True),
        ("jupyter_server", "2.19.9", False),
        ("jupyter_server", "2.20.0", True),
        ("configurable-http-proxy", "5.2.9", False),
    ],
)
def test_versions_are_judged_by_their_line(package: str, version: str, fine: bool) -> None:
    """A version is fine from the first fix of its own line of releases, or of the newest line, on."""
    assert FIXES[package].has(version) is fine


def test_numbers_order_releases() -> None:
    """Suffixes of a distribution do not count, and 10 is more than 9."""
    assert numbers("1.1.5+ds1-1") == (1, 1, 5)
    assert numbers("5.10.0") > numbers("5.9.9")


def test_a_user_image_is_judged_without_running_it(tmp_path: Path) -> None:
    """The version of an image's jupyter_server is read from its metadata, whatever its python would do."""
    site_packages = tmp_path / "lib/python3.12/site-packages"
    (site_packages / "jupyter_server-2.14.0.dist-info").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\ntouch %s\n" % (tmp_path / "was-run"))
    os.chmod(tmp_path / "bin/python", 0o755)
    found = {item.name: item for item in version_findings({"old": Environment(prefix=str(tmp_path))})}
    server = found["jupyter_server in old"]
    assert (server.fine, "CVE-2026-44727" in server.seen) == (False, True)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.lane("runc")
def test_a_patched_build_is_known_by_its_changelog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution's runc with an old number is fine when its changelog names every hole."""
    monkeypatch.setattr(versions.Fix, "has", lambda self, version: False)
    for text, fine in (("fixes nothing", False), (" ".join(FIXES["runc"].holes), True)):
        changelog = tmp_path / "changelog.gz"
        changelog.write_bytes(gzip.compress(text.encode()))
        monkeypatch.setattr(versions, "_CHANGELOG", changelog)
        found = {item.name: item for item in version_findings({})}
        assert found["runc holes"].fine is fine
