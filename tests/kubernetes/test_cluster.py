"""Is the test cluster a real one: does it refuse, isolate, give volumes, and leave nothing behind?"""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub_config.kubernetes.cluster.room import processes
from tests.lanes import CHECKOUT
from tests.support.cluster import Cluster, ClusterError, restricted_pod, running_cluster

pytestmark = [pytest.mark.lane("cluster"), pytest.mark.timeout(300)]

SLEEP = ("sleep", "infinity")
SERVE = ("sh", "-c", "echo here >/tmp/index.html && exec httpd -f -p 8080 -h /tmp")
SCRATCH: dict[str, Any] = {"volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}]}
Control = Callable[[str, bool], None]


def placed(namespace: str, pod: dict[str, Any]) -> dict[str, Any]:
    """The pod, in this namespace."""
    pod["metadata"]["namespace"] = namespace
    return pod


def server(namespace: str, name: str = "server") -> dict[str, Any]:
    """A pod that answers at 8080."""
    pod = placed(namespace, restricted_pod(name, SERVE, **SCRATCH))
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    return pod


def policy(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """A NetworkPolicy."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def fetches(cluster: Cluster, namespace: str, pod: str, url: str) -> bool:
    """Does a pod get an answer from this URL, within two seconds? (wget -T of this busybox crashes.)"""
    status, said = cluster.run_in(namespace, pod, ["timeout", "2", "wget", "-q", "-O", "-", url])
    return status == 0 and "here" in said


@contextmanager
def listening(address: str) -> Iterator[str]:
    """A web server of this machine on that address; its URL."""
    with socket.create_server((address, 0)) as door:

        def serve() -> None:
            while True:
                try:
                    with door.accept()[0] as caller:
                        caller.recv(4096)
                        caller.sendall(b"HTTP/1.0 200 OK\r\n\r\nhere\n")
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://{address}:{door.getsockname()[1]}/"
        door.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def two_pods(cluster: Cluster, namespace: str) -> tuple[str, str]:
    """Pods `client` and `server` that run; the namespace, and the server's URL."""
    cluster.apply(placed(namespace, restricted_pod("client", SLEEP)), server(namespace))
    cluster.wait_for_pod(namespace, "client")
    url = f"http://{cluster.wait_for_pod(namespace, 'server')}:8080/"
    cluster.until(lambda: fetches(cluster, namespace, "client", url))
    return namespace, url


def test_a_restricted_pod_is_accepted_and_runs(cluster: Cluster, namespace: str) -> None:
    """It runs as its own uid without capabilities, with seccomp, and its root cannot be written."""
    cluster.apply(placed(namespace, restricted_pod("good", SLEEP)))
    cluster.wait_for_pod(namespace, "good")
    status, said = cluster.run_in(namespace, "good", ["cat", "/proc/1/status"])
    facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    assert status == 0
    assert facts["Uid"].split() == ["1000"] * 4
    assert int(facts["CapBnd"], 16) == 0
    assert facts["Seccomp"].strip() == "2"
    assert facts["NoNewPrivs"].strip() == "1"
    assert cluster.run_in(namespace, "good", ["touch", "/here"])[0] != 0


def weaken(change: str) -> dict[str, Any]:
    """The restricted pod with one weakness."""
    pod = copy.deepcopy(restricted_pod("weak", SLEEP))
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    if change == "plain":
        del spec["securityContext"], container["securityContext"]
    elif change == "privileged":
        container["securityContext"] = {"privileged": True}
    elif change == "root":
        spec["securityContext"]["runAsUser"] = 0
    elif change == "host":
        spec["hostNetwork"] = True
    else:
        spec["volumes"] = [{"name": "root", "hostPath": {"path": "/"}}]
    return pod


WEAKNESSES = {
    "plain": ("allowPrivilegeEscalation", "unrestricted capabilities", "runAsNonRoot", "seccompProfile"),
    "privileged": ("privileged",),
    "root": ("runAsUser=0",),
    "host": ("host namespaces",),
    "path": ("hostPath",),
}  # fmt: skip


@pytest.mark.parametrize("change", WEAKNESSES)
def test_a_weakened_pod_is_refused_with_the_reasons(
    cluster: Cluster, namespace: str, control: Control, change: str
) -> None:
    """Pod Security `restricted` names what is wrong; the same pod unchanged is accepted."""
    cluster.kubectl(
        "create",
        "--dry-run=server",
        "-f",
        "-",
        "-n",
        namespace,
        stdin=json.dumps(restricted_pod("weak", SLEEP)),
    )
    control("the pod without the weakness is accepted", True)
    with pytest.raises(ClusterError, match='violates PodSecurity "restricted') as refused:
        cluster.apply(placed(namespace, weaken(change)))
    for reason in WEAKNESSES[change]:
        assert reason in str(refused.value)


def test_a_policy_is_enforced_with_the_agent_and_not_without(
    cluster: Cluster, two_pods: tuple[str, str], control: Control
) -> None:
    """Egress is cut by a default deny; with the agent off the same policy does nothing."""
    namespace, url = two_pods
    control("without a policy the server is reached", fetches(cluster, namespace, "client", url))
    cluster.apply(
        policy(namespace, "deny", podSelector={"matchLabels": {"app": "client"}}, policyTypes=["Egress"])
    )
    cluster.until(lambda: not fetches(cluster, namespace, "client", url), 20)
    cluster.enforce(on=False)
    try:
        control("without the agent it is reached again", fetches(cluster, namespace, "client", url))
    finally:
        cluster.enforce(on=True)
    assert not fetches(cluster, namespace, "client", url)


def test_a_default_deny_cuts_everything_and_an_exception_opens_one_way(
    cluster: Cluster, two_pods: tuple[str, str], control: Control
) -> None:
    """Pods, the node's API server and the host are out of reach; then one port of one pod is not."""
    namespace, url = two_pods
    api = f"{cluster.layout.node_address} 6443"
    reach = ["sh", "-c", f"nc -w 2 {api} </dev/null"]
    with listening(cluster.host_address) as host:
        control("the host is reached", fetches(cluster, namespace, "client", host))
        control("the API server is reached", cluster.run_in(namespace, "client", reach)[0] == 0)
        cluster.apply(policy(namespace, "deny", podSelector={}, policyTypes=["Ingress", "Egress"]))
        cluster.until(lambda: not fetches(cluster, namespace, "client", url), 20)
        assert not fetches(cluster, namespace, "client", host)
        assert cluster.run_in(namespace, "client", reach)[0] != 0
        port = [{"port": 8080}]
        cluster.apply(
            policy(namespace, "out", podSelector={"matchLabels": {"app": "client"}}, policyTypes=["Egress"],
                   egress=[{"to": [{"podSelector": {"matchLabels": {"app": "server"}}}], "ports": port}]),
            policy(namespace, "in", podSelector={"matchLabels": {"app": "server"}}, policyTypes=["Ingress"],
                   ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": port}]),
        )  # fmt: skip
        cluster.until(lambda: fetches(cluster, namespace, "client", url), 20)
        assert not fetches(cluster, namespace, "client", host)


def test_a_policy_of_another_namespace_counts_by_its_labels(
    cluster: Cluster, two_pods: tuple[str, str], control: Control
) -> None:
    """Ingress from namespaces with a label is closed to one that lacks it, and open when it has it."""
    namespace, url = two_pods
    who = [{"namespaceSelector": {"matchLabels": {"may": "enter"}}}]
    cluster.apply(
        policy(namespace, "labelled", podSelector={"matchLabels": {"app": "server"}}, ingress=[{"from": who}])
    )
    cluster.until(lambda: not fetches(cluster, namespace, "client", url), 20)
    cluster.kubectl("label", "namespace", namespace, "may=enter")
    cluster.until(lambda: fetches(cluster, namespace, "client", url), 20)
    control("the label opens it", True)


def test_probes_of_the_kubelet_pass_a_default_deny(cluster: Cluster, namespace: str) -> None:
    """The node itself reaches its pods whatever policies say."""
    cluster.apply(policy(namespace, "deny", podSelector={}, policyTypes=["Ingress", "Egress"]))
    pod = server(namespace)
    pod["spec"]["containers"][0]["readinessProbe"] = {
        "httpGet": {"path": "/", "port": 8080},
        "periodSeconds": 1,
    }
    cluster.apply(pod)
    path = "{.status.conditions[?(@.type=='Ready')].status}"
    cluster.until(
        lambda: (
            cluster.kubectl("get", "pod", "server", "-n", namespace, "-o", f"jsonpath={path}").stdout
            == "True"
        )
    )


def test_rights_are_those_of_the_role(cluster: Cluster, namespace: str) -> None:
    """`can-i` says no without a Role, and yes to what the Role lists, in its namespace alone."""
    who = f"--as=system:serviceaccount:{namespace}:robot"
    ask = ("auth", "can-i", "create", "pods", who)
    cluster.kubectl("create", "serviceaccount", "robot", "-n", namespace)
    assert cluster.kubectl(*ask, "-n", namespace, check=False).stdout.strip() == "no"
    cluster.kubectl("create", "role", "maker", "--verb=create", "--resource=pods", "-n", namespace)
    cluster.kubectl(
        "create",
        "rolebinding",
        "maker",
        "--role=maker",
        f"--serviceaccount={namespace}:robot",
        "-n",
        namespace,
    )
    assert cluster.kubectl(*ask, "-n", namespace, check=False).stdout.strip() == "yes"
    assert cluster.kubectl(*ask, "-n", "default", check=False).stdout.strip() == "no"


def test_a_claim_gets_a_volume_that_belongs_to_the_pods_group(cluster: Cluster, namespace: str) -> None:
    """It outlives its pod, and goes with its claim."""
    meta = {"name": "home", "namespace": namespace}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})
    for number, words in enumerate((["sh", "-c", "echo kept >/home/file"], ["grep", "kept", "/home/file"])):
        pod = placed(namespace, restricted_pod(f"p{number}", words, restartPolicy="Never"))
        pod["spec"]["securityContext"]["fsGroup"] = 1000
        pod["spec"]["volumes"] = [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "home", "mountPath": "/home"}]
        cluster.apply(pod)
        cluster.wait_for_pod(namespace, f"p{number}", "Succeeded")
    volume = cluster.get("pvc", "home", "-n", namespace)["spec"]["volumeName"]
    directory = cluster.directory / "volumes" / volume
    assert (directory / "file").read_text() == "kept\n"
    cluster.kubectl("delete", "pod", "p0", "p1", "-n", namespace)
    cluster.kubectl("delete", "pvc", "home", "-n", namespace)
    cluster.until(lambda: cluster.kubectl("get", "pv", volume, check=False).returncode != 0)
    assert not directory.exists()


