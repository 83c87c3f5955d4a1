"""Does a real pod hold against a program that tries to get out? The local backend's attacks, in a pod.

Its filter of system calls is the runtime's own (RuntimeDefault), so what that leaves open is not asked here.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

import pytest

from tests.backends.test_oci_attacks import PRELUDE, REPORT
from tests.backends.tiny import UID_BASE

from .bench import PodBench

Control = Callable[[str, bool], None]
TCP = """
def tcp(address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(2)
        try:
            client.connect((address, port))
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "nobody answers")
"""
NOWHERE = {"ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EADDRNOTAVAIL"}


@pytest.mark.proves("I01", "I09")
async def test_no_privilege(pods: PodBench, control: Control) -> None:
    """Every capability set is empty, no-new-privileges and a filter are on, the uid is the user's own."""
    body = """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
answer = {key: value.split() for key, value in status.items()}
import pwd
answer["name"] = pwd.getpwuid(os.getuid()).pw_name
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(found[key][0], 16) == 0, key
    assert (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
    own = str(UID_BASE + 1)
    assert (set(found["Uid"]), set(found["Gid"])) == ({own}, {own})
    assert set(found["Groups"]) <= {own}
    control("the uid has a name inside", found["name"] == "jovyan")


@pytest.mark.proves("I13")
async def test_no_account_of_the_cluster(pods: PodBench, control: Control) -> None:
    """There is no token, no variable that says where the API is, and the API does not answer from inside."""
    address = pods.cluster.layout.node_address
    body = f"""
answer["token"] = trial(os.listdir, "/var/run/secrets/kubernetes.io")
environ = dict(part.split("=", 1) for part in open("/proc/1/environ").read().split("\\0") if part)
answer["told"] = {{name: text for name, text in environ.items() if "KUBERNETES" in name and text}}
answer["known"] = sorted(name for name in environ if "KUBERNETES" in name)
{TCP}
answer["api"] = trial(tcp, {address!r}, 6443)
answer["kubelet"] = trial(tcp, {address!r}, 10250)
"""
    with await asyncio.to_thread(socket.create_connection, (address, 6443), 5):
        control("the API server listens there", True)
    found = await pods.ask(PRELUDE + body + REPORT)
    assert (found["token"], found["told"]) == ("ENOENT", {})
    assert {found["api"], found["kubelet"]} <= NOWHERE, found


@pytest.mark.proves("C03", "C04", "I07")
async def test_the_link_is_out_of_reach(pods: PodBench, control: Control) -> None:
    """Ticket and key are in no file, mount, process or shared memory that the user's container can see."""
    body = """
answer["link"] = trial(os.listdir, "/run/link")
answer["pids"] = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
answer["mounts"] = [line for line in open("/proc/self/mountinfo").read().splitlines() if "/run/link" in line]
answer["shm"] = os.listdir("/dev/shm")
answer["doors"] = sorted(os.listdir("/run/sandbox/doors"))
answer["add"] = trial(open, "/run/sandbox/doors/x", "w")
answer["pid1"] = trial(open, "/run/sandbox/inside/__main__.py", "w")
answer["drop"] = trial(os.unlink, "/run/sandbox/doors/boot.sock")
with socket.socket(socket.AF_UNIX) as door:
    answer["control"] = trial(door.connect, "/run/sandbox/doors/boot.sock")
found = ""
for place, _, files in os.walk("/run"):
    for name in files:
        try:
            found += open(os.path.join(place, name), errors="replace").read()
        except OSError:
            pass
answer["ticket"] = "ticket-of-" in found
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("its own doors can be knocked at", found["control"] == "ok")
    assert (found["link"], found["mounts"], found["pids"], found["shm"]) == ("ENOENT", [], [1], [])
    assert found["doors"] == ["api.sock", "boot.sock", "closed", "egress.sock", "ingress.sock"]
    assert {found["add"], found["pid1"], found["drop"]} == {"EROFS"}
    assert found["ticket"] is False


@pytest.mark.proves("I04", "O08")
async def test_read_only_root(pods: PodBench, control: Control) -> None:
    """Nothing but the home, /tmp, /dev/shm and the runtime directory can be written."""
    body = """
