"""Does the user's hook run before a server is ended, bounded, and cost nobody without one anything?"""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.singleuser.inside import farewell
from jupyter_sandbox_spawner.singleuser.inside.hook import hook_path, places, prepare_output
from jupyter_sandbox_spawner.singleuser.inside.notices import Notice
from jupyter_sandbox_spawner.singleuser.inside.save import run_hook, tell_saved
from tests.singleuser.sandbox import SECRET, Sandbox

ENDS = """
import signal, sys, os, time
def end(*_):
    print("ended", "hook" if os.path.exists(sys.argv[1]) else "no hook", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True:
    signal.pause()
"""
NOTICE = Notice(1, "save", "warning.ttl", "Ends at 12:00 UTC.", None)


def write_hook(home: Path, script: str) -> Path:
    """The user's executable file."""
    path = home / ".config/jupyter-sandbox/before-stop"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def stopped(place: Sandbox, home: Path, signals: int = 1) -> tuple[int, str, float]:
    """Run a server with this home and end it as the launcher does: status, output, seconds."""
    code = [os.sys.executable, "-c", ENDS, str(home / "ran")]  # type: ignore[attr-defined]
    environment = {"PATH": os.defpath, "HOME": str(home), "JUPYTERHUB_API_TOKEN": SECRET}
    process = place.boot(place.document(code, environment=environment))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    for _ in range(signals - 1):
        time.sleep(0.5)  # the second wish of somebody who waits
        process.send_signal(signal.SIGTERM)
    status, output, _ = place.end()
    return status, output, time.monotonic() - began


def test_the_hook_runs_before_the_server_is_ended(place: Sandbox, tmp_path: Path) -> None:
    """At SIGTERM the hook runs to its end first; it gets the reason and no token, its output is kept."""
    write_hook(tmp_path, 'env > "$HOME/ran"; echo "saved it"; pwd')
    status, output, _ = stopped(place, tmp_path)
    assert (status, output) == (7, "ended hook\n")
    seen = (tmp_path / "ran").read_text()
    assert "SANDBOX_STOP_REASON=stop\n" in seen
    assert SECRET not in seen
    log = Path(places({"HOME": str(tmp_path)})[1])
    assert log.read_text() == f"saved it\n{tmp_path}\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_without_a_hook_nothing_is_longer(place: Sandbox, tmp_path: Path) -> None:
    """Who has no hook, or a file that cannot be executed, waits for nothing."""
    write_hook(tmp_path, "sleep 60").chmod(0o644)
    status, output, seconds = stopped(place, tmp_path)
    assert (status, output) == (7, "ended no hook\n")
    assert seconds < farewell.FAREWELL_LIMIT / 2
    print(f"ended within {seconds:.2f} s")


def test_a_hook_that_goes_on_is_cut_off(place: Sandbox, tmp_path: Path) -> None:
    """A hook without an end holds the stop for its limit only, and is gone then with what it began."""
    write_hook(tmp_path, 'touch "$HOME/ran"; sleep 61.5 & sleep 61.5')
    status, output, seconds = stopped(place, tmp_path)
    assert (status, output) == (7, "ended hook\n")
    assert farewell.FAREWELL_LIMIT <= seconds < farewell.FAREWELL_LIMIT * 3
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"61.5" in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_second_wish_does_not_wait(place: Sandbox, tmp_path: Path) -> None:
    """Another SIGTERM ends the hook and the server at once."""
    write_hook(tmp_path, "sleep 61.5")
    status, _, seconds = stopped(place, tmp_path, signals=2)
    assert status == 7
    assert seconds < farewell.FAREWELL_LIMIT


def test_what_was_just_saved_is_not_saved_again(place: Sandbox, tmp_path: Path, control: Any) -> None:
    """Within a minute after the request to save the hook does not run a second time."""
    write_hook(tmp_path, 'touch "$HOME/ran"')
    environment = {"HOME": str(tmp_path), "PATH": os.defpath}
    tell_saved(environment, NOTICE, {}, run_hook(environment, "warning.ttl"))
    control("it ran at the request", (tmp_path / "ran").exists())
    (tmp_path / "ran").unlink()
    assert stopped(place, tmp_path)[1] == "ended no hook\n"


def test_what_was_saved_is_told_in_a_file(tmp_path: Path) -> None:
    """The file says when, why, which notebooks, and how the hook ended; named servers have their own."""
    write_hook(tmp_path, "exit 3")
    environment = {"HOME": str(tmp_path), "JUPYTERHUB_SERVER_NAME": "a/b", "PATH": os.defpath}
    ran = run_hook(environment, "warning.ttl")
    tell_saved(environment, NOTICE, {"a.ipynb": "", "b.ipynb": "gone\x1b[2J"}, ran)
    path = tmp_path / ".local/share/jupyter-sandbox/last-save.a%2Fb.json"
    told = json.loads(path.read_text())
    assert told["notebooks"] == [
        {"path": "a.ipynb", "checkpoint": True, "error": ""},
        {"path": "b.ipynb", "checkpoint": False, "error": "gone?[2J"},
    ]
    assert (told["hook"]["status"], told["hook"]["error"], told["server"]) == (3, "", "a/b")
    assert run_hook({**environment, "HOME": str(tmp_path / "no")}, "x") is None


def test_a_hook_is_ended_at_its_limit(tmp_path: Path) -> None:
    """At the request to save the hook is bounded as well, and the word says so."""
    write_hook(tmp_path, "sleep 61.5")
    ran = run_hook({"HOME": str(tmp_path), "PATH": os.defpath}, "warning.ttl", limit=0.3)
    assert ran is not None
    assert (ran["status"], ran["error"]) == (None, "It was ended after 0.3 s.")


@pytest.mark.timeout(20)
def test_hostile_names_hang_nothing(tmp_path: Path) -> None:
    """A FIFO as hook, as log or as the word about a save is passed over."""
    environment = {"HOME": str(tmp_path)}
    hook = tmp_path / ".config/jupyter-sandbox/before-stop"
    told, log = map(Path, places(environment))
    for path in (hook, told, log):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path, 0o777)
    assert hook_path(environment) == ""
    os.close(prepare_output(environment))
    tell_saved(environment, NOTICE, {}, None)
    assert told.is_file()
