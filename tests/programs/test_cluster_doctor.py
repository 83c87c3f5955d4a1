"""Does doctor say of a site on a cluster what is seen from where it runs, and blame nobody for the rest?"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin.doctor import examine
from jupyter_sandbox_spawner.admin.finding import Finding
from jupyter_sandbox_spawner.admin.installation import Installation
from jupyter_sandbox_spawner.settings import Site, write_site
from jupyter_sandbox_spawner.vault_site import VaultSite
from tests.hub.cluster_sites import SITE
from tests.programs.admin_run import admin

Control = Callable[[str, bool], None]
PROFILES = "- {display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G, disk: 2G}}\n"
LOCAL = {"run_dir", "disk of run_dir", "uids", "uid range", "reach", "runc holes", "configurable-http-proxy"}


@pytest.fixture
def site() -> Iterator[Site]:
    """A site on a cluster, as each of its pods has it; its database is nowhere."""
    with tempfile.TemporaryDirectory(prefix="jss", dir="/tmp") as directory:
        file = Path(directory, "profiles.yaml")
        file.write_text(PROFILES)
        ports = {"public_port": 0, "hub_port": 0, "proxy_api_port": 0, "front_port": 0}
        yield Site(run_dir=directory, state_dir=directory, profiles=str(file), **ports, **SITE)  # type: ignore[arg-type]


def look(site: Site) -> dict[str, Finding]:
    """What doctor finds, by name."""
    return {item.name: item for item in examine(Installation(config_file="site.json", site=site))}


def pod_of(program: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """From here on this is a pod of that program."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    return replace(site, program_uids={program: os.geteuid()})


def test_an_admins_machine_is_not_to_blame(site: Site, control: Control) -> None:
    """No pod: whatever is not there is said to be unseen, with the command that sees it."""
    away = replace(site, profiles="/nowhere/profiles.yaml", state_dir="/nowhere", run_dir="/nowhere/run")
    found = look(away)
    assert [item.name for item in found.values() if not item.fine] == []
    assert not LOCAL & found.keys()
    command = "kubectl -n jupyter-sandbox exec deployment/control -c control -- "
    assert command in found["here"].seen
    for name in ("launcher", "certificate", "profiles", "database"):
        assert found[name].seen.startswith("not looked at here: "), name
    here = look(replace(away, backend="local", wires=None, kubernetes=None))
    control("of one machine all of it is said", {"run_dir", "disk of run_dir", "runc holes"} <= here.keys())


def test_a_pod_of_control(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks launcher and database, and has a disk; a launcher that does not answer is missing."""
    inside = pod_of("control", site, monkeypatch)
    found = look(inside)
    assert not LOCAL & found.keys()
    assert found["here"].seen == "a pod of control"
    assert "does not answer" in found["launcher"].seen
    assert not found["launcher"].fine
    assert "kubectl -n jupyter-sandbox get lease launcher" in found["launcher"].remedy
    assert found["database"].seen == "SQLite, below state_dir"
    assert "disk of state_dir" in found


def test_a_pod_whose_launcher_waits(site: Site, monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    """Of two launchers one has a socket: that the other has none is no fault, and anywhere else it is."""
    waits = look(pod_of("launcher", site, monkeypatch))["launcher"]
    assert waits.fine
    assert "of two launchers one works" in waits.seen
    hub = look(pod_of("hub", site, monkeypatch))["launcher"]
    control("in the hub's pod it is missing", not hub.fine)
    assert (
        "only the pods of control, hub and launcher"
        in look(pod_of("broker", site, monkeypatch))["launcher"].seen
    )


def test_a_home_is_a_claim(site: Site, control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota takes neither root nor loop devices; Vault, which only the broker reaches, is not dialled."""
    found = look(pod_of("control", site, monkeypatch))
    assert found["home quota"].fine
    assert "asked for by a" in found["home quota"].seen
    Path(site.profiles).write_text(
        PROFILES.replace("disk: 2G", "disk: 2G, secrets: [{name: x, delivery: value}]")
    )
    vault = VaultSite(address="https://127.0.0.1:1", login="kubernetes", token_file="/nowhere")
    seen = look(replace(site, vault=vault))["secrets"]
    control("a secret is granted", seen.seen.startswith("1 granted"))
    assert seen.fine


def test_site_json_is_enough(site: Site, tmp_path: Path) -> None:
    """In a pod there is no jupyterhub_config.py; a broken file is the one finding, with status 3."""
    file = tmp_path / "site.json"
    write_site(file, site)
    done = admin("doctor", "--json", "--site", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert "here" in {item["name"] for item in json.loads(done.stdout)}
    file.write_text("{")
    broken = admin("doctor", "--json", "--site", str(file))
    assert broken.returncode == 3
    assert [item["name"] for item in json.loads(broken.stdout)] == ["configuration"]