def write(path):
    with open(path + "/probe", "w") as stream:
        stream.write("x")
for path in ("/", "/usr", "/usr/bin", "/etc", "/run", "/run/sandbox/doors", "/run/sandbox/inside", "/home",
             os.path.dirname(os.path.dirname(sys.executable)), os.path.dirname(os.__file__)):
    answer[path] = trial(write, path)
answer["control"] = [trial(write, path) for path in ("/home/jovyan", "/tmp", "/dev/shm", "/run/jupyter")]
answer["passwd"] = trial(os.open, "/etc/passwd", os.O_WRONLY)
answer["hosts"] = trial(os.open, "/etc/hosts", os.O_WRONLY)
answer["remount"] = call(165, 0, 0, 0, 32, 0)
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("the four writable places can be written", found.pop("control") == ["ok"] * 4)
    assert set(found.values()) <= {"EROFS", "EACCES", "EPERM"}, found


@pytest.mark.proves("I05", "I06", "I08", "I10")
async def test_no_host_files(pods: PodBench, control: Control) -> None:
    """Kernel knobs, kernel memory, cgroups and devices are absent, empty or read-only."""
    body = """
def read(path):
    try:
        with open(path, "rb") as stream:
            return len(stream.read(4096))
    except OSError as error:
        return errno.errorcode[error.errno]
answer["core_pattern"] = trial(os.open, "/proc/sys/kernel/core_pattern", os.O_WRONLY)
answer["sysrq"] = trial(os.open, "/proc/sysrq-trigger", os.O_WRONLY)
answer["masked"] = [read("/proc/" + name) for name in ("kcore", "keys", "timer_list")]
answer["mknod"] = trial(os.mknod, "/tmp/sda", 0o60600, os.makedev(8, 0))
answer["disks"] = [name for name in os.listdir("/dev") if name.startswith(("sd", "vd", "nvme", "mem", "kvm"))]
answer["sysfs"] = trial(os.open, "/sys/power/state", os.O_WRONLY)
answer["control"] = [read("/proc/meminfo") > 0, read("/proc/sys/kernel/core_pattern") > 0]
answer["host"] = socket.gethostname()
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("other files of /proc can be read", found["control"] == [True, True])
    assert (found["mknod"], found["disks"], found["host"]) == ("EPERM", [], "sandbox")
    assert {found["core_pattern"], found["sysrq"], found["sysfs"]} <= {"EROFS", "ENOENT", "EACCES"}
    assert set(found["masked"]) <= {0, "ENOENT", "EACCES", "EIO"}, found["masked"]


@pytest.mark.proves("O01", "E06")
async def test_no_way_to_anybody(pods: PodBench, control: Control) -> None:
    """No other pod, no node, no name, no raw packet: only what the policy leaves, the gateway's port."""
    neighbour = await pods.running(pods.spec(user="bob", host_uid=UID_BASE + 2))
    there = await pods.backend.status(neighbour.id)
    assert there is not None
    with socket.create_server((pods.cluster.host_address, 0)) as other:
        body = f"""
{TCP}
answer["pod"] = trial(tcp, {there.address!r}, 8888)
answer["machine"] = trial(tcp, {pods.cluster.host_address!r}, {other.getsockname()[1]})
answer["raw"] = trial(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
answer["packet"] = trial(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
try:
    socket.getaddrinfo("kubernetes.default.svc", 443)
    answer["name"] = "ok"
except socket.gaierror as error:
    answer["name"] = "none"
answer["resolver"] = [line for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
server = socket.create_server(("127.0.0.1", 0))
answer["control"] = trial(tcp, "127.0.0.1", server.getsockname()[1])
"""
        found = await pods.ask(PRELUDE + body + REPORT)
    control("a server on the sandbox's own loopback answers", found["control"] == "ok")
    assert {found["pod"], found["machine"]} <= NOWHERE, found
    assert {found["raw"], found["packet"]} <= {"EPERM", "EACCES"}, found
    assert (found["name"], found["resolver"]) == ("none", ["nameserver 127.0.0.1\n"])


