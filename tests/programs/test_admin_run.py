"""Does one command run a whole site, keep it running, and leave nothing behind?"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT
from tests.programs.admin_run import AdminRun, admin, site_directory

PROGRAMS = ("launcher", "gateway", "proxy", "hub")
pytestmark = [pytest.mark.lane("root", "runc", "npm"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def site(evidence: Callable[[str, Callable[[], str]], Callable[[], None]]) -> Iterator[AdminRun]:
    """A running site, shared by the tests of this file that do not stop it."""
    run = AdminRun(site_directory())
    forget = evidence("output and logs of the run", lambda: run.text() + run.logs())
    try:
        run.start().wait_for(r"^ready at ")
        yield run
        assert run.stop() == 0
        assert not (run.top / "run").exists()
    finally:
        forget()
        run.erase()


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory for one run."""
    run = AdminRun(site_directory())
    yield run.top
    run.erase()


def api(run: AdminRun) -> int:
    """The status of the hub's public API."""
    (url,) = run.wait_for(r"^ready at (\S+)$")
    with urllib.request.urlopen(f"{url}hub/api/", timeout=10) as answer:
        return int(answer.status)


def environ(pid: int) -> set[str]:
    """The names of a process's environment variables."""
    raw = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {item.partition(b"=")[0].decode() for item in raw if item}


def sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process holds."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(descriptor)
        if target.startswith("socket:"):
            found.add(target)
    return found


def test_the_hub_answers_through_the_proxy(site: AdminRun) -> None:
    """The printed address leads to the hub."""
    assert api(site) == 200


def test_programs_see_no_environment_of_others(site: AdminRun) -> None:
    """Launcher and gateway have neither the proxy's token nor the admin's variables."""
    for name in ("launcher", "gateway"):
        assert environ(site.pid(name)) <= {
            "PATH",
            "HOME",
            "LANG",
            "JUPYTER_SANDBOX_SITE",
            "LC_ALL",
            "TZ",
            "TMPDIR",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        }
    assert "CONFIGPROXY_AUTH_TOKEN" in environ(site.pid("proxy"))
    assert "JUPYTER_SANDBOX_CONTROL_TOKEN" not in environ(site.pid("proxy"))


def test_no_token_is_in_a_command_line(site: AdminRun) -> None:
    """No argument of a program holds the value of a token."""
    raw = Path(f"/proc/{site.pid('hub')}/environ").read_bytes().split(b"\0")
    values = [item.partition(b"=")[2] for item in raw if b"_TOKEN=" in item]
    assert len(values) == 2
    for name in PROGRAMS:
        arguments = Path(f"/proc/{site.pid(name)}/cmdline").read_bytes()
        assert not any(value in arguments for value in values)


def test_the_gateway_does_not_hold_the_launchers_socket(site: AdminRun) -> None:
    """The program that parses hostile bytes cannot accept the launcher's calls."""
    supervisor = site.process.pid if site.process else 0
    held = sockets(supervisor)
    assert len(held & sockets(site.pid("gateway"))) == 2
    assert len(held & sockets(site.pid("launcher"))) == 1
    assert held & sockets(site.pid("gateway")) & sockets(site.pid("launcher")) == set()


def test_nothing_listens_off_loopback(site: AdminRun) -> None:
    """Every TCP listener of every program is bound to 127.0.0.1."""
    inodes = {item[8:-1] for name in PROGRAMS for item in sockets(site.pid(name))}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listening = {row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}
    assert listening == {"0100007F"}


@pytest.mark.parametrize("name", ["launcher", "gateway"])
def test_a_killed_program_is_back_and_no_call_is_lost(site: AdminRun, name: str) -> None:
    """A call made while a program is dead waits in the held socket and is answered by the next one."""
    before = len(site.wait_for(rf"^{name} +ready"))
    os.kill(site.pid(name), signal.SIGKILL)
    with socket.socket(socket.AF_UNIX) as call:
        call.connect(f"{site.top}/run/{name}.sock")
        call.settimeout(60)
        call.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert call.recv(64).startswith(b"HTTP/1.1 200")
    site.wait_for(rf"^{name} +ready", count=before + 1)
    assert "was started 3 times" not in site.text()


def test_a_killed_proxy_gets_its_routes_back(site: AdminRun) -> None:
    """After a restart of the proxy control asks the hub to give it its routes again, within seconds."""
    before = len(site.wait_for(r"^proxy +ready"))
    log = site.top / "state/logs/hub.log"
    asked = log.read_text().count("POST /hub/api/proxy (sandbox@")
    os.kill(site.pid("proxy"), signal.SIGKILL)
    site.wait_for(r"^proxy +ready", count=before + 1)
    deadline = time.monotonic() + 5
    while log.read_text().count("POST /hub/api/proxy (sandbox@") == asked:
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.05)
    assert api(site) == 200


