"""What can a program not read or reach that was broken into? Asked under its uid, in a running house."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub_config.demo.tracking import wait_until_ready
from jupyter_sandbox_spawner.admin.accounts import PROGRAMS, Account, accounts_of, as_account
from tests.programs.acting import ask_socket, can_read, python_as, status_of
from tests.support.house import House, open_house

Control = Callable[[str, bool], None]
SEPARATE = ("hub", "proxy", "gateway", "control", "broker", "tracking")
STRANGER = Account(uid=65534, gid=65534)
pytestmark = [
    pytest.mark.lane("root", "uids", "runc", "cgroup", "npm", "userenv", "hub6", "tracking"),
    pytest.mark.timeout(240),
]
# Who may read what; everything else on the list is closed to a program.
OWN = {
    "hub": {"hub database", "cookie secret", "hub directory"},
    "control": {"control database", "audit", "audit key", "control token"},
    "gateway": {"gateway records", "gateway spool", "doors"},
    "proxy": set(),
    "broker": {"secrets", "key of the secrets"},
    "tracking": {"runs", "artifacts"},
}
# Past the check of the caller: some sockets have no /health, and say so.
ANSWERED = {"200", "404"}
CALLS = {
    "launcher": {"hub", "control"},
    "gateway": {"hub", "control"},
    "control/hub": {"hub", "control"},
    "control/gateway": {"gateway"},
    "control/broker": {"broker"},
    "control/admin": set(),
    "tracking": {"gateway"},
    "broker/gateway": {"gateway"},
    "broker/admin": set(),
}


@pytest.fixture(scope="module")
def house(evidence: Callable[[str, Callable[[], str]], Callable[[], None]]) -> Iterator[House]:
    """A house with a running server, so that there are homes, doors, records and a container."""
    with open_house() as opened:
        forget = evidence("the house's programs", opened.running.log)
        try:
            opened.server("alice")
            opened.wait(wait_until_ready(opened.running))
            yield opened
        finally:
            forget()


def account(house: House, name: str) -> Account:
    """The account of a program of the house."""
    return accounts_of(house.site)[name]


def pid(house: House, name: str) -> int:
    """The pid of a program's latest start."""
    text = house.running.log_file.read_text()
    return int(re.findall(rf"^{name} +started, pid (\d+)$", text, re.MULTILINE)[-1])


