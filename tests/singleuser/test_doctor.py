"""Does the doctor inside find what is broken, and nothing where all is well?"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.singleuser import doctor
from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from tests.lanes import VENVS
from tests.singleuser.selfapi import SELF, SelfApi

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@pytest.fixture
def well(api: SelfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SelfApi]:
    """A sandbox where everything is as it should be; its egress door ends as the gateway does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                connection.recv(1)

    threading.Thread(target=serve, daemon=True).start()
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost,127.0.0.1,::1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    yield api
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def wrong() -> list[str]:
    """The names of what is not fine, each with something to do."""
    findings = [check for check in doctor.examine().checks if not check.fine]
    assert all(check.remedy for check in findings)
    return [check.name for check in findings]


def test_a_sandbox_that_is_well(well: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """All checks are fine, and the exit status is 0."""
    assert wrong() == []
    assert main(["doctor"]) == ExitStatus.OK
    assert "WRONG" not in capsys.readouterr().out


def test_the_doctor_denies_nothing(well: SelfApi) -> None:
    """Looking at the egress door asks the gateway for no host, so no denial is written down."""
    doctor.examine()
    assert [what for what, _, _ in well.asked] == [f"GET {SELF}"]


def test_control_away_is_found(well: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """The other checks still run, and the exit status is 6."""
    well.answers[f"GET {SELF}"] = (503, {"code": "control.unreachable", "message": ""})
    assert wrong() == ["control"]
    assert main(["doctor"]) == ExitStatus.WRONG
    assert "try again in a minute" in capsys.readouterr().out


def test_an_older_package_is_found(well: SelfApi) -> None:
    """The two versions are shown with the one to install."""
    well.me["version"] = "9.9"
    assert wrong() == ["version"]
    assert "install version 9.9" in repr(doctor.examine())


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", ""), ("http_proxy", "http://elsewhere:1"), ("NO_PROXY", "example.com")],
)
def test_changed_proxy_variables_are_found(
    well: SelfApi, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A variable that is empty, differs or sends loopback through the proxy is named."""
    monkeypatch.setenv(name, value)
    assert "proxy variables" in wrong()


def test_a_closed_egress_door_is_found(well: SelfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nothing listens, and one that keeps a connection without a gateway behind it."""
    with socket.create_server(("127.0.0.1", 0)) as relay:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{relay.getsockname()[1]}")
        monkeypatch.setattr(doctor, "_PATIENCE", 0.2)
        assert wrong() == ["egress door"]
    assert wrong() == ["egress door"]


def test_a_missing_overlay_is_found(well: SelfApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process outside of the overlay, and an overlay that cannot be written."""
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "gone"))
    assert wrong() == ["packages"]
    monkeypatch.delenv("VIRTUAL_ENV")
    assert wrong() == ["packages"]


def test_a_full_disk_is_found(well: SelfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little space is told before a save fails."""
    monkeypatch.setattr(doctor, "_LITTLE", 1 << 60)
    assert wrong() == ["disk"]


def test_a_missing_panel_is_found(well: SelfApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An image with JupyterLab that was made without npm lacks the panel's files; whole, it is fine."""
    monkeypatch.setattr(doctor, "_prefixes", lambda: [tmp_path])
    (tmp_path / "share/jupyter/lab").mkdir(parents=True)
    assert wrong() == ["JupyterLab's panel"]
    routes = tmp_path / "etc/jupyter/jupyter_server_config.d/jupyter_sandbox_spawner.json"
    static = tmp_path / "share/jupyter/labextensions/jupyter-sandbox-spawner/static"
    for directory in (routes.parent, static):
        directory.mkdir(parents=True)
    routes.touch()
    (check,) = (check for check in doctor.examine().checks if not check.fine)
    assert "its built files are not in" in check.seen
    assert "SANDBOX_LABEXT=require" in check.remedy
    (static / "remoteEntry.0af3.js").touch()
    assert wrong() == []


@pytest.mark.lane("userenv")
def test_the_users_image_has_the_panel() -> None:
    """What scripts/prepare installs as the user image is whole."""
    code = "from jupyter_sandbox_spawner.singleuser import doctor; print(doctor._panel())"
    python = VENVS / "user/bin/python"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert "fine=True" in done.stdout
    assert "is installed in" in done.stdout
