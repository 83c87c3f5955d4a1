"""Is a sandbox shut towards the kernel and the host? Attacks I01 to I04, I07 and I09 to I11."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.backend_choice import ON_GVISOR
from tests.support.house import House

Control = Callable[[str, bool], None]

# Numbers of x86_64; every name here is refused by number, so the C library has no say in it.
SYSCALLS = """
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a
                                                   for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

attempt("getpid", lambda: call(39))
"""


@pytest.mark.proves("I01")
def test_i01_no_capabilities_no_new_privileges_and_seccomp(house: House, control: Control) -> None:
    """A process in a sandbox has no capability, cannot gain one, and runs under a seccomp filter."""
    seen = house.attack(
        "alice",
        """
def status():
    lines = open("/proc/self/status").read().splitlines()
    return dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
attempt("status", status)
attempt("pid 1", lambda: dict(l.split(":\\t", 1) for l in open("/proc/1/status").read().splitlines()))
attempt("new privileges", lambda: ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))
""",
    )
    for who in ("status", "pid 1"):
        status = seen[who]["value"]
        names = ("CapInh", "CapPrm", "CapEff", "CapBnd", *(() if ON_GVISOR else ("CapAmb",)))
        assert {name: int(status[name], 16) for name in names} == dict.fromkeys(names, 0)
        assert status["Seccomp"] == "2"
    assert seen["new privileges"]["value"] == 1
    own = Path("/proc/1/status").read_text()
    control("the same file shows capabilities outside", "CapEff:\t0000000000000000" not in own)


@pytest.mark.proves("I02")
def test_i02_no_new_namespaces_and_no_mounts(house: House, control: Control) -> None:
    """unshare, clone, clone3, setns, mount, pivot_root and open_by_handle_at are refused."""
    seen = house.attack(
        "alice",
        SYSCALLS
        + """
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000)):
    attempt(f"unshare {name}", lambda: call(272, flag))
    attempt(f"clone {name}", lambda: call(56, flag | 17, 0, 0, 0, 0))
attempt("clone3", lambda: call(435, ctypes.create_string_buffer(88), 88))
attempt("setns", lambda: call(308, os.open("/proc/self/ns/net", os.O_RDONLY), 0))
attempt("mount", lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, 0))
attempt("umount", lambda: call(166, b"/tmp", 2))
attempt("fsopen", lambda: call(430, b"tmpfs", 0))
attempt("open_tree", lambda: call(428, -100, b"/", 1))
attempt("move_mount", lambda: call(429, 0, b"", 0, b"/tmp", 4))
attempt("pivot_root", lambda: call(155, b"/tmp", b"/tmp"))
attempt("chroot", lambda: call(161, b"/tmp"))
attempt("open_by_handle_at", lambda: call(304, -100, ctypes.create_string_buffer(64), 0))
""",
    )
    control("a permitted system call by number", seen.pop("getpid")["ok"])
    assert seen.pop("clone3")["errno"] == "ENOSYS"
    assert {
        name: found.get("errno", "ran") for name, found in seen.items() if found.get("errno") != "EPERM"
    } == {}


@pytest.mark.proves("I03", "T6")
def test_i03_dangerous_system_calls_are_refused(house: House, control: Control) -> None:
    """io_uring, bpf, perf, keyrings, userfaultfd, ptrace of pid 1 and odd socket families are refused."""
    seen = house.attack(
        "alice",
        SYSCALLS
        + """
attempt("io_uring_setup", lambda: call(425, 8, ctypes.create_string_buffer(120)))
attempt("io_uring_enter", lambda: call(426, 0, 0, 0, 0, 0))
attempt("bpf", lambda: call(321, 0, ctypes.create_string_buffer(64), 64))
attempt("perf_event_open", lambda: call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0))
attempt("keyctl", lambda: call(250, 0, -3, 0))
attempt("add_key", lambda: call(248, b"user", b"x", b"y", 1, -3))
attempt("request_key", lambda: call(249, b"user", b"x", 0, 0))
attempt("userfaultfd", lambda: call(323, 0))
# PTRACE_SEIZE does not stop pid 1, so that a sandbox without its filter still answers this test.
attempt("ptrace pid 1", lambda: call(101, 0x4206, 1, 0, 0))
attempt("process_vm_readv", lambda: call(310, 1, 0, 0, 0, 0, 0))
attempt("kexec_load", lambda: call(246, 0, 0, 0, 0))
attempt("init_module", lambda: call(175, 0, 0, 0))
for name, family in (("vsock", 40), ("alg", 38), ("packet", 17), ("bluetooth", 31), ("can", 29)):
    attempt(f"socket {name}", lambda: socket.socket(family, socket.SOCK_STREAM).close())
