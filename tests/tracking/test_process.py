"""Is MLflow one process that is small, talks to nobody and leaves nothing? Check 32."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tracking.server import API, HubThatAnswers, MlflowServer

Control = Callable[[str, bool], None]
MOST_MEMORY = 500 << 20
_LISTENING = "0A"  # TCP_LISTEN of net/tcp_states.h


@pytest.fixture
def own() -> Iterator[MlflowServer]:
    """A server for one test, not started."""
    hub = HubThatAnswers()
    server = MlflowServer(hub)
    yield server
    server.close()
    hub.close()


def children(pid: int) -> list[int]:
    """Processes whose parent or session this one is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        number = int(entry.parent.name)
        if number != pid and pid in (int(fields[1]), int(fields[3])):
            found.append(number)
    return found


def memory(pid: int) -> int:
    """Proportional set size in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE)[0]) << 10


def sockets(pid: int) -> set[str]:
    """Remote addresses of this process's TCP connections, in the kernel's hex."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue
    text = "".join(Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [line.split() for line in text.splitlines()]
    return {row[2] for row in rows if row[9] in inodes and row[3] != _LISTENING}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_small_process_that_leaves_nothing(own: MlflowServer, control: Control, number: int) -> None:
    """It serves without a child, in under 500 MB, knows no address but the hub's, and is gone at its end."""
    own.start()
    assert own.process is not None
    run, place = own.run_of("alice")
    for index in range(20):
        body = {"run_id": run, "key": "m", "value": index, "timestamp": index, "step": index}
        assert own.call("alice", "POST", f"{API}/runs/log-metric", body).status == 200
    put = own.call("alice", "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/x", data=b"x" * 5_000_000)
    control("it serves", put.status == 200)
    pid = own.process.pid
    hub = f"0100007F:{own.hub.port:04X}"
    assert children(pid) == []
    assert sockets(pid) <= {hub}
    assert memory(pid) < MOST_MEMORY, memory(pid)
    print(f"ready after {own.seconds:.1f} s, {memory(pid) >> 20} MiB")
    own.end(number)
    assert children(pid) == []


def test_it_keeps_its_runs_over_kill_9(own: MlflowServer) -> None:
    """After SIGKILL and a new start the run, its artifact and its owner are what they were."""
    own.start()
    run, place = own.run_of("alice")
    path = f"/api/2.0/mlflow-artifacts/artifacts/{place}/kept.txt"
    assert own.call("alice", "PUT", path, data=b"kept").status == 200
    own.end(signal.SIGKILL)
    Path(own.site.tracking_socket).unlink()
    own.start()
    assert own.call("alice", "GET", f"{API}/runs/get?run_id={run}").status == 200
    assert own.call("alice", "GET", path).body == b"kept"
    assert own.call("bob", "GET", f"{API}/runs/get?run_id={run}").status == 404


def test_its_files_are_its_own(mlflow: MlflowServer) -> None:
    """No other uid can list the directory, read the database or an artifact."""
    mlflow.run_of("alice")
    top = Path(mlflow.site.tracking_dir)
    for path in (top, top / "mlflow.db", top / "artifacts", *top.rglob("*.txt")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_without_mlflow_it_says_how_to_get_it(tmp_path: Path) -> None:
    """Started by a Python that lacks MLflow it is one sentence with the command that helps, status 2."""
    hub = HubThatAnswers()
    server = MlflowServer(hub)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "jupyter_sandbox_spawner.tracking",
                "--site",
                str(server.root / "site.json"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        server.close()
        hub.close()
    assert done.returncode == 2, done.stderr
    assert "pip install 'jupyter_sandbox_spawner[mlflow]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.lane("root")
def test_a_foreign_uid_is_cut_off(mlflow: MlflowServer, control: Control) -> None:
    """A process of another uid that could open the socket gets no byte from it (SO_PEERCRED)."""
    code = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]);"
        "os.setgid(65534); os.setuid(65534); t = socket.socket(socket.AF_UNIX); t.settimeout(10)\n"
        "def ask(c):\n"
        "    try:\n"
        "        c.sendall(b'GET /health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "        return c.recv(12).decode() or 'closed'\n"
        "    except OSError as error:\n"
        "        return type(error).__name__\n"
        "print(ask(s)); t.connect(sys.argv[1]); print(ask(t))"
    )
    path = mlflow.site.tracking_socket
    opened = [mlflow.root, mlflow.root / "run"]
    modes = [item.stat().st_mode & 0o777 for item in opened]
    mode = os.stat(path).st_mode & 0o777
    try:
        for item in opened:
            item.chmod(0o711)
        os.chmod(path, 0o666)
        done = subprocess.run(
            ["/usr/bin/python3", "-I", "-c", code, path], capture_output=True, text=True, check=True, cwd="/"
        )
    finally:
        os.chmod(path, mode)
        for item, before in zip(opened, modes, strict=True):
            item.chmod(before)
    root, other = done.stdout.split("\n")[:2]
    control("root is answered", root == "HTTP/1.1 200")
    assert other in ("closed", "ConnectionResetError", "BrokenPipeError")
