"""Does the real single-user server start lean where it is known, ordinarily where it is not?"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import VENVS
from tests.singleuser.sandbox import INSIDE, SECRET, Sandbox
from tests.singleuser.userserver import BASE_URL, PREFIX, UserServer

pytestmark = pytest.mark.lane("userenv")


@pytest.fixture
def alice(place: Sandbox) -> Iterator[UserServer]:
    """Alice's server, not yet started."""
    server = UserServer(place)
    yield server
    server.close()


def _ask(server: UserServer, path: str, body: bytes | None = None) -> str:
    """The body of a successful answer to a GET, or to a PUT where there is a body to send."""
    address = f"http://127.0.0.1:{server.place.server_port}{BASE_URL}{path}"
    request = urllib.request.Request(
        address, body, {"Authorization": f"token {SECRET}"}, method="PUT" if body else "GET"
    )
    with urllib.request.urlopen(request) as answer:
        return str(answer.read().decode())


def test_a_known_server_starts_lean(alice: UserServer, control: Any) -> None:
    """The server answers, its token is in nobody's environment or arguments, and it ends with status 0."""
    alice.start()
    assert "started" in _ask(alice, "api/status")
    assert alice.place.process is not None
    for process in [alice.place.process.pid, *alice.place.children()]:
        shown = Path(f"/proc/{process}/environ").read_text() + Path(f"/proc/{process}/cmdline").read_text()
        control("the process could be read", "inside" in shown)
        assert SECRET not in shown
    assert alice.stop() == 0
    assert any("lean start" in line for line in alice.log)


