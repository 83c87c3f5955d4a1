"""Do the units of hub_config/production start a site, each program as its user with its sockets?"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from jupyter_sandbox_spawner.admin.accounts import accounts_of, with_uids
from jupyter_sandbox_spawner.admin.directories import own_directories
from jupyter_sandbox_spawner.admin.installation import load_installation
from jupyter_sandbox_spawner.admin.ports import inner_ports
from jupyter_sandbox_spawner.admin.programs import PROXY_TOKEN, held_sockets, plan_programs
from jupyter_sandbox_spawner.settings import Site, load_site
from jupyter_sandbox_spawner.setup_services import CONTROL_TOKEN
from tests.lanes import CHECKOUT, VENVS
from tests.programs.admin_run import admin, site_directory
from tests.programs.unit_files import PRODUCTION, command, start_unit, units

USERS = {"jss-hub": "hub", "jss-control": "control", "jss-gateway": "gateway", "jss-proxy": "proxy"}
USERS["jss-broker"] = "broker"
USERS["jss-tracking"] = "tracking"
SERVICES = sorted(set(units(".service")) - {"jss-setup"})


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory for one site, with profiles and a certificate."""
    path = site_directory()
    (path / "etc/tls").mkdir(parents=True)
    shutil.copy(CHECKOUT / "hub_config/profiles.yaml", path / "etc/profiles.yaml")
    certificate = trustme.CA().issue_cert("hub.example.org")
    certificate.private_key_pem.write_to_path(path / "etc/tls/key.pem")
    certificate.cert_chain_pems[0].write_to_path(path / "etc/tls/cert.pem")
    yield path
    shutil.rmtree(path)


def production_site(top: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site that the production configuration describes, on its real paths."""
    monkeypatch.setenv("SANDBOX_ETC", str(top / "etc"))
    monkeypatch.setenv("SANDBOX_USER_ENV", sys.prefix)
    monkeypatch.setenv("SANDBOX_TRACKING", sys.prefix)
    return load_installation(str(PRODUCTION / "jupyterhub_config.py")).site


def test_the_production_configuration_is_right(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves people over TLS, gives each user an origin, fixes every port and separates the uids."""
    monkeypatch.setenv("SANDBOX_ETC", str(top / "etc"))
    monkeypatch.setenv("SANDBOX_USER_ENV", sys.prefix)
    monkeypatch.setenv("SANDBOX_TRACKING", sys.prefix)
    found = load_installation(str(PRODUCTION / "jupyterhub_config.py"))
    assert (found.host_routing, len(found.tls), found.site.one_uid) == (True, 2, False)
    site = found.site
    assert 0 not in [getattr(site, name) for name in inner_ports(site)]
    assert found.site.subdomain_host == "https://hub.example.org"


@pytest.mark.lane("systemd")
def test_systemd_takes_the_units(top: Path) -> None:
    """`systemd-analyze verify` finds nothing to say about any unit."""
    for path in (PRODUCTION / "systemd").iterdir():
        text = re.sub(
            r"/opt/jupyter-sandbox/(hub|tracking)/bin/python|/usr/local/bin/\S+proxy",
            "/bin/true",
            path.read_text(),
        )
        (top / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(map(str, top.glob("jss*")))],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{top}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "jss" in line]
    assert (done.returncode, said) == (0, []), done.stderr