""",
    )
    control("a permitted system call by number", seen.pop("getpid")["ok"])
    wrong = {
        name: found.get("errno", "ran")
        for name, found in seen.items()
        if found.get("errno") not in {"EPERM", "EACCES", "EAFNOSUPPORT"}
    }
    assert wrong == {}


@pytest.mark.proves("I04")
def test_i04_system_and_environment_are_read_only(house: House, control: Control) -> None:
    """Nothing can be written to /, /usr, /etc, the server's environment, its files or the doors."""
    prefix = house.site.environments[next(iter(house.site.environments))].prefix
    seen = house.attack(
        "alice",
        f"""
def write(directory):
    path = os.path.join(directory, "attack.txt")
    with open(path, "w") as stream:
        stream.write("x")
    os.unlink(path)

for place in (os.path.expanduser("~"), "/tmp", "/dev/shm"):
    attempt(f"own {{place}}", lambda: write(place))
for place in ("/", "/usr", "/usr/bin", "/etc", "{prefix}", "{prefix}/bin", "/run", "/run/sandbox",
              "/run/sandbox/doors", "/run/sandbox/inside", "/home", "/proc", "/proc/sys/kernel"):
    attempt(f"write {{place}}", lambda: write(place))
attempt("append passwd", lambda: open("/etc/passwd", "a"))
attempt("chmod", lambda: os.chmod("{prefix}/bin/python", 0o777))
""",
    )
    own = [name for name in seen if name.startswith("own ")]
    control("home, /tmp and /dev/shm are writable", all(seen.pop(name)["ok"] for name in own))
    wrong = {
        name: found.get("errno", "wrote")
        for name, found in seen.items()
        if found.get("errno") not in {"EROFS", "EACCES", "ENOENT", "EPERM"}
    }
    assert wrong == {}
    assert seen["write /usr"]["errno"] in {"EROFS", "EACCES"}


@pytest.mark.proves("I10")
def test_i10_only_own_processes_are_visible(house: House, control: Control) -> None:
    """/proc shows the sandbox's own processes only, and the hub's pid cannot be signalled."""
    assert house.running.process is not None
    hub = house.running.process.pid
    seen = house.attack(
        "alice",
        f"""
def visible():
    found = {{}}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[name] = open(f"/proc/{{name}}/cmdline").read().replace("\\0", " ")
            except OSError as error:
                found[name] = str(error)
    return found
attempt("visible", visible)
attempt("signal self", lambda: os.kill(os.getpid(), 0))
attempt("signal the supervisor", lambda: os.kill({hub}, 0))
attempt("signal a thread of the host", lambda: os.kill({os.getpid()}, 0))
""",
    )
    visible = seen["visible"]["value"]
    control("a process can signal itself", seen["signal self"]["ok"])
    control("it sees its own kernel", any("ipykernel" in line for line in visible.values()))
    assert len(visible) < 20
    assert not [line for line in visible.values() if "jupyter_sandbox_spawner.launcher" in line]
    for name in ("signal the supervisor", "signal a thread of the host"):
        assert seen[name].get("errno") in {"ESRCH", "EPERM"}, seen[name]