@pytest.mark.proves("E06")
async def test_the_gateways_port_is_open(pods: PodBench, control: Control) -> None:
    """The policy leaves the one way that the link needs: the positive control of all that is closed."""
    with socket.create_server((pods.cluster.host_address, 8444)):
        body = f"{TCP}\nanswer['gateway'] = trial(tcp, {pods.cluster.host_address!r}, 8444)\n"
        found = await pods.ask(PRELUDE + body + REPORT)
    control("the gateway's port can be reached", found["gateway"] == "ok")
    assert found == {"gateway": "ok"}


@pytest.mark.proves("Q02")
async def test_out_of_memory(pods: PodBench, control: Control) -> None:
    """Whoever takes twice the memory ends alone, and the end says so."""
    neighbour = await pods.running(pods.spec(user="bob"))
    status, text = await pods.play('print("begins", flush=True)\nx = b"x" * (600 << 20)\nprint("got it")\n')
    control("it had begun", "begins" in text)
    assert "got it" not in text
    assert (status.value, status.exit_code) == ("stopped", 137)
    assert "out of memory" in status.reason
    still = await pods.backend.status(neighbour.id)
    assert still is not None
    assert still.value == "running"


@pytest.mark.proves("Q03")
async def test_memory_places_are_full(pods: PodBench, control: Control) -> None:
    """/tmp and /dev/shm end where the profile says, and the node's disk is not behind them."""
    body = """
def fill(path):
    size = 0
    with open(path, "wb", buffering=0) as stream:
        while True:
            try:
                size += stream.write(bytes(1 << 20))
            except OSError as error:
                answer[path] = [size, errno.errorcode[error.errno]]
                os.unlink(path)
                return
fill("/tmp/x")
fill("/dev/shm/x")
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("something can be written", found["/tmp/x"][0] > 0)
    assert found["/tmp/x"][0] <= 8 << 20
    assert found["/dev/shm/x"][0] <= 64 << 20
    assert {found["/tmp/x"][1], found["/dev/shm/x"][1]} == {"ENOSPC"}


@pytest.mark.proves("Q03")
async def test_no_part_of_the_nodes_disk(pods: PodBench, control: Control) -> None:
    """The file for last words, which kubelets show every container, is where the user does not come."""
    body = """
answer["usual"] = trial(open, "/dev/termination-log", "w")
answer["ours"] = trial(open, "/run/sandbox/doors/closed/end", "w")
answer["look"] = trial(os.listdir, "/run/sandbox/doors/closed")
answer["mode"] = trial(os.chmod, "/run/sandbox/doors/closed", 0o777)
answer["control"] = "/run/sandbox/doors/closed/end" in open("/proc/self/mountinfo").read()
"""
    found = await pods.ask(PRELUDE + body + REPORT)
    control("the kubelet has put the file there", found["control"])
    assert found["usual"] in {"ENOENT", "EACCES", "EROFS"}
    assert (found["ours"], found["look"]) == ("EACCES", "EACCES")
    assert found["mode"] in {"EPERM", "EROFS"}


@pytest.mark.proves("I14")
async def test_what_the_cluster_keeps(pods: PodBench, control: Control) -> None:
    """The cluster took every hardened field as it was asked; Pod Security `restricted` is on."""
    spec = await pods.running()
    pod = await asyncio.to_thread(pods.pod, spec)
    control("it runs", pod["status"]["phase"] == "Running")
    (user,), (link,) = pod["spec"]["containers"], pod["spec"]["initContainers"]
    for container, uid in ((user, spec.host_uid), (link, 64_000)):
        context = container["securityContext"]
        assert (context["runAsUser"], context["readOnlyRootFilesystem"]) == (uid, True)
        assert (context["capabilities"], context["allowPrivilegeEscalation"]) == ({"drop": ["ALL"]}, False)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "ticket-of-" not in json.dumps(pod)
    space = await asyncio.to_thread(pods.cluster.get, "namespace", pods.namespace)
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