@pytest.mark.lane("systemd")
def test_systemd_takes_users_and_directories(top: Path) -> None:
    """systemd-sysusers and systemd-tmpfiles make, in a root of their own, what the two files say."""
    (top / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (top / "etc/group").write_text("root:x:0:\n")
    for tool, file, verb in (
        ("systemd-sysusers", "sysusers", ()),
        ("systemd-tmpfiles", "tmpfiles", ("--create",)),
    ):
        subprocess.run([tool, f"--root={top}", *verb, str(PRODUCTION / f"{file}.conf")], check=True)
    users = {line.split(":")[0]: line.split(":") for line in (top / "etc/passwd").read_text().splitlines()}
    groups = {line.split(":")[0]: line.split(":")[2] for line in (top / "etc/group").read_text().splitlines()}
    assert {users["jss-hub"][3], users["jss-control"][3]} == {groups["jss-callers"]}
    if os.geteuid() == 0:
        status = os.stat(top / "var/lib/jupyter-sandbox/hub")
        assert (str(status.st_uid), stat.S_IMODE(status.st_mode)) == (users["jss-hub"][2], 0o700)


@pytest.mark.lane("root")
def test_the_directories_are_those_of_run(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tmpfiles.d and `jupyter-sandbox-admin run` agree on every directory, its owner and its mode."""
    site = with_uids(production_site(top, monkeypatch))
    rows = [
        line.split() for line in (PRODUCTION / "tmpfiles.conf").read_text().splitlines() if line[0] == "d"
    ]
    shipped = {row[1]: (row[3].removeprefix("jss-"), int(row[2], 8)) for row in rows}
    ours = {path: (name, mode) for path, name, mode in own_directories(site)}
    ours[f"{site.state_dir}/logs"] = ("root", 0o700)
    for path in (site.run_dir, site.state_dir):
        ours[path] = ("root", site.shared_mode)
    assert shipped == ours


@pytest.mark.lane("root")
def test_the_sockets_are_those_of_run(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket units listen where `run` listens, for the same groups."""
    monkeypatch.setenv("SANDBOX_ETC", str(top / "etc"))
    monkeypatch.setenv("SANDBOX_USER_ENV", sys.prefix)
    monkeypatch.setenv("SANDBOX_TRACKING", sys.prefix)
    found = load_installation(str(PRODUCTION / "jupyterhub_config.py"))
    found = replace(found, site=with_uids(found.site))
    accounts = accounts_of(found.site)
    groups = {"jss-callers": accounts["hub"].gid, "jss-gateway": accounts["gateway"].gid, "root": None}
    groups |= {f"jss-{name}": accounts[name].gid for name in ("broker", "control")}
    shipped = {
        unit["FileDescriptorName"][0]: (unit["ListenStream"][0], groups[unit.get("SocketGroup", ["root"])[0]])
        for unit in units(".socket").values()
    }
    assert shipped == {
        held.name: (held.path or f"127.0.0.1:{held.port}", held.group) for held in held_sockets(found)
    }


def test_the_proxy_is_that_of_run(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's unit passes what `run` passes, with the certificate that systemd hands over."""
    monkeypatch.setenv("SANDBOX_ETC", str(top / "etc"))
    monkeypatch.setenv("SANDBOX_USER_ENV", sys.prefix)
    monkeypatch.setenv("SANDBOX_TRACKING", sys.prefix)
    found = load_installation(str(PRODUCTION / "jupyterhub_config.py"))
    tokens = {PROXY_TOKEN: "p", CONTROL_TOKEN: "c"}
    (proxy,) = (item for item in plan_programs(found, "site.json", tokens, {}) if item.name == "proxy")
    words = command(units(".service")["jss-proxy"], {"%d": f"{top}/etc/tls"})
    assert words[1:] == list(proxy.argv[1:])


@pytest.mark.parametrize("name", ["jss-launcher", "jss-gateway", "jss-control", "jss-broker"])
def test_a_command_line_is_understood(top: Path, name: str) -> None:
    """Our programs take the arguments of their units: without a site they say just that."""
    words = command(units(".service")[name], {"/run/jupyter-sandbox": str(top / "none")})
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "usage:" not in done.stderr
    assert f"{top}/none/site.json cannot be read" in done.stderr


def test_the_setup_command_line_is_understood(top: Path) -> None:
    """`site write` takes the argument of its unit: a file that is not there is named."""
    words = command(units(".service")["jss-setup"], {"/etc/jupyter-sandbox": str(top / "none")})
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "jupyterhub_config.py" in done.stderr, "usage:" in done.stderr) == (
        2,
        True,
        False,
    )


@pytest.mark.parametrize("name", SERVICES)
def test_every_program_but_the_launcher_is_walled_in(name: str) -> None:
    """Each unit has a user of its own and is sandboxed; the launcher is root and keeps its sandboxes."""
    unit = units(".service")[name]
    if name == "jss-launcher":
        assert ("User" not in unit, unit["KillMode"], "Delegate" in unit) == (True, ["process"], True)
        return
    assert unit["User"] == [name]
    assert (unit["NoNewPrivileges"], unit["ProtectSystem"]) == (["yes"], ["strict"])
    assert unit["CapabilityBoundingSet"] == (["CAP_NET_BIND_SERVICE"] if name == "jss-proxy" else [""])
    hidden = unit["InaccessiblePaths"][0]
    assert "/run/docker.sock" in hidden
    assert "/var/lib/jupyter-sandbox" in hidden


@pytest.mark.proves("C05")
@pytest.mark.parametrize("name", SERVICES)
def test_no_unit_writes_a_core_dump(name: str) -> None:
    """What passes through a program's memory never lands on disk by a crash."""
    assert units(".service")[name]["LimitCORE"] == ["0"]


def test_a_port_left_to_chance_is_refused(top: Path) -> None:
    """`site write` wants every port in words, since the units repeat it."""
    config = (PRODUCTION / "jupyterhub_config.py").read_text().replace("front_port=18080", "front_port=0")
    (top / "config.py").write_text(config)
    more = {"SANDBOX_ETC": str(top / "etc"), "SANDBOX_USER_ENV": sys.prefix, "SANDBOX_TRACKING": sys.prefix}
    more |= {"SANDBOX_RUN_DIR": f"{top}/run", "SANDBOX_STATE_DIR": f"{top}/state"}
    done = admin("site", "write", "-f", str(top / "config.py"), **more)
    assert (done.returncode, "front_port: 0 leaves it to chance" in done.stderr) == (2, True)


def free_ports(count: int) -> list[int]:
    """Ports that the OS says are free; none twice."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Machine:
    """Stands for systemd: makes the units' sockets and starts their commands, with paths below `top`."""

    def __init__(self, top: Path) -> None:
        self.top = top
        shipped = ("443", "18081", "18001", "18080", "18082", "18083")
        ports = dict(zip(shipped, map(str, free_ports(6)), strict=True))
        self.port = int(ports["443"])
        self.replaced = {
            "/run/jupyter-sandbox": f"{top}/run",
            "/etc/jupyter-sandbox": f"{top}/etc",
            "/opt/jupyter-sandbox/tracking": str(VENVS / "tracking"),
            "%d": f"{top}/etc/tls",
            "0.0.0.0": "127.0.0.1",
            **{f"port {old}": f"port {new}" for old, new in ports.items()},
            **{f":{old}": f":{new}" for old, new in ports.items()},
        }
        config = (PRODUCTION / "jupyterhub_config.py").read_text()
        for old, new in {
            **{f"port={old}": f"port={new}" for old, new in ports.items()},
            "0.0.0.0": "127.0.0.1",
        }.items():
            config = config.replace(old, new)
        (top / "etc/jupyterhub_config.py").write_text(config)
        self.environ = {
            "SANDBOX_ETC": f"{top}/etc",
            "SANDBOX_USER_ENV": sys.prefix,
            "SANDBOX_TRACKING": str(VENVS / "tracking"),
            "SANDBOX_RUN_DIR": f"{top}/run",
            "SANDBOX_STATE_DIR": f"{top}/state",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> Machine:
        done = admin("site", "write", "-f", f"{self.top}/etc/jupyterhub_config.py", **self.environ)
        assert done.returncode == 0, done.stderr
        self.accounts = accounts_of(load_site(f"{self.top}/run/site.json"))
        for unit in units(".socket").values():
            self._listen(unit["FileDescriptorName"][0], self.local(unit["ListenStream"][0]), unit)
        # The key is handed over by systemd; here the proxy reads it, as its account.
        proxy = self.accounts["proxy"]
        for path in (self.top / "etc/tls").iterdir():
            os.chown(path, proxy.uid, proxy.gid)
        for name in (
            "jss-launcher",
            "jss-gateway",
            "jss-control",
            "jss-broker",
            "jss-proxy",
            "jss-hub",
            "jss-tracking",
        ):
            self._start(name)
        return self

    def __exit__(self, *error: object) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
            process.wait(40)
        for held in self.sockets.values():
            held.close()

    def local(self, text: str) -> str:
        """A path or an address of the units, as it is here."""
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return text

    def _listen(self, name: str, address: str, unit: object) -> None:
        host, _, port = address.rpartition(":")
        held = socket.socket(socket.AF_INET if host else socket.AF_UNIX)
        held.bind((host, int(port)) if host else address)
        if not host:
            caller = name.partition("-")[2] if name.startswith(("control-", "broker-")) else "hub"
            caller = "gateway" if name == "tracking" else caller
            group = None if caller == "admin" else caller
            os.chown(address, 0, self.accounts[group].gid if group else 0)
            os.chmod(address, 0o660 if group else 0o600)
        held.listen(64)
        self.sockets[name] = held

    def _start(self, name: str) -> None:
        unit = units(".service")[name]
        sockets = " ".join(unit.get("Sockets", [])).split()
        held = {item.removeprefix("jss-").removesuffix(".socket") for item in sockets}
        environ = {**self.environ, "JUPYTER_SANDBOX_SITE": f"{self.top}/run/site.json", "HOME": "/"}
        for file in unit.get("EnvironmentFile", []):
            lines = Path(self.local(file)).read_text().splitlines()
            environ |= dict(line.split("=", 1) for line in lines)
        account = self.accounts.get(USERS.get(unit.get("User", [""])[0], ""))
        words = command(unit, self.replaced)
        self.processes[name] = start_unit(
            words, account, {key: self.sockets[key] for key in sorted(held)}, environ
        )

    def login_page(self) -> tuple[int, str]:
        """Status and text of the hub's login page, over TLS, by the public name."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}/hub/login", headers={"Host": "hub.example.org"}
        )
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.status, answer.read().decode()


@pytest.mark.lane("root", "uids", "runc", "npm", "tracking")
@pytest.mark.timeout(180)
def test_the_units_together_are_a_site(top: Path) -> None:
    """Setup, sockets and commands of the units give a hub over TLS whose programs find each other."""
    with Machine(top) as machine:
        deadline = time.monotonic() + 90
        while True:  # a TCP port that opens gives no event
            assert time.monotonic() < deadline
            assert {
                name: item.poll() for name, item in machine.processes.items() if item.poll() is not None
            } == {}
            try:
                status, text = machine.login_page()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        assert (status, 'name="password"' in text) == (200, True)
        done = admin("ps", "--site", f"{top}/run/site.json")
        assert (done.returncode, done.stdout.split()[:2]) == (0, ["user", "server"]), done.stderr
        found = {name: os.stat(f"/proc/{item.pid}").st_uid for name, item in machine.processes.items()}
        expected = {name: machine.accounts[role].uid for name, role in USERS.items()} | {"jss-launcher": 0}
        assert found == expected
        assert stat.S_IMODE(os.stat(f"{top}/run/hub.env").st_mode) == 0o600


def test_what_systemd_hands_over_goes_no_further() -> None:
    """LISTEN_FDS is taken away when it is read, as runc would act on it; one for another pid is ignored."""
    code = (
        "import os\nfrom jupyter_sandbox_spawner.held import take_held_sockets\n"
        "os.environ.update(LISTEN_PID=str(os.getpid() + PLUS), LISTEN_FDS='1', LISTEN_FDNAMES='launcher')\n"
        "print(dict(take_held_sockets()), [name for name in os.environ if name.startswith('LISTEN')])"
    )
    for plus, expected in (("0", "{'launcher': 3} []"), ("1", "{} []")):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import os; os.dup2(os.open('/dev/null', 0), 3)\n{code.replace('PLUS', plus)}",
            ],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