def test_a_service_leads_to_its_pod(cluster: Cluster, two_pods: tuple[str, str]) -> None:
    """From another pod and from this machine, by the Service's address."""
    namespace, _ = two_pods
    cluster.kubectl("expose", "pod", "server", "--port=80", "--target-port=8080", "-n", namespace)
    address = cluster.get("service", "server", "-n", namespace)["spec"]["clusterIP"]
    cluster.until(lambda: fetches(cluster, namespace, "client", f"http://{address}/"))
    with socket.create_connection((address, 80), timeout=10) as caller:
        caller.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in caller.recv(4096)


def test_a_service_is_found_by_its_name_where_policies_allow_the_name_server(
    cluster: Cluster, two_pods: tuple[str, str], control: Control
) -> None:
    """A default deny takes the names away; the usual exception for kube-dns gives them back."""
    namespace, _ = two_pods
    cluster.kubectl("expose", "pod", "server", "--port=80", "--target-port=8080", "-n", namespace)
    ask = ["nslookup", f"server.{namespace}.svc.cluster.local"]
    address = cluster.get("service", "server", "-n", namespace)["spec"]["clusterIP"]
    cluster.until(lambda: address in cluster.run_in(namespace, "client", ask)[1], 20)
    control("the name is found", True)
    cluster.apply(policy(namespace, "deny", podSelector={}, policyTypes=["Ingress", "Egress"]))
    cluster.until(lambda: address not in cluster.run_in(namespace, "client", ask)[1], 30)
    dns = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    rule = {"to": [dns], "ports": [{"port": 53, "protocol": "UDP"}]}
    cluster.apply(policy(namespace, "dns", podSelector={}, policyTypes=["Egress"], egress=[rule]))
    cluster.until(lambda: address in cluster.run_in(namespace, "client", ask)[1], 30)


