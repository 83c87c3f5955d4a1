"""Does a real container hold against a program that tries to get out? The local backend's attacks, on Docker.

Those whose answer differs by nature (which uid, which devices, which environment) are written here anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tests.backends.test_oci_attacks import (
    PRELUDE,
    REPORT,
    command_lines,
    test_no_network,
    test_no_new_namespace,
    test_no_odd_kernel_interface,
    test_no_typing_into_a_terminal,
    test_other_processes_do_not_exist,
    test_read_only_root,
    test_socket_families,
)
from tests.backends.tiny import UID_BASE

from .bench import DockerBench

__all__ = [
    "test_no_network",
    "test_no_new_namespace",
    "test_no_odd_kernel_interface",
    "test_no_typing_into_a_terminal",
    "test_other_processes_do_not_exist",
    "test_read_only_root",
    "test_socket_families",
]

Control = Callable[[str, bool], None]


@pytest.mark.proves("I01")
async def test_no_privilege(docker: DockerBench, control: Control) -> None:
    """Every capability set is empty, no-new-privileges and our filter are on, the uid is the user's own."""
    body = """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
answer = {key: value.split() for key, value in status.items()}
import pwd
answer["name"] = pwd.getpwuid(os.getuid()).pw_name
"""
    found = await docker.ask(PRELUDE + body + REPORT)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(found[key][0], 16) == 0, key
    assert (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
    own = str(UID_BASE + 1)
    assert (set(found["Uid"]), set(found["Gid"])) == ({own}, {own})
    assert set(found["Groups"]) <= {own}
    control("the uid has a name inside", found["name"] == "jovyan")


@pytest.mark.proves("I05", "I06", "I07", "I08")
async def test_no_host_files(docker: DockerBench, control: Control) -> None:
    """Kernel knobs, kernel memory, cgroups, devices and Docker's socket are absent, empty or read-only."""
    body = f"""
def read(path):
    try:
        with open(path, "rb") as stream:
            return len(stream.read(4096))
    except OSError as error:
        return errno.errorcode[error.errno]
answer["core_pattern"] = trial(os.open, "/proc/sys/kernel/core_pattern", os.O_WRONLY)
answer["sysrq"] = trial(os.open, "/proc/sysrq-trigger", os.O_WRONLY)
answer["sys"] = os.listdir("/sys")
answer["mqueue"] = trial(os.open, "/dev/mqueue/x", os.O_WRONLY | os.O_CREAT)
answer["masked"] = [read("/proc/" + name) for name in ("kcore", "kallsyms", "kmsg", "keys", "timer_list")]
answer["mknod"] = trial(os.mknod, "/tmp/sda", 0o60600, os.makedev(8, 0))
answer["devices"] = sorted(os.listdir("/dev"))
answer["sockets"] = [path for path in ("/run/docker.sock", "/var/run/docker.sock", {docker.daemon.socket!r})
                     if os.path.lexists(path)]
answer["abstract"] = trial(lambda: socket.socket(socket.AF_UNIX).connect("\\0/containerd-shim"))
answer["control"] = [read("/proc/meminfo") > 0, read("/proc/sys/kernel/core_pattern") > 0]
"""
    found = await docker.ask(PRELUDE + body + REPORT)
    control("other files of /proc can be read", found["control"] == [True, True])
    assert (found["mknod"], found["sys"], found["sockets"]) == ("EPERM", [], [])
    assert found["mqueue"] in {"EROFS", "EACCES", "ENOENT"}
    assert found["abstract"] == "ECONNREFUSED"
    assert {found["core_pattern"], found["sysrq"]} <= {"EROFS", "ENOENT", "EACCES"}
    assert set(found["masked"]) <= {0, "ENOENT", "EACCES", "EIO"}, found["masked"]
    links = {"fd", "stdin", "stdout", "stderr", "core", "ptmx", "pts", "shm", "mqueue"}
    assert set(found["devices"]) <= links | {"full", "null", "random", "tty", "urandom", "zero", "console"}


@pytest.mark.proves("C01", "C02", "C03", "C05")
async def test_no_secret_outside(
    docker: DockerBench, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """A canary in the launcher's environment is in no environment inside, in no inspect, no command line."""
    canary = f"canary{os.urandom(8).hex()}"
    monkeypatch.setenv("HUB_SECRET", canary)
    body = """
answer["environ"] = sorted(open("/proc/1/environ").read().split("\\0"))
import resource
answer["core"] = resource.getrlimit(resource.RLIMIT_CORE)
answer["hosts"] = open("/etc/hosts").read() + open("/etc/resolv.conf").read()
"""
    spec = await docker.running()
    found = await docker.ask(PRELUDE + body + REPORT)
    control("the test's own environment has it", os.environ["HUB_SECRET"] == canary)
    assert set(found["environ"]) == {
        *("", "HOME=/home/jovyan", "HOSTNAME=sandbox", "NVIDIA_VISIBLE_DEVICES=void", "PATH=/usr/bin:/bin")
    }
    assert found["core"] == [0, 0]
    assert "nameserver" not in found["hosts"]
    text = json.dumps(docker.inspect(spec)) + command_lines()
    assert "/home/jovyan" in text
    assert canary not in text


@pytest.mark.proves("I09")
async def test_set_uid_gives_nothing(docker: DockerBench, control: Control) -> None:
    """A set-uid program of the image runs with the user's own uid."""
    body = """
import stat, subprocess
found = [path for path in ("/bin/su", "/bin/mount") if os.stat(path).st_mode & stat.S_ISUID]
answer["found"] = len(found)
answer["ids"] = subprocess.run(["/bin/su", "-c", "id -u"], capture_output=True, text=True).stdout
answer["copy"] = trial(os.chmod, "/home/jovyan/main.py", 0o4755)
"""
    found = await docker.ask(PRELUDE + body + REPORT)
    control("the image has set-uid programs", found["found"] > 0)
    assert found["ids"].strip() != "0"
    assert found["copy"] in {"ok", "EPERM"}


@pytest.mark.proves("I14")
async def test_what_inspect_shows(docker: DockerBench, control: Control) -> None:
    """The daemon took every hardened flag as it was asked: what CIS Docker section 5 looks at."""
    spec = await docker.running()
    found = docker.inspect(spec)
    host = found["HostConfig"]
    control("it runs", found["State"]["Running"])
    assert (host["NetworkMode"], host["IpcMode"], host["PidMode"], host["UTSMode"]) == (
        *("none", "private", "", ""),
    )
    assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (False, None, ["ALL"])
    assert (host["ReadonlyRootfs"], host["CgroupnsMode"], host["UsernsMode"]) == (True, "private", "")
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (256 << 20, 256 << 20, 64)
    assert (host["Devices"] or [], host["Binds"], host["PortBindings"] or {}) == ([], None, {})
    assert host["RestartPolicy"]["Name"] == "no"
    assert [option.partition("=")[0] for option in host["SecurityOpt"]] == ["no-new-privileges", "seccomp"]
    assert found["Config"]["User"] == f"{spec.host_uid}:{spec.host_uid}"
    assert not [name for name in found["NetworkSettings"]["Networks"] if name != "none"]


@pytest.mark.proves("O04")
async def test_another_users_home(docker: DockerBench, control: Control) -> None:
    """Each home is one user's: not mounted in another's sandbox, and closed to another's uid on the host."""
    bob = await docker.running(docker.spec(user="bob", host_uid=UID_BASE + 2))
    body = f"""
answer["bob"] = trial(os.listdir, {bob.mounts[0].source!r})
answer["doors"] = trial(os.listdir, {docker.doors(bob).directory!r})
answer["root"] = trial(os.listdir, "/proc/1/root/home")
answer["own"] = trial(os.listdir, "/home/jovyan")
"""
    found = await docker.ask(PRELUDE + body + REPORT)
    control("the own home can be read", found["own"] == "ok")
    assert (found["bob"], found["doors"]) == ("ENOENT", "ENOENT")