def test_the_server_listens_on_loopback_only(alice: UserServer) -> None:
    """Every listening socket of the server is bound to 127.0.0.1."""
    alice.start()
    (server,) = alice.place.children()
    inodes = set()
    for link in Path(f"/proc/{server}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since the directory was read
            inodes.add(os.readlink(link))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    assert listening == [f"0100007F:{alice.place.server_port:04X}"]
    sixes = [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    assert not [row for row in sixes if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def test_lab_settings_persist_and_lab_asks_nobody_for_news(alice: UserServer) -> None:
    """Settings changed in JupyterLab are kept in the home; news and the extension manager are off."""
    alice.start()
    setting = "lab/api/settings/@jupyterlab/apputils-extension:themes"
    _ask(alice, setting, json.dumps({"raw": '{"theme": "JupyterLab Dark"}'}).encode())
    kept = alice.home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
    assert "JupyterLab Dark" in kept.read_text()
    assert '"news": {"disabled": true}' in _ask(alice, "lab")
    assert any("Extension Manager is 'readonly'" in line for line in alice.log)


def test_a_signal_in_the_middle_of_a_log_line_ends_the_server(alice: UserServer) -> None:
    """SIGTERM ends a server that is busy logging, where jupyter_server alone could lose the signal."""
    alice.start()
    asked = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError, HTTPException):  # the server has ended
            while True:
                _ask(alice, "api/status")
                asked.set()

    browsers = [threading.Thread(target=ask) for _ in range(4)]
    for browser in browsers:
        browser.start()
    asked.wait()
    assert alice.stop() == 0
    for browser in browsers:
        browser.join()


@pytest.mark.timeout(240)  # an ordinary start takes 8 s of processor time
@pytest.mark.parametrize(
    "changes", [{"JUPYTER_SANDBOX_LEAN": "0"}, {"JUPYTERHUB_SINGLEUSER_EXTENSION": "0"}], ids=str
)
def test_an_unknown_server_starts_ordinarily(alice: UserServer, changes: dict[str, str]) -> None:
    """A server whose lean start is switched off or not known is executed as it is, and the log says why."""
    alice.start(**changes)
    assert "started" in _ask(alice, "api/status")
    (name,) = changes
    assert any("ordinary start" in line and name in line for line in alice.log)


@pytest.mark.proves("H05")
def test_nothing_in_the_home_reaches_the_server(alice: UserServer, control: Any) -> None:
    """Configuration, start-up files and packages that a user plants in the home are not run by the server."""
    traces = _plant(alice)
    alice.start()
    assert "started" in _ask(alice, "api/status")
    alice.stop()
    assert list(traces.iterdir()) == []
    planted = alice.home / "poison.py"
    exec(compile(planted.read_text(), str(planted), "exec"), {"__name__": "control"})
    control("a planted file leaves a trace when it is run", len(list(traces.iterdir())) == 1)


def _plant(server: UserServer) -> Path:
    traces = server.home / "traces"
    traces.mkdir()
    poison = f"import os, sys; open(os.path.join({str(traces)!r}, __name__), 'w').close()\n"
    version = next((PREFIX / "lib").iterdir()).name
    overlay = next(iter([server.home / ".sandbox" / f"env-{version[6:]}-00000000"]))
    for directory in (f".local/lib/{version}/site-packages", f"{overlay}/lib/{version}/site-packages"):
        (server.home / directory).mkdir(parents=True)
        for name in ("usercustomize.py", "sitecustomize.py", "tornado.py"):
            (server.home / directory / name).write_text(poison)
    (server.home / ".jupyter").mkdir()
    (server.home / ".jupyter/jupyter_server_config.py").write_text(poison)
    for name in ("poison.py", "jupyterhub.py", "json.py"):
        (server.home / name).write_text(poison)
    return traces


def test_what_was_left_out_can_still_be_imported() -> None:
    """After a lean start an extension finds SQLAlchemy and old names, and its children find packages."""
    code = """
import runpy, sys
runpy.run_path(sys.argv[1] + "/__main__.py")["_load_package"](sys.argv[1])
import inside.lean
inside.lean.load_lean()
lean = "sqlalchemy" not in sys.modules
import multiprocessing.util
from jupyterhub.singleuser import make_singleuser_app
import sqlalchemy
print(lean, hasattr(sqlalchemy, "create_engine"), multiprocessing.util._args_from_interpreter_flags())
"""
    done = subprocess.run(
        [PREFIX / "bin/python", "-I", "-S", "-B", "-c", code, INSIDE],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True True ['-B', '-I']\n"


@pytest.mark.lane("hub5")
def test_jupyterhub_5_starts_lean_too(place: Sandbox, tmp_path: Path) -> None:
    """A user image with JupyterHub 5.5 gets the lean start as well."""
    server = UserServer(place, _image_with_hub_5(tmp_path))
    try:
        server.start()
        assert "started" in _ask(server, "api/status")
        server.stop()
    finally:
        server.close()
    assert any("lean start" in line for line in server.log)


def _image_with_hub_5(directory: Path) -> Path:
    """A virtual environment that finds JupyterHub in the 5.x one and all else in the user image."""
    version = next((PREFIX / "lib").iterdir()).name
    packages = directory / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (directory / "bin").mkdir()
    (directory / "pyvenv.cfg").write_text((PREFIX / "pyvenv.cfg").read_text())
    (directory / "bin/python").symlink_to((PREFIX / "bin/python").resolve())
    script = f"#!{directory}/bin/python\nfrom jupyterhub.singleuser import main\nmain()\n"
    (directory / "bin/jupyterhub-singleuser").write_text(script)
    (directory / "bin/jupyterhub-singleuser").chmod(0o755)
    (packages / "jupyterhub").symlink_to(VENVS / "hub5/lib" / version / "site-packages/jupyterhub")
    (packages / "base.pth").write_text(f"{PREFIX}/lib/{version}/site-packages\n")
    return directory


def test_no_start_runs_npm(alice: UserServer, tmp_path: Path) -> None:
    """Where Node.js is installed, nothing asks npm for its prefix, which takes time and leaves files."""
    called = tmp_path / "called"
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\ntouch {called}\necho /usr\n")
    npm.chmod(0o755)
    alice.start(PATH=f"{tmp_path}:{PREFIX}/bin:/usr/bin:/bin")
    assert "sessions" in _ask(alice, "lsp/status")  # answers when the language servers have been looked for
    assert not called.exists()
