"""Does a real sandbox hold against a program that tries to get out? One attack id a test, on each runtime."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.names import GVISOR
from tests.backends.conftest import UNDER_EACH_RUNTIME
from tests.backends.tiny import OciBench

Control = Callable[[str, bool], None]
pytestmark = UNDER_EACH_RUNTIME

# Each attack prints one JSON object; `trial` names what a call ended with: "ok" or its errno.
PRELUDE = """
import ctypes, errno, json, os, platform, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *[ctypes.c_long(item) for item in arguments])
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def trial(function, *arguments):
    try:
        function(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
answer = {}
"""
UNREACHABLE = {"ENETUNREACH", "EADDRNOTAVAIL", "EHOSTUNREACH"}
REPORT = "\nprint(json.dumps(answer))\n"


def read(path: str) -> str:
    """A file of the host."""
    return Path(path).read_text()


def command_lines() -> str:
    """What `ps` shows of every process of the host."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


@pytest.mark.proves("I01")
async def test_no_privilege(oci: OciBench, control: Control) -> None:
    """Every capability set is empty, no-new-privileges is on and a system call filter is in force."""
    body = """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Groups"):
    answer[key] = status.get(key, "0").split()
answer["NoNewPrivs"] = [str(libc.prctl(39, 0, 0, 0, 0))]
"""
    found = await oci.ask(PRELUDE + body + REPORT)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(found[key][0], 16) == 0, key
    assert (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
    assert (set(found["Uid"]), found["Groups"]) == ({"1000"}, [])
    control("the test itself has capabilities", "CapEff:\t0000000000000000" not in read("/proc/self/status"))


@pytest.mark.proves("I02")
async def test_no_new_namespace(oci: OciBench, control: Control) -> None:
    """unshare, setns, clone with namespaces, mount, pivot_root, chroot and file handles are refused."""
    body = """
answer["clone_thread"] = "ok"
import threading, subprocess
thread = threading.Thread(target=lambda: answer.update(thread="ok")); thread.start(); thread.join()
answer["fork"] = subprocess.run(["/bin/true"]).returncode
for flag in (0x10000000, 0x20000, 0x40000000, 0x80):
    answer[f"unshare {flag:#x}"] = call(272, flag)
    answer[f"clone {flag:#x}"] = call(56, flag | 17, 0, 0, 0, 0) if flag != 0x80 else "EPERM"
answer["clone3"] = call(435, 0, 0)
answer["setns"] = call(308, 0, 0)
answer["mount"] = call(165, 0, 0, 0, 0, 0)
answer["umount2"] = call(166, 0, 0)
answer["pivot_root"] = call(155, 0, 0)
answer["chroot"] = call(161, 0)
answer["fsopen"] = call(430, 0, 0)
answer["open_tree"] = call(428, 0, 0, 0)
answer["move_mount"] = call(429, 0, 0, 0, 0, 0)
answer["name_to_handle_at"] = call(303, 0, 0, 0, 0, 0)
answer["open_by_handle_at"] = call(304, 0, 0, 0)
answer["a system call of tomorrow"] = call(700)
"""
    found = await oci.ask(PRELUDE + body + REPORT)
    control("threads and processes can be made", (found.pop("thread"), found.pop("fork")) == ("ok", 0))
    found.pop("clone_thread")
    unknown = "EPERM" if oci.runtime == GVISOR else "ENOSYS"
    assert (found.pop("clone3"), found.pop("a system call of tomorrow")) == ("ENOSYS", unknown)
    assert set(found.values()) == {"EPERM"}, found


@pytest.mark.proves("I03", "T6")
async def test_no_odd_kernel_interface(oci: OciBench, control: Control) -> None:
    """io_uring, bpf, perf, keyrings, userfaultfd, ptrace and other processes' memory are refused."""
    body = """
numbers = dict(io_uring_setup=425, io_uring_enter=426, bpf=321, perf_event_open=298, keyctl=250, add_key=248,
    request_key=249, userfaultfd=323, ptrace=101, process_vm_readv=310, process_vm_writev=311, kcmp=312,
    pidfd_getfd=438, kexec_load=246, init_module=175, finit_module=313, delete_module=176, swapon=167,
    reboot=169, acct=163, quotactl=179, settimeofday=164, sethostname=170, iopl=172, ioperm=173, syslog=103)
for name, number in numbers.items():
    answer[name] = call(number, 0, 0, 0, 0, 0)
answer["personality"] = call(135, 0x0040000)
answer["control"] = [call(39), call(135, 0xFFFFFFFF), call(239, 0, 0, 0, 0, 0)]
"""
    found = await oci.ask(PRELUDE + body + REPORT)
    asked = "EINVAL" if oci.runtime == GVISOR else "ok"  # whose kernel has one personality only
    control("getpid, personality (asked) and get_mempolicy work", found.pop("control") == ["ok", asked, "ok"])
    assert set(found.values()) == {"EPERM"}, found


@pytest.mark.proves("E20", "T6")
async def test_socket_families(oci: OciBench, control: Control) -> None:
    """Only unix, IPv4 and IPv6 stream and datagram sockets and route netlink can be made."""
    body = """
kinds = (1, 2, 3, 5)
for family in range(46):
    for kind in kinds:
        for protocol in (0, 1, 2, 4, 6, 16, 17, 132, 262):
            if trial(lambda: socket.socket(family, kind, protocol).close()) == "ok":
                answer.setdefault(str(family), []).append([kind, protocol])
"""
    found = await oci.ask(PRELUDE + body + REPORT)
    inet = [[1, 0], [1, 6], [2, 0], [2, 17]]
    control("TCP and UDP sockets can be made", found["2"] == inet)
    assert found.pop("16") == [[2, 0], [3, 0]]
    assert {pair[1] for pair in found.pop("1")} <= {0, 1}
    assert found == {"2": inet, "10": inet}


@pytest.mark.proves("I12")
async def test_no_typing_into_a_terminal(oci: OciBench, control: Control) -> None:
    """TIOCSTI and TIOCLINUX are refused, also with bits above the 32 that the kernel looks at."""
    body = """
import pty
master, slave = pty.openpty()
space = ctypes.create_string_buffer(64)
for number in (0x5412, 0x541C, 0x100005412, 0xFFFFFFFF0000541C, 0x5401, 0x5413, 0x541B, 0x5421):
    answer[hex(number)] = call(16, slave, number, ctypes.addressof(space))
answer["descriptors"] = sorted(int(name) for name in os.listdir("/proc/self/fd"))
"""
    found = await oci.ask(PRELUDE + body + REPORT)
    control("other terminal calls work", {found[key] for key in ("0x5401", "0x5413", "0x541b")} == {"ok"})
    refused = ("0x5412", "0x541c", "0x100005412", "0xffffffff0000541c")
    assert [found[key] for key in refused] == ["EPERM"] * 4
    assert max(found["descriptors"]) <= 6  # 0 to 2, the script, two ends of the pty, the listing itself


@pytest.mark.proves("I04")
async def test_read_only_root(oci: OciBench, control: Control) -> None:
    """Nothing but the home, /tmp, /dev/shm and the runtime directory can be written."""
    body = """
def write(path):
    with open(path + "/probe", "w") as stream:
        stream.write("x")
for path in ("/", "/usr", "/usr/bin", "/etc", "/etc/ssl/certs", "/run", "/run/sandbox/doors",
             "/run/sandbox/inside", "/home", "/dev", os.path.dirname(os.path.dirname(sys.executable))):
    answer[path] = trial(write, path)
answer["control"] = [trial(write, path) for path in ("/home/jovyan", "/tmp", "/dev/shm", "/run/jupyter")]
answer["passwd"] = trial(os.open, "/etc/passwd", os.O_WRONLY)
answer["remount"] = call(165, 0, 0, 0, 32, 0)
"""
    found = await oci.ask(PRELUDE + body + REPORT)
    control("the four writable places can be written", found.pop("control") == ["ok"] * 4)
    assert set(found.values()) <= {"EROFS", "EACCES", "EPERM"}, found
    if oci.runtime != GVISOR:  # which asks for the right of writing first
        assert (found["/usr"], found["/etc"], found["/run/sandbox/inside"]) == ("EROFS",) * 3


@pytest.mark.proves("I05", "I06", "I08")
async def test_no_host_files(oci: OciBench, control: Control) -> None:
    """Kernel knobs, kernel memory, cgroup files and device files are absent, empty or read-only."""
    body = """
def read(path):
    try:
        with open(path, "rb") as stream:
            return len(stream.read(4096))
    except OSError as error:
        return errno.errorcode[error.errno]
answer["core_pattern"] = trial(os.open, "/proc/sys/kernel/core_pattern", os.O_WRONLY)
answer["sysrq"] = trial(os.open, "/proc/sysrq-trigger", os.O_WRONLY)
answer["cgroup"] = os.path.exists("/sys/fs/cgroup") and os.listdir("/sys/fs/cgroup") != []
answer["masked"] = [read("/proc/" + name) for name in ("kcore", "kallsyms", "kmsg", "keys", "timer_list")]
answer["mknod"] = [trial(os.mknod, "/tmp/sda", 0o60600, os.makedev(8, 0)), read("/tmp/sda")]
answer["devices"] = sorted(os.listdir("/dev"))
answer["control"] = [read("/proc/meminfo") > 0, read("/proc/cpuinfo") > 0]
"""
    found = await oci.ask(PRELUDE + body + REPORT)
    control("other files of /proc can be read", found["control"] == [True, True])
    assert found["cgroup"] is False
    # A kernel of its own lets such a file be made; there is no device behind it.
    assert found["mknod"] == (["ok", "ENXIO"] if oci.runtime == GVISOR else ["EPERM", "ENOENT"])
    assert {found["core_pattern"], found["sysrq"]} <= {"EROFS", "ENOENT", "EACCES"}
    assert set(found["masked"]) <= {0, "ENOENT", "EACCES", "EIO"}, found["masked"]
    plain = {
        "fd",
        "full",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
    }
    own = {"fuse", "net"} if oci.runtime == GVISOR else set()
    assert set(found["devices"]) <= plain | own | {"zero", "console", "core"}


@pytest.mark.proves("I10", "O04")
async def test_other_processes_do_not_exist(oci: OciBench, control: Control) -> None:
    """A sandbox sees its own processes only, cannot signal the host's, and has its own host name."""
    body = f"""
answer["pids"] = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
answer["kill"] = trial(os.kill, {os.getpid()}, 0)
answer["self"] = trial(os.kill, os.getpid(), 0)
answer["host"] = socket.gethostname()
answer["mounts"] = open("/proc/self/mountinfo").read().count("{oci.directory}/home-")
"""
    neighbour = await oci.running()
    found = await oci.ask(PRELUDE + body + REPORT)
    control("its own process can be signalled", found["self"] == "ok")
    assert (found["pids"], found["kill"], found["host"]) == ([1], "ESRCH", "sandbox")
    assert found["mounts"] <= 1
    await oci.end(neighbour, 0)


@pytest.mark.proves("E01", "E02", "E03", "E04", "E06", "O01")
async def test_no_network(oci: OciBench, control: Control) -> None:
    """TCP, UDP and names lead nowhere at once; only the sandbox's own loopback exists."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        body = f"""
import time
begun = time.monotonic()
def tcp(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect((address, port))
for address in ("198.51.100.7", "169.254.169.254", "2001:db8::7", "10.0.0.1"):
    answer["tcp " + address] = trial(tcp, address, 443)
answer["host"] = trial(tcp, "127.0.0.1", {port})
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    answer["udp"] = trial(client.sendto, b"x", ("198.51.100.7", 53))
try:
    socket.getaddrinfo("example.com", 443)
    answer["name"] = "ok"
except socket.gaierror as error:
    answer["name"] = str(error.errno)
answer["interfaces"] = [name for _, name in socket.if_nameindex()]
answer["seconds"] = time.monotonic() - begun
server = socket.create_server(("127.0.0.1", 0))
answer["control"] = trial(tcp, "127.0.0.1", server.getsockname()[1])
"""
        found = await oci.ask(PRELUDE + body + REPORT)
    control("a server on the sandbox's own loopback answers", found["control"] == "ok")
    assert {found[key] for key in found if key.startswith("tcp ")} <= UNREACHABLE, found
    assert (found["host"], found["udp"] in UNREACHABLE) == ("ECONNREFUSED", True)
    assert found["name"] != "ok"
    assert found["interfaces"] == ["lo"]
    assert found["seconds"] < 3


@pytest.mark.proves("C01", "C02", "C05")
async def test_no_secret_outside(oci: OciBench, monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    """A canary in the launcher's environment is in no sandbox's environment, bundle or command line."""
    canary = f"canary{os.urandom(8).hex()}"
    monkeypatch.setenv("HUB_SECRET", canary)
    body = """
answer["environ"] = {pid: open(f"/proc/{pid}/environ").read() for pid in os.listdir("/proc") if pid.isdigit()}
import resource
answer["core"] = resource.getrlimit(resource.RLIMIT_CORE)
"""
    spec = await oci.running()
    found = await oci.ask(PRELUDE + body + REPORT)
    control("the test's own environment has it", os.environ["HUB_SECRET"] == canary)
    own = "PATH=/usr/bin:/bin\0NVIDIA_VISIBLE_DEVICES=void\0HOME=/home/jovyan\0"  # HOME is runc's own doing
    assert found["environ"] == {"1": own}
    assert found["core"] == [0, 0]
    text = read(f"{oci.site.state}/sandboxes/{spec.id}/config.json") + command_lines()
    assert "/home/jovyan" in text
    assert canary not in text
    await oci.end(spec, 0)