def test_it_goes_on_after_its_api_server_was_killed(cluster: Cluster, two_pods: tuple[str, str]) -> None:
    """Pods run meanwhile; everything stored is there when it is back."""
    namespace, url = two_pods
    os.kill(cluster.pid("kube-apiserver"), 9)
    cluster.until(lambda: not cluster.pid("kube-apiserver"))
    cluster.start("kube-apiserver")
    cluster.wait_for_api()
    assert cluster.pod(namespace, "server")["status"]["phase"] == "Running"
    cluster.until(lambda: fetches(cluster, namespace, "client", url))


def left_of(link: str, directory: Path) -> list[str]:
    """What of a cluster is on this machine."""
    mounts = [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line
    ]
    groups = [str(path) for pattern in (link, f"*/{link}") for path in Path("/sys/fs/cgroup").glob(pattern)]
    devices = [name for name in os.listdir("/sys/class/net") if name.startswith(link)]
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    return [*mounts, *groups, *devices, *(line for line in routes.splitlines() if link in line)]


def test_two_clusters_do_not_meet_and_one_that_ends_leaves_nothing(cluster: Cluster) -> None:
    """Another one runs a pod; afterwards no process, mount, device, cgroup, route or file of it is left."""
    with running_cluster() as other:
        other.make_namespace("apart")
        other.apply(placed("apart", restricted_pod("alone", SLEEP)))
        other.wait_for_pod("apart", "alone")
        assert "apart" not in cluster.kubectl("get", "namespaces").stdout
        link, directory, inside = other.layout.link, other.directory, processes(other.first)
        assert len(inside) > 9
        assert left_of(link, directory)
    assert [number for number in inside if Path(f"/proc/{number}").exists()] == []
    assert left_of(link, directory) == []
    assert not directory.exists()
    assert cluster.node_is_ready()


def test_the_command_says_what_runs(cluster: Cluster) -> None:
    """`scripts/cluster status` ends with 0 while the node is Ready, and names each program's number."""
    command = [str(CHECKOUT / "scripts/cluster"), "--at", str(cluster.directory), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"kubelet                  {cluster.pid('kubelet')}" in done.stdout


def test_the_command_says_where_there_is_no_cluster(tmp_path: Path) -> None:
    """It ends with 1 and the remedy."""
    command = [str(CHECKOUT / "scripts/cluster"), "--at", str(tmp_path), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "run: scripts/cluster up" in done.stderr
