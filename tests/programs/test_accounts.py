"""Which uid does each program get, and what does the admin read where that cannot be?"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin import accounts as module
from jupyter_sandbox_spawner.admin.accounts import PROGRAMS, Account, accounts_of, as_account, with_uids
from jupyter_sandbox_spawner.admin.directories import give_directories, own_directories
from jupyter_sandbox_spawner.admin.reach import find_barrier
from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.settings import Site
from tests.programs.admin_run import AdminRun, admin, site_directory

pytestmark = pytest.mark.lane("root")
SITE = Site(
    run_dir="/run/x",
    state_dir="/var/x",
    profiles="",
    public_port=8000,
    hub_port=1,
    proxy_api_port=2,
    front_port=3,
)


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory for one attempt."""
    run = AdminRun(site_directory())
    yield run.top
    run.erase()


def test_numbers_just_below_the_sandboxes_are_the_default() -> None:
    """Without system users each program gets a uid of its own below uid_base; none is root's."""
    uids = with_uids(SITE).program_uids
    assert list(uids) == list(PROGRAMS)
    assert all(SITE.uid_base - 16 <= uid < SITE.uid_base for uid in uids.values())
    assert len(set(uids.values())) == len(PROGRAMS)


def test_a_named_system_user_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """`jss-gateway` of the host is used where it exists; the admin's own number counts before it."""
    record = module.pwd.getpwnam("nobody")

    def find(name: str) -> object:
        if name == "jss-gateway":
            return record
        raise KeyError(name)

    monkeypatch.setattr(module.pwd, "getpwnam", find)
    assert with_uids(SITE).program_uids["gateway"] == record.pw_uid
    chosen = with_uids(replace(SITE, program_uids={"gateway": 4711})).program_uids
    assert chosen["gateway"] == 4711


def test_callers_of_the_launcher_share_one_group() -> None:
    """Hub and control have one group, which launcher and gateway let connect; nobody else is in it."""
    found = accounts_of(with_uids(SITE))
    assert found["hub"].gid == found["control"].gid
    assert len({item.gid for item in found.values()}) == len(PROGRAMS) - 1


@pytest.mark.parametrize(
    ("uids", "shown"),
    [
        ({"hub": 0}, "is root"),
        ({"hub": 3_000_001}, "belongs to a sandbox"),
        ({"hub": 900, "proxy": 900}, "both have 900"),
        ({"hubb": 900}, "'hubb' is no program"),
    ],
)
def test_uids_that_protect_nothing_are_refused(uids: dict[str, int], shown: str) -> None:
    """Root's uid, a sandbox's, one that is given twice and an unknown program are named."""
    with pytest.raises(ConfigurationError, match=shown) as caught:
        with_uids(replace(SITE, program_uids=uids))
    assert (caught.value.code, bool(caught.value.remedy)) == ("site.program_uids", True)


def test_only_a_proxy_on_a_low_port_keeps_one_capability() -> None:
    """Port 443 needs one capability; no other program, and no other port, gets any."""
    low = accounts_of(with_uids(replace(SITE, public_port=443)))
    assert [name for name, item in low.items() if item.low_ports] == ["proxy"]
    assert "-all,+net_bind_service" in as_account(low["proxy"])
    assert not any(item.low_ports for item in accounts_of(with_uids(SITE)).values())


@pytest.mark.proves("C05")
def test_no_program_writes_a_core_dump(control: Callable[[str, bool], None]) -> None:
    """Whatever limit who starts it has, a program's own is 0."""
    look = ("sh", "-c", "ulimit -Sc unlimited 2>/dev/null; grep 'core file' /proc/self/limits")
    plain = subprocess.run(look, capture_output=True, text=True, check=True).stdout.split()
    control("without it there is no limit", plain[4] != "0")
    for account in (None, Account(uid=65534, gid=65534)):
        done = subprocess.run([*as_account(account), *look], capture_output=True, text=True, check=True)
        assert done.stdout.split()[4:6] == ["0", "0"]


def test_one_uid_is_a_word_of_the_admin() -> None:
    """With one_uid no program has an account of its own; nothing else leads there for root."""
    site = with_uids(replace(SITE, one_uid=True))
    assert (site.program_uids, accounts_of(site), site.shared_mode) == ({}, {}, 0o700)


def test_a_directory_of_another_uid_is_refused_with_the_command(top: Path) -> None:
    """Files left by a run under another uid are not taken over silently."""
    site = with_uids(replace(SITE, run_dir=str(top / "run"), state_dir=str(top / "state")))
    for path in (site.run_dir, site.state_dir):
        os.mkdir(path)
    os.mkdir(site.hub_dir)
    accounts = accounts_of(site)
    with pytest.raises(ConfigurationError, match="belongs to uid 0") as caught:
        give_directories(site, accounts)
    hub = accounts["hub"]
    assert caught.value.remedy.endswith(f"chown -hR {hub.uid}:{hub.gid} {site.hub_dir}")
    os.chown(site.hub_dir, hub.uid, hub.gid)
    give_directories(site, accounts)
    owners = {path: os.stat(path).st_uid for path, name, _ in own_directories(site) if name in accounts}
    assert owners == {path: accounts[name].uid for path, name, _ in own_directories(site) if name in accounts}


def test_a_closed_directory_is_named(top: Path) -> None:
    """What keeps a uid from a file is told by the directory on the way and its mode."""
    stranger = Account(uid=65534, gid=65534)
    (top / "closed").mkdir(mode=0o700)
    (top / "closed/file").write_text("")
    (top / "open").write_text("")
    barrier = find_barrier(stranger, (str(top / "open"), str(top / "closed/file")))
    assert str(barrier) == f"{top}/closed/file ({top}/closed has mode 700)"
    assert find_barrier(stranger, (str(top / "open"),)) is None


@pytest.mark.lane("runc", "npm", "uids")
def test_a_configuration_that_the_hub_cannot_read_is_refused(top: Path) -> None:
    """A configuration file in a private directory stops the run: one sentence, both ways out, status 5."""
    top.chmod(0o700)
    run = AdminRun(top)
    done = admin("run", "-f", str(run.config))
    assert (done.returncode, "Traceback" in done.stderr) == (5, False), done.stderr
    assert f"{top} has mode 700" in done.stderr
    assert "one_uid=True" in done.stderr
    assert not (top / "run").exists()


@pytest.mark.lane("runc", "npm")
def test_one_uid_is_said_at_the_start(top: Path) -> None:
    """With one_uid=True the same configuration starts, says what that gives up, and is root throughout."""
    top.chmod(0o700)
    run = AdminRun(top, one_uid=True).start()
    run.wait_for(r"^one uid for all programs \(one_uid=True\): ")
    run.wait_for(r"^(gateway|control) +ready", count=2)
    assert os.stat(f"/proc/{run.pid('gateway')}").st_uid == 0
    assert '"action":"site.one_uid"' in (top / "state/audit/audit.ndjson").read_text()
    assert run.stop() == 0