def test_a_second_run_on_the_same_directory_is_refused(site: AdminRun) -> None:
    """Two runs never share a run directory: the second one names the first one's pid."""
    second = AdminRun(site_directory(), run=str(site.top / "run"))
    try:
        second.start().process.wait(60)  # type: ignore[union-attr]
        assert second.stop() == 6
        assert f"Another run (pid {site.process.pid})" in second.text()  # type: ignore[union-attr]
    finally:
        second.erase()
    assert api(site) == 200


def test_a_stop_leaves_nothing(top: Path) -> None:
    """After SIGINT, even in the middle of a start, no process, socket or run directory is left; status 0."""
    run = AdminRun(top).start()
    run.wait_for(r"^(launcher|gateway|proxy) +ready", count=3)
    pids = [run.pid(name) for name in PROGRAMS]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert run.stop(signal.SIGINT) == 0
    assert not (top / "run").exists()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    order = [line.split()[0] for line in run.text().splitlines() if line.split()[1:] == ["stopped"]]
    assert order == ["hub", "proxy", "broker", "control", "gateway", "launcher"]


def _runs(pid: int) -> bool:
    """Is it alive? One that waits to be reaped is not: this process may have become its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_program_outlives_a_killed_supervisor(top: Path) -> None:
    """When the supervisor is killed, the kernel ends its programs; the next run starts on what is left."""
    run = AdminRun(top).start()
    run.wait_for(r"^(launcher|gateway|proxy) +ready", count=3)
    pids = [run.pid(name) for name in PROGRAMS]
    run.stop(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while alive := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, f"{alive} run on\n{run.text()}"
        time.sleep(0.1)
    again = AdminRun(top).start()
    again.wait_for(r"^(launcher|gateway) +ready", count=2)
    assert again.stop() == 0


def test_a_program_that_cannot_start_stops_the_run(top: Path) -> None:
    """A program that ends at its start again and again ends the run with its last lines and status 7."""
    broken = 'c.ConfigurableHTTPProxy.command = ["sh", "-c", "echo no routes today >&2; exit 3"]\n'
    run = AdminRun(top, more=broken).start()
    assert run.process is not None
    assert run.process.wait(100) == 7
    assert "proxy | no routes today" in run.text()
    assert "proxy was started 3 times and ended with status 3 before it answered." in run.text()
    assert not (top / "run").exists()


def test_a_taken_port_is_named(top: Path) -> None:
    """A public port that somebody else has: one sentence, the command that helps, status 4."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        run = AdminRun(top, port=port).start()
        assert run.process is not None
        assert run.process.wait(60) == 4
    assert f"127.0.0.1:{port} cannot be bound" in run.text()
    assert "ss -ltnp" in run.text()
    assert not (top / "run").exists()


def test_the_example_configuration_is_right(top: Path) -> None:
    """hub_config/jupyterhub_config.py passes --check-config."""
    from tests.programs.admin_run import admin

    done = admin(
        "run",
        "-f",
        str(CHECKOUT / "hub_config/jupyterhub_config.py"),
        "--check-config",
        SANDBOX_USER_ENV=os.sys.prefix,
    )
    assert done.returncode == 0, done.stderr


def test_a_site_goes_on_without_an_mlflow_that_fails(top: Path) -> None:
    """A Python without MLflow is tried three times, told with its remedy, and nobody waits for it."""
    run = AdminRun(top, tracking=sys.prefix).start()
    run.wait_for(r"^tracking +tracking was started 3 times .* It stays off")
    run.wait_for(r"^ready at ")
    assert "pip install 'jupyter_sandbox_spawner[mlflow]'" in (top / "state/logs/tracking.log").read_text()
    assert api(run) == 200
    assert run.stop() == 0
    assert not (top / "run").exists()


def test_a_tracking_directory_that_is_none_is_refused(top: Path) -> None:
    """A wrong path is named with the two commands that make a right one; nothing starts."""
    run = AdminRun(top, tracking="/nowhere/tracking")
    done = admin("run", "-f", str(run.config))
    assert (done.returncode, "tracking: '/nowhere/tracking' is not" in done.stderr) == (2, True), done.stderr
    assert "jupyter_sandbox_spawner[mlflow]" in done.stderr