@pytest.mark.proves("I11", "T2")
def test_i11_doors_cannot_be_replaced_and_the_server_goes_on(house: House, control: Control) -> None:
    """Replacing a door by a symlink, FIFO, directory or own socket fails, and the server still answers."""
    seen = house.attack(
        "alice",
        """
doors = "/run/sandbox/doors"
if not os.path.lexists("/tmp/link"):
    os.symlink("/etc", "/tmp/link")
attempt("listed", lambda: sorted(os.listdir(doors)))
for name in ("ingress.sock", "egress.sock", "api.sock", "boot.sock"):
    path = f"{doors}/{name}"
    attempt(f"unlink {name}", lambda: os.unlink(path))
    attempt(f"rename {name}", lambda: os.rename(path, path + ".old"))
    attempt(f"symlink {name}", lambda: os.symlink("/proc/self/root", path + ".new"))
    attempt(f"over {name}", lambda: os.replace("/tmp/link", path))
    attempt(f"bind {name}", lambda: socket.socket(socket.AF_UNIX).bind(path + ".mine"))
attempt("fifo", lambda: os.mkfifo(f"{doors}/fifo"))
attempt("directory", lambda: os.mkdir(f"{doors}/directory"))

def boot_again():
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(3)
        door.connect(f"{doors}/boot.sock")
        return door.recv(4096)
attempt("boot again", boot_again)

def misuse_ingress():
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(f"{doors}/ingress.sock")
        door.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://evil.example/\\r\\n\\r\\n")
attempt("ingress garbage", misuse_ingress)
""",
    )
    control("the doors are there", {"ingress.sock", "egress.sock"} <= set(seen.pop("listed")["value"]))
    seen.pop("ingress garbage")
    again = seen.pop("boot again")
    assert not again["ok"] or again["value"] in ("", "b''")
    assert {name: found for name, found in seen.items() if found["ok"]} == {}
    visitor = house.visitor("alice")
    page = house.wait(visitor.open(visitor.server("lab")))
    control("the server goes on", page.status == 200)


@pytest.mark.proves("I07")
def test_i07_sockets_of_the_host_are_not_there(house: House, control: Control) -> None:
    """Sockets of container runtimes and D-Bus by path, and abstract ones of the host, cannot be reached."""
    name = f"jss-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{name}")
        listener.listen(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as outside:
            outside.connect(f"\0{name}")
            control("the host reaches its abstract socket", True)
        table = Path("/proc/net/unix").read_text().splitlines()
        abstract = [line.split()[-1][1:] for line in table if " @" in line]
        seen = house.attack(
            "alice",
            f"""
def dial(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
own.bind("\\0own")
own.listen(1)
attempt("own abstract", lambda: dial("\\0own"))
for path in ("docker.sock", "containerd/containerd.sock", "crio/crio.sock", "podman/podman.sock",
             "dbus/system_bus_socket", "systemd/private"):
    for top in ("/run/", "/var/run/"):
        attempt(top + path, lambda: dial(top + path))
for name in {sorted({name, *abstract})[:50]!r}:
    attempt("abstract " + name, lambda: dial("\\0" + name))
""",
        )
    control("its own abstract socket", seen.pop("own abstract")["ok"])
    assert f"abstract {name}" in seen
    assert {found.get("errno") for found in seen.values()} <= {"ENOENT", "ECONNREFUSED"}


@pytest.mark.proves("I09")
def test_i09_set_uid_programs_give_nothing(house: House, control: Control) -> None:
    """Programs of the image that are root's elsewhere, and a copy that one marks oneself, run as oneself;
    nobody gives a file a capability."""
    seen = house.attack(
        "alice",
        """
import shutil, stat
def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
attempt("own", lambda: run("/usr/bin/id", "-u"))
places = [place + "/" + name for place in ("/usr/bin", "/usr/sbin") for name in os.listdir(place)]
marked = [path for path in places if os.path.isfile(path) and os.stat(path).st_mode & stat.S_ISUID]
attempt("marked", lambda: marked)
if "/usr/bin/su" in marked:
    attempt("su", lambda: run("/usr/bin/su", "-c", "id -u"))
if "/usr/bin/mount" in marked:
    command = ["/usr/bin/mount", "-t", "tmpfs", "none", "/mnt"]
    attempt("mount", lambda: run(*command) + str(os.path.ismount("/mnt")))
def mark():
    shutil.copy("/usr/bin/id", "/tmp/id")
    os.chmod("/tmp/id", 0o4755)
    return run("/tmp/id", "-u")
attempt("marked by oneself", mark)
attempt("become root", lambda: os.setuid(0))
# cap_setuid, permitted and effective, as setcap writes it (revision 2).
CAPABLE = bytes.fromhex("0100000280000000000000000000000000000000")
attempt("capability of a file", lambda: os.setxattr("/tmp/id", "security.capability", CAPABLE))
""",
    )
    own = seen["own"].get("value", "")
    control("a program runs as oneself", own.isdigit() and own != "0")
    control("there are such programs", bool(seen["marked"]["value"]))
    assert seen.get("su", {}).get("value", "") != "0"
    assert seen.get("mount", {"value": "False"})["value"] == "False"
    assert seen["marked by oneself"].get("value", own) in (own, "")
    assert seen["become root"]["errno"] == "EPERM"
    assert seen["capability of a file"].get("errno") in {"EPERM", "EOPNOTSUPP", "ENOTSUP"}
