"""Is a real pod shut towards the kernel, the node and what others have left? Beside test_attacks.py.

The filter of system calls is the container runtime's own (RuntimeDefault). What older ones leave open, the
canary tells (rules/pod_canary.py); it is named here, and nothing else may be open.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.test_oci_attacks import PRELUDE, REPORT, command_lines
from tests.backends.tiny import UID_BASE
from tests.support.cluster import Cluster

from .bench import PodBench

Control = Callable[[str, bool], None]
LEFT_OPEN = {"io_uring_setup"}
VSOCK = str(socket.AF_VSOCK)


def abstract_sockets(cluster: Cluster) -> list[str]:
    """Names of sockets without a path, of the node and of its runtime's shims."""
    table = Path(f"/proc/{cluster.first}/net/unix").read_text().splitlines()
    return sorted({line.split()[-1][1:] for line in table if " @" in line})[:50]


@pytest.mark.proves("I02")
async def test_no_new_namespace(pods: PodBench, control: Control) -> None:
    """unshare, setns, clone with namespaces, mount, pivot_root, chroot and file handles are refused."""
    body = """
import threading, subprocess
thread = threading.Thread(target=lambda: answer.update(thread="ok")); thread.start(); thread.join()
answer["fork"] = subprocess.run([sys.executable, "-I", "-S", "-c", ""]).returncode
text = lambda words: ctypes.addressof(ctypes.create_string_buffer(words))
tmp, none, tmpfs = (ctypes.create_string_buffer(word) for word in (b"/tmp", b"none", b"tmpfs"))
at = ctypes.addressof
for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000):
    answer[f"unshare {flag:#x}"] = call(272, flag)
    answer[f"clone {flag:#x}"] = call(56, flag | 17, 0, 0, 0, 0)
answer["clone3"] = call(435, 0, 0)
answer["setns"] = call(308, os.open("/proc/self/ns/net", os.O_RDONLY), 0)
answer["mount"] = call(165, at(none), at(tmp), at(tmpfs), 0, 0)
answer["umount2"] = call(166, at(tmp), 2)
answer["pivot_root"] = call(155, at(tmp), at(tmp))
answer["chroot"] = call(161, at(tmp))
answer["fsopen"] = call(430, at(tmpfs), 0)
answer["open_tree"] = call(428, -100, at(tmp), 1)
answer["move_mount"] = call(429, -100, at(tmp), -100, at(tmp), 0)
answer["open_by_handle_at"] = call(304, -100, at(ctypes.create_string_buffer(64)), 0)
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("threads and processes can be made", (found.pop("thread"), found.pop("fork")) == ("ok", 0))
    assert found.pop("clone3") == "ENOSYS"
    assert set(found.values()) == {"EPERM"}, found


async def test_no_odd_kernel_interface(pods: PodBench, control: Control) -> None:
    """bpf, perf, keyrings, userfaultfd, modules, clocks and other processes' memory are refused."""
    body = """
numbers = dict(bpf=321, perf_event_open=298, keyctl=250, add_key=248, request_key=249, userfaultfd=323,
    kexec_load=246, init_module=175, finit_module=313, delete_module=176, swapon=167, reboot=169, acct=163,
    quotactl=179, settimeofday=164, iopl=172, ioperm=173, io_uring_setup=425)
for name, number in numbers.items():
    answer[name] = call(number, 0, 0, 0, 0, 0)
answer["ptrace pid 1's link"] = call(101, 16, 2, 0, 0)
answer["control"] = [call(39), call(135, 0xFFFFFFFF)]
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("getpid and personality (asked) work", found.pop("control") == ["ok", "ok"])
    assert found.pop("ptrace pid 1's link") == "ESRCH"
    assert {name for name, met in found.items() if met not in ("EPERM", "ENOSYS")} <= LEFT_OPEN, found


async def test_socket_families(pods: PodBench, control: Control) -> None:
    """Streams and datagrams of unix, IPv4 and IPv6, and netlink: no socket that reads or writes the wire."""
    body = """
for family in range(46):
    for kind in (1, 2, 3, 5):
        for protocol in (0, 1, 2, 3, 4, 6, 16, 17, 132, 262):
            if trial(lambda: socket.socket(family, kind, protocol).close()) == "ok":
                answer.setdefault(str(family), []).append([kind, protocol])
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("TCP and UDP sockets can be made", {(1, 6), (2, 17)} <= {tuple(pair) for pair in found["2"]})
    assert set(found) - {VSOCK} == {"1", "2", "10", "16"}
    for family in ("2", "10"):
        assert {kind for kind, _ in found[family]} == {1, 2}, found