def places(house: House) -> dict[str, str]:
    """Everything worth reading, by a name for people."""
    run, state = house.site.run_dir, house.site.state_dir
    (home,) = Path(house.site.homes_dir).glob("alice-*")
    return {
        "hub database": f"{state}/hub/jupyterhub.sqlite",
        "cookie secret": f"{state}/hub/cookie_secret",
        "hub directory": f"{state}/hub",
        "control database": f"{state}/control/control.sqlite",
        "audit": f"{state}/audit/audit.ndjson",
        "audit key": f"{state}/audit/signing.key",
        "control token": f"{run}/control.token",
        "control token, kept": f"{state}/control.token",
        "runs": f"{state}/tracking/mlflow.db",
        "artifacts": f"{state}/tracking/artifacts",
        "gateway records": f"{run}/gateway",
        "gateway spool": f"{state}/gateway/events.ndjson",
        "doors": f"{run}/doors",
        "secrets": f"{state}/broker",
        "key of the secrets": f"{state}/broker/key",
        "homes": house.site.homes_dir,
        "a home": str(home),
        "uids": f"{state}/uids.json",
        "bundles": f"{run}/launcher/sandboxes",
        "runtime": f"{run}/launcher/runtime",
        "logs": f"{state}/logs",
        "list of run": run,
        "list of state": state,
        "host passwords": "/etc/shadow",
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_reads_its_own_and_nothing_else(house: House, control: Control, name: str) -> None:
    """Of databases, secrets, homes, doors and logs a program's uid can read exactly its own."""
    everything = places(house)
    control("root can read all of them", can_read(None, everything) == set(everything))
    assert can_read(account(house, name), everything) == OWN[name]


@pytest.mark.parametrize("name", [*SEPARATE, "launcher"])
def test_a_program_has_its_uid_and_no_privilege(house: House, name: str) -> None:
    """Every program but the launcher has its own uid, no group beside it, no capability and none to gain."""
    seen = status_of(pid(house, name), ("Uid", "Gid", "Groups", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"))
    if name == "launcher":
        assert seen["Uid"] == ["0"] * 4
        assert int(seen["CapEff"][0], 16) != 0
        return
    own = account(house, name)
    assert (seen["Uid"], seen["Gid"], seen["Groups"]) == ([str(own.uid)] * 4, [str(own.gid)] * 4, [])
    assert {int(seen[key][0], 16) for key in ("CapEff", "CapBnd", "CapAmb")} == {0}
    assert seen["NoNewPrivs"] == ["1"]


@pytest.mark.parametrize("path", CALLS)
def test_a_socket_answers_those_who_need_it(house: House, control: Control, path: str) -> None:
    """A socket answers root and the programs that call it; others cannot even connect."""
    socket_path = f"{house.site.run_dir}/{path}.sock"
    control("root is answered", ask_socket(None, socket_path) in ANSWERED)
    answers = {name: ask_socket(account(house, name), socket_path) for name in PROGRAMS}
    for name, answer in answers.items():
        expected = ANSWERED if name in CALLS[path] else {"Permission denied"}
        assert answer in expected, (path, answers)
    assert ask_socket(STRANGER, socket_path) == "Permission denied"


@pytest.mark.parametrize("path", ["launcher", "gateway", "control/hub"])
def test_the_right_group_without_the_right_uid_is_refused(house: House, control: Control, path: str) -> None:
    """A process that got into the callers' group connects, and is refused by its uid (SO_PEERCRED)."""
    socket_path = f"{house.site.run_dir}/{path}.sock"
    hub = account(house, "hub")
    control("the hub is answered", ask_socket(hub, socket_path) in ANSWERED)
    assert ask_socket(Account(uid=STRANGER.uid, gid=hub.gid), socket_path) == "403"


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_but_the_launcher_runs_containers(house: House, control: Control, name: str) -> None:
    """Under a program's uid runc neither lists nor kills nor enters a sandbox of the launcher."""
    sandbox = house.server("alice")
    runc = ["runc", "--root", f"{house.site.launcher_dir}/runtime"]
    listed = subprocess.run([*runc, "list", "--quiet"], capture_output=True, text=True, check=True)
    control("root lists the sandbox", sandbox in listed.stdout.split())
    for verb in (["list", "--quiet"], ["kill", sandbox, "KILL"], ["exec", sandbox, "/bin/true"]):
        command = [*as_account(account(house, name)), *runc, *verb]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert (done.returncode != 0, sandbox in done.stdout) == (True, False), (verb, done)
        assert "permission denied" in done.stderr, (verb, done.stderr)
    assert house.sandbox("alice") is not None


def test_no_program_opens_docker(house: House, control: Control) -> None:
    """A socket as Docker installs it (root, mode 0660) is closed to every program."""
    with (
        tempfile.TemporaryDirectory(prefix="jsu", dir="/tmp") as top,
        socket.socket(socket.AF_UNIX) as docker,
    ):
        os.chmod(top, 0o755)
        docker.bind(f"{top}/docker.sock")
        os.chmod(f"{top}/docker.sock", 0o660)
        docker.listen(8)
        connect = (
            "import socket, sys\ntry:\n socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('open')\n"
        )
        connect += "except OSError as error: print(error.strerror)"
        control("root opens it", python_as(None, connect, f"{top}/docker.sock") == "open")
        for name in PROGRAMS:
            answer = python_as(account(house, name), connect, f"{top}/docker.sock")
            assert answer == "Permission denied", name


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_looks_into_another(house: House, control: Control, name: str) -> None:
    """The environment of another program cannot be read, nor can it be traced or killed."""
    peek = (
        "import ctypes, os, sys\nseen = []\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for text in sys.argv[1:]:\n"
        "    pid = int(text)\n"
        "    try:\n        open(f'/proc/{pid}/environ', 'rb').read(); seen.append('environ')\n"
        "    except PermissionError: pass\n"
        "    try:\n        os.listdir(f'/proc/{pid}/fd'); seen.append('fd')\n"
        "    except PermissionError: pass\n"
        "    if libc.ptrace(0x4206, pid, 0, 0) == 0: seen.append('ptrace')\n"
        "    try:\n        os.kill(pid, 0); seen.append('kill')\n"
        "    except PermissionError: pass\n"
        "print(' '.join(seen))"
    )
    pids = {other: str(pid(house, other)) for other in (*SEPARATE, "launcher")}
    if name in pids:
        seen = set(python_as(account(house, name), peek, pids[name]).split())
        # The broker lets nobody look, since it holds secrets: not even its own uid.
        control(
            "a program's own uid may look",
            seen == {"kill"} if name == "broker" else {"environ", "kill"} <= seen,
        )
    others = [number for other, number in pids.items() if other != name]
    assert python_as(account(house, name), peek, *others) == ""


def test_tokens_are_in_the_environment_of_those_who_need_them(house: House, control: Control) -> None:
    """The proxy's token is with hub and proxy, those of services with the hub; no other program has one."""
    holders: dict[str, set[str]] = {}
    for name in (*SEPARATE, "launcher"):
        for item in Path(f"/proc/{pid(house, name)}/environ").read_bytes().split(b"\0"):
            variable = item.partition(b"=")[0].decode()
            if variable.endswith("_TOKEN"):
                holders.setdefault(variable, set()).add(name)
    control("the proxy has its token", "proxy" in holders["CONFIGPROXY_AUTH_TOKEN"])
    services = {f"JUPYTER_SANDBOX_{name}_TOKEN": {"hub"} for name in ("CONTROL", "TRACKING")}
    assert holders == {"CONFIGPROXY_AUTH_TOKEN": {"hub", "proxy"}, **services}


@pytest.mark.parametrize("name", [*SEPARATE, "launcher"])
def test_a_killed_program_comes_back_as_itself(house: House, name: str) -> None:
    """After `kill -9` a program has the uid, the group and the lack of privileges that it had."""
    keys = ("Uid", "Gid", "Groups", "CapEff", "CapBnd", "NoNewPrivs")
    before = pid(house, name)
    was = status_of(before, keys)
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 60
    # The supervisor writes it into a file, which gives no event.
    while pid(house, name) == before or not _ready_after_last_start(house, name):
        assert time.monotonic() < deadline, house.running.log()
        time.sleep(0.1)
    assert status_of(pid(house, name), keys) == was


def _ready_after_last_start(house: House, name: str) -> bool:
    lines = house.running.log_file.read_text().splitlines()
    own = [line.split()[1].rstrip(",") for line in lines if re.match(rf"{name} +(started|ready|ended)", line)]
    return own[-1] == "ready"