@pytest.mark.proves("I11")
async def test_doors_cannot_be_replaced(pods: PodBench, control: Control) -> None:
    """No door can be taken away, and nothing else put in its place or beside it."""
    body = """
doors = "/run/sandbox/doors"
os.symlink("/etc", "/tmp/link")
for name in ("ingress.sock", "egress.sock", "api.sock", "boot.sock"):
    path = f"{doors}/{name}"
    answer[f"unlink {name}"] = trial(os.unlink, path)
    answer[f"rename {name}"] = trial(os.rename, path, path + ".old")
    answer[f"symlink {name}"] = trial(os.symlink, "/proc/self/root", path + ".new")
    answer[f"over {name}"] = trial(os.replace, "/tmp/link", path)
    answer[f"bind {name}"] = trial(socket.socket(socket.AF_UNIX).bind, path + ".mine")
answer["fifo"] = trial(os.mkfifo, f"{doors}/fifo")
answer["directory"] = trial(os.mkdir, f"{doors}/directory")
with socket.socket(socket.AF_UNIX) as door:
    answer["control"] = trial(door.connect, f"{doors}/ingress.sock")
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("the doors are there", found.pop("control") == "ok")
    assert set(found.values()) <= {"EROFS", "EXDEV", "EACCES"}, found


@pytest.mark.proves("I12")
async def test_no_terminal_and_no_descriptor(pods: PodBench, control: Control) -> None:
    """There is no terminal to type into, and nothing that somebody left open."""
    body = """
answer["terminal"] = trial(os.open, "/dev/tty", os.O_RDWR)
answer["are terminals"] = [number for number in range(3) if os.isatty(number)]
answer["typing"] = trial(lambda: __import__("fcntl").ioctl(0, 0x5412, b"x"))
answer["descriptors"] = {}
for name in os.listdir("/proc/self/fd"):
    try:
        answer["descriptors"][name] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass
import pty
answer["control"] = trial(pty.openpty)
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("a terminal of one's own can be made", found["control"] == "ok")
    assert (found["terminal"], found["are terminals"], found["typing"]) == ("ENXIO", [], "ENOTTY")
    others = {name: to for name, to in found["descriptors"].items() if int(name) > 2}
    assert set(others.values()) <= {"/home/jovyan/main.py", "/proc/1/fd", "/proc/self/fd"}, others


@pytest.mark.proves("I07", "I10", "O04")
async def test_nobody_elses_places(pods: PodBench, control: Control) -> None:
    """Sockets of the runtime, directories of other pods, the node's processes: none can be seen or asked."""
    neighbour = await pods.running(pods.spec(user="bob", host_uid=UID_BASE + 2))
    uid = (await asyncio.to_thread(pods.pod, neighbour))["metadata"]["uid"]
    abstract = await asyncio.to_thread(abstract_sockets, pods.cluster)
    body = f"""
def dial(address):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
own = socket.socket(socket.AF_UNIX); own.bind("\\0own"); own.listen(1)
answer["control"] = [trial(dial, "\\0own"), trial(os.kill, os.getpid(), 0)]
for path in ("containerd/containerd.sock", "docker.sock", "crio/crio.sock", "dbus/system_bus_socket"):
    answer[path] = trial(dial, "/run/" + path)
answer["its own"] = trial(dial, {str(pods.cluster.layout.containerd)!r})
for name in {abstract!r}:
    answer["abstract " + name] = trial(dial, "\\0" + name)
for place in ("/var/lib/kubelet/pods/{uid}", "{pods.cluster.directory}/kubelet/pods/{uid}", "/var/log/pods",
              "/run/containerd", "{pods.directory}"):
    answer[place] = trial(os.listdir, place)
answer["kill"] = trial(os.kill, {os.getpid()}, 0)
answer["pids"] = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
answer["run"] = sorted(os.listdir("/run"))
answer["mounts"] = open("/proc/self/mountinfo").read().count("{neighbour.id}")
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("an abstract socket and a process of one's own", found.pop("control") == ["ok", "ok"])
    assert (found.pop("pids"), found.pop("kill"), found.pop("mounts")) == ([1], "ESRCH", 0)
    assert set(found.pop("run")) <= {"jupyter", "sandbox"}
    assert set(found.values()) <= {"ENOENT", "ECONNREFUSED", "EACCES"}, found


@pytest.mark.proves("C01", "C02", "C03", "C05")
async def test_no_secret_outside(pods: PodBench, monkeypatch: pytest.MonkeyPatch, control: Control) -> None:
    """What the launcher knows is in no environment inside, no command line of the node and no object; the
    ticket is in the Secret of the link alone."""
    canary = f"canary{os.urandom(8).hex()}"
    monkeypatch.setenv("HUB_SECRET", canary)
    body = """
answer["environ"] = sorted(open("/proc/1/environ").read().split("\\0"))
import resource
answer["core"] = resource.getrlimit(resource.RLIMIT_CORE)[0]
kinds = {line.split()[4]: line.split(" - ")[1].split()[0] for line in open("/proc/self/mountinfo")}
answer["kinds"] = [kinds.get(place) for place in ("/tmp", "/dev/shm", "/run/jupyter")]
answer["files"] = open("/etc/hosts").read() + open("/etc/resolv.conf").read()
"""
    spec = await pods.running()
    found = await pods.ask(PRELUDE + body + REPORT)
    seen = ("get", "pods,networkpolicies,events,configmaps", "-n", pods.namespace, "-o", "json")
    told = (await asyncio.to_thread(pods.cluster.kubectl, *seen)).stdout
    lines = await asyncio.to_thread(command_lines)
    control("the test's own environment has it", os.environ["HUB_SECRET"] == canary)
    control("objects and command lines of the sandbox were looked at", spec.id in told and spec.id in lines)
    told += lines
    assert canary not in told + json.dumps(found)
    assert f"ticket-of-{spec.id}" not in told + json.dumps(found)
    assert (found["core"], found["kinds"]) == (0, ["tmpfs"] * 3)
    assert "nameserver 127.0.0.1" in found["files"]
