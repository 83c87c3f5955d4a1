"""Is every pod that would open a sandbox refused, by the guard that is meant for it?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.check import check, judge_made
from jupyter_sandbox_spawner.backends.kubernetes.render import merge, render_pod
from jupyter_sandbox_spawner.errors import IsolationError
from tests.backends.kubernetes_facts import CLUSTER, PLACE, SPEC

Pod = dict[str, Any]
Change = Callable[[Pod], Any]
MORE = {"name": "more", "image": "x"}
KUBE_VARIABLE = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": SPEC.id, "key": "ticket"}}}
_SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"


def _spec(name: str, value: Any) -> Change:
    return lambda pod: pod["spec"].update({name: value})


def _drop(name: str) -> Change:
    return lambda pod: pod["spec"].pop(name)


def _user(name: str, value: Any) -> Change:
    return lambda pod: pod["spec"]["containers"][0].update({name: value})


def _link(name: str, value: Any) -> Change:
    return lambda pod: pod["spec"]["initContainers"][0].update({name: value})


def _safe(name: str, value: Any, kind: str = "containers") -> Change:
    return lambda pod: pod["spec"][kind][0]["securityContext"].update({name: value})


def _pod_safe(name: str, value: Any) -> Change:
    return lambda pod: pod["spec"]["securityContext"].update({name: value})


def _limit(name: str, value: Any, kind: str = "limits") -> Change:
    return lambda pod: pod["spec"]["containers"][0]["resources"][kind].update({name: value})


def _volume(name: str, value: Any) -> Change:
    def change(pod: Pod) -> None:
        volumes = pod["spec"]["volumes"]
        volumes[:] = [item for item in volumes if item["name"] != name] + [{"name": name, **value}]

    return change


def _mount(target: str, **fields: Any) -> Change:
    def change(pod: Pod) -> None:
        mounts = pod["spec"]["containers"][0]["volumeMounts"]
        next(item for item in mounts if item["mountPath"] == target).update(fields)

    return change


def _extra(**fields: Any) -> Change:
    return lambda pod: pod["spec"]["containers"][0]["volumeMounts"].append(fields)


def _without(target: str) -> Change:
    def change(pod: Pod) -> None:
        mounts = pod["spec"]["containers"][0]["volumeMounts"]
        mounts[:] = [item for item in mounts if item["mountPath"] != target]

    return change


def _meta(name: str, value: Any) -> Change:
    return lambda pod: pod["metadata"].update({name: value})


def _note(name: str) -> Change:
    return lambda pod: pod["metadata"]["annotations"].update({name: "x"})


def _label(name: str, value: str) -> Change:
    return lambda pod: pod["metadata"]["labels"].update({f"jupyter-sandbox-spawner/{name}": value})


SECRET = {"secretName": SPEC.id, "items": [{"key": "ticket", "path": "passwd"}], "defaultMode": 0o444}
PROJECTED = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
PROBE = {"exec": {"command": ["sh"]}}
OPENINGS: dict[str, tuple[Change, str]] = {
    "node's network": (_spec("hostNetwork", True), "network"),
    "node's processes": (_spec("hostPID", True), "namespace_missing"),
    "node's memory": (_spec("hostIPC", True), "namespace_missing"),
    "node's users": (_spec("hostUsers", True), "namespace_missing"),
    "users by absence": (_drop("hostUsers"), "namespace_missing"),
    "shared processes": (_spec("shareProcessNamespace", True), "namespace_missing"),
    "shared processes by absence": (_drop("shareProcessNamespace"), "namespace_missing"),
    "host aliases": (_spec("hostAliases", [{"ip": "1.2.3.4", "hostnames": ["x"]}]), "dns"),
    "the cluster's DNS": (_spec("dnsPolicy", "ClusterFirst"), "dns"),
    "another name server": (_spec("dnsConfig", {"nameservers": ["8.8.8.8"]}), "dns"),
    "search domains": (_spec("dnsConfig", {"nameservers": ["127.0.0.1"], "searches": ["x"]}), "dns"),
    "token of an account": (_spec("automountServiceAccountToken", True), "service_account"),
    "token by absence": (_drop("automountServiceAccountToken"), "service_account"),
    "an account": (_spec("serviceAccountName", "launcher"), "service_account"),
    "service links": (_spec("enableServiceLinks", True), "environment"),
    "a third container": (lambda pod: pod["spec"]["containers"].append(MORE), "containers"),
    "another init container": (lambda pod: pod["spec"]["initContainers"].append(MORE), "containers"),
    "no link": (_spec("initContainers", []), "containers"),
    "a debugger": (_spec("ephemeralContainers", [MORE]), "containers"),
    "another name": (_user("name", "other"), "containers"),
    "image": (_user("image", "alpine"), "image"),
    "the link's image": (_link("image", "alpine"), "image"),
    "pull policy": (_user("imagePullPolicy", "Always"), "image"),
    "command": (_user("command", ["sh"]), "command"),
    "arguments": (_user("args", ["-c"]), "command"),
    "the link's command": (_link("command", ["sh"]), "command"),
    "a hook": (_user("lifecycle", {"postStart": PROBE}), "command"),
    "another hook of the link": (_link("lifecycle", {"postStart": PROBE}), "command"),
    "a link that ends": (_link("restartPolicy", None), "command"),
    "a probe": (_user("livenessProbe", PROBE), "command"),
    "the link's variables": (_link("env", [{"name": "X", "value": "y"}]), "command"),
    "a port": (_user("ports", [{"containerPort": 8888, "hostPort": 8888}]), "network"),
    "a variable": (
        lambda pod: pod["spec"]["containers"][0]["env"].append(dict(MORE, value="")),
        "unknown_field",
    ),
    "a variable's value": (_user("env", [{"name": "PATH", "value": "/bin"}]), "environment"),
    "a secret variable": (_user("env", [KUBE_VARIABLE]), "unknown_field"),
    "all of a secret": (_user("envFrom", [{"secretRef": {"name": SPEC.id}}]), "environment"),
    "a terminal": (_user("tty", True), "terminal"),
    "a device": (_user("volumeDevices", [{"name": "x", "devicePath": "/dev/x"}]), "devices"),
    "restarts": (_spec("restartPolicy", "Always"), "life"),
    "a deadline": (_spec("activeDeadlineSeconds", 60), "life"),
    "a long farewell": (_spec("terminationGracePeriodSeconds", 86400), "life"),
    "a container that comes back": (_user("restartPolicy", "Always"), "life"),
    "another owner": (_meta("ownerReferences", [{"kind": "Pod", "name": "x", "uid": "y"}]), "life"),
    "a node": (_spec("nodeName", "n1"), "unknown_field"),
    "a field of tomorrow": (_spec("hostSomething", True), "unknown_field"),
    "a container's field of tomorrow": (_user("somethingElse", 1), "unknown_field"),
    "a message elsewhere": (_user("terminationMessagePath", "/dev/termination-log"), "log"),
    "a message by default": (lambda pod: pod["spec"]["containers"][0].pop("terminationMessagePath"), "log"),
    "what it printed": (_user("terminationMessagePolicy", "FallbackToLogsOnError"), "log"),
    "privileged": (_safe("privileged", True), "capabilities"),
    "a capability": (_safe("capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}), "capabilities"),
    "fewer dropped": (_safe("capabilities", {"drop": ["NET_RAW"]}), "capabilities"),
    "new privileges": (_safe("allowPrivilegeEscalation", True), "new_privileges"),
    "writable root": (_safe("readOnlyRootFilesystem", False), "root"),
    "all of /proc": (_safe("procMount", "Unmasked"), "user"),
    "no seccomp": (_safe("seccompProfile", {"type": "Unconfined"}), "seccomp"),
    "no seccomp of the pod": (_pod_safe("seccompProfile", {"type": "Unconfined"}), "seccomp"),
    "seccomp by annotation": (
        _meta("annotations", {"container.seccomp.security.alpha.kubernetes.io/sandbox": "unconfined"}),
        "seccomp",
    ),
    "another's mark": (
        lambda pod: pod["metadata"]["labels"].update({"jupyter-sandbox-spawner/canary": "x"}),
        "label",
    ),
    "a command as root": (_note("org.systemd.property.ExecStopPost"), "annotation"),
    "an unknown domain": (_note("unheard.example/of"), "annotation"),
    "no domain at all": (_note("note"), "annotation"),
    "nearly ours": (_note("jupyter-sandbox-spawner.example/user"), "annotation"),
    "a second network": (_note("k8s.v1.cni.cncf.io/networks"), "annotation"),
    "another pod's address": (_note("cni.projectcalico.org/ipAddrs"), "annotation"),
    "an address that is told": (_note("cni.projectcalico.org/podIP"), "annotation"),
    "a device by note": (_note("devices.nri.io/container.sandbox"), "annotation"),
    "an order without a domain": (_note("io.kubernetes.cri-o.userns-mode"), "annotation"),
    "another virtual machine": (_note("io.katacontainers.config.hypervisor.path"), "annotation"),
    "a forged owner": (_note("jupyter-sandbox-spawner/user"), "label"),
    "a note of ours": (_note("jupyter-sandbox-spawner/more"), "label"),
    "no owner": (lambda pod: pod["metadata"]["annotations"].clear(), "label"),
    "a priority of the nodes": (_spec("priorityClassName", "system-node-critical"), "priority"),
    "a priority of the cluster by number": (_spec("priority", 2_000_001_000), "priority"),
    "AppArmor": (_safe("appArmorProfile", {"type": "Unconfined"}), "user"),
    "SELinux": (_safe("seLinuxOptions", {"type": "spc_t"}), "user"),
    "root": (_safe("runAsUser", 0), "user"),
    "another user": (_safe("runAsUser", 10_002), "user"),
    "the link's user": (_safe("runAsUser", 64_000), "user"),
    "the user's link": (_safe("runAsUser", 10_001, "initContainers"), "user"),
    "root's group": (_safe("runAsGroup", 0), "user"),
    "further groups": (_pod_safe("supplementalGroups", [0]), "user"),
    "another group's files": (_pod_safe("fsGroup", 0), "user"),
    "a setting of the kernel": (_pod_safe("sysctls", [{"name": "net.x", "value": "1"}]), "user"),
    "a Windows host": (_pod_safe("windowsOptions", {"hostProcess": True}), "user"),
    "the node's disk": (_volume("tmp", {"hostPath": {"path": "/"}}), "mount_source"),
    "a further volume": (_volume("x", {"hostPath": {"path": "/"}}), "mount_source"),
    "a token's volume": (_volume("x", {"projected": PROJECTED}), "mount_source"),
    "the ticket in /etc": (_volume("etc", {"secret": SECRET}), "mount_source"),
    "another's Secret": (_volume("etc", {"secret": {**SECRET, "secretName": "x"}}), "mount_source"),
    "another's home": (_volume("home", {"persistentVolumeClaim": {"claimName": "bob"}}), "mount_source"),
    "memory on disk": (_volume("tmp", {"emptyDir": {"sizeLimit": "1Mi"}}), "mount_source"),
    "endless memory": (_volume("tmp", {"emptyDir": {"medium": "Memory"}}), "mount_source"),
    "more memory": (
        _volume("tmp", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}),
        "mount_unlimited",
    ),
    "two of a name": (
        lambda pod: pod["spec"]["volumes"].append(dict(pod["spec"]["volumes"][0])),
        "mount_source",
    ),
    "a volume less": (lambda pod: pod["spec"]["volumes"].pop(), "mount_missing"),
    "the key in the user's container": (
        _extra(name="memory", mountPath="/x", readOnly=True),
        "mount_target",
    ),
    "the ticket in the user's container": (
        _mount("/run/jupyter", name="secret"),
        "mount_source",
    ),
    "writable doors": (_mount("/run/sandbox/doors", readOnly=False), "mount_writable"),
    "writable pid 1": (_mount("/run/sandbox/inside", readOnly=False), "mount_writable"),
    "writable passwd": (_mount("/etc/passwd", readOnly=False), "mount_writable"),
    "all of the Secret": (_mount("/etc/passwd", subPath=""), "mount_source"),
    "a path by variable": (_mount("/home/jovyan", subPathExpr="$(X)"), "unknown_field"),
    "mounts that spread": (_mount("/home/jovyan", mountPropagation="Bidirectional"), "mount_options"),
    "no doors": (_without("/run/sandbox/doors"), "mount_missing"),
    "the image's passwd": (_without("/etc/passwd"), "mount_missing"),
    "more memory than the spec": (_limit("memory", "2Gi"), "limit"),
    "endless processors": (_user("resources", {"limits": {"memory": "1Gi"}}), "limit"),
    "no limits": (_user("resources", {}), "limit"),
    "more of the disk": (_limit("ephemeral-storage", "1Gi"), "limit"),
    "a request beyond the limit": (_limit("cpu", "2", "requests"), "limit"),
    "a GPU": (_limit("nvidia.com/gpu", "1"), "devices"),
    "huge pages": (_limit("hugepages-2Mi", "1Gi"), "devices"),
    "a claimed device": (_spec("resourceClaims", [{"name": "gpu"}]), "devices"),
    "another runtime": (_spec("runtimeClassName", "nvidia"), "runtime"),
    "another's label": (_label("sandbox", "sb-" + "b" * 20), "label"),
    "another site": (_label("site", "x"), "label"),
    "another namespace": (_meta("namespace", "kube-system"), "label"),
    "another pod's name": (_meta("name", "x"), "label"),
    "host name": (_spec("hostname", "hub"), "host_name"),
    "not a pod": (lambda pod: pod.update(kind="Deployment"), "malformed"),
    "volumes of nothing": (_spec("volumes", [None]), "malformed"),
    "an odd quantity": (_limit("memory", "much"), "malformed"),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_opening_is_refused(name: str, control: Callable[[str, bool], None]) -> None:
    """A pod that differs from the rendered one in one opening is refused with that guard's code."""
    pod = copy.deepcopy(render_pod(SPEC, PLACE))
    check(pod, SPEC, PLACE)
    control("the same pod without the opening passes", True)
    change, code = OPENINGS[name]
    change(pod)
    with pytest.raises(IsolationError) as refused:
        check(pod, SPEC, PLACE)
    assert refused.value.code == f"isolation.{code}"
    if name not in ("a node", "an address that is told"):  # which the cluster alone says
        with pytest.raises(IsolationError, match="The cluster changed"):
            judge_made(pod, SPEC, PLACE)
    assert refused.value.field
    assert refused.value.remedy


@pytest.mark.parametrize(
    "overlay",
    [
        {"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}], "priorityClassName": "low"}},
        {"spec": {"nodeSelector": {"pool": "users"}, "affinity": {"nodeAffinity": {}}}},
        {"spec": {"containers": [{"name": "sandbox", "resources": {"requests": {"cpu": "10m"}}}]}},
        {"spec": {"containers": [{"name": "sandbox", "resources": {"limits": {"memory": "512Mi"}}}]}},
        {"metadata": {"labels": {"cost-centre": "42"}, "annotations": {_SAFE: "x", "own.example/a": "x"}}},
        {"spec": {"volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}]}},
    ],
)
def test_harmless_overlay_passes(overlay: Pod) -> None:
    """An overlay may place a pod, lower limits and requests, and add labels; memory may be less."""
    pod = merge(render_pod(SPEC, PLACE), overlay)
    if pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "512Mi":
        pod["spec"]["containers"][0]["resources"]["requests"]["memory"] = "512Mi"
    check(pod, SPEC, replace(PLACE, cluster=replace(CLUSTER, pod_annotations=("own.example/",))))


def test_what_the_cluster_adds_passes() -> None:
    """Defaults, canonical quantities and tolerations of an API server (1.34) do not make it another pod."""
    pod = copy.deepcopy(render_pod(SPEC, PLACE))
    pod["metadata"].update(
        uid="u", resourceVersion="1", generation=1, creationTimestamp="x", managedFields=[]
    )
    pod["status"] = {"phase": "Pending", "qosClass": "Guaranteed"}
    pod["spec"].update(
        schedulerName="default-scheduler",
        serviceAccountName="default",
        serviceAccount="default",
        priority=0,
        preemptionPolicy="PreemptLowerPriority",
        tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
    )
    for kind in ("containers", "initContainers"):
        for container in pod["spec"][kind]:
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container["terminationMessagePolicy"] = "File"
            for item in container.get("env", []):
                if not item["value"]:
                    del item["value"]
            for mount in container["volumeMounts"]:
                if not mount["readOnly"]:
                    del mount["readOnly"]
    pod["spec"]["containers"][0]["resources"]["limits"].update(memory="1Gi", cpu="1.5")
    pod["spec"]["containers"][0]["resources"]["requests"].update(memory="1Gi")
    check(pod, SPEC, PLACE)


def test_what_only_the_cluster_notes_passes(control: Callable[[str, bool], None]) -> None:
    """Node, addresses and what an admin has listed may stand on a made pod, and on no other."""
    pod = copy.deepcopy(render_pod(SPEC, PLACE))
    pod["metadata"]["annotations"] |= {
        "cni.projectcalico.org/podIP": "10.1.1.1/32",
        "kubernetes.io/limit-ranger": "x",
        "k8s.ovn.org/pod-networks": "{}",
    }
    pod["metadata"]["deletionTimestamp"] = "x"
    pod["spec"]["nodeName"] = "n1"
    place = replace(PLACE, cluster=replace(CLUSTER, pod_annotations=("k8s.ovn.org/pod-networks",)))
    judge_made(pod, SPEC, place)
    with pytest.raises(IsolationError, match="ovn"):
        judge_made(pod, SPEC, PLACE)
    with pytest.raises(IsolationError):
        check(pod, SPEC, place)
    _note("k8s.v1.cni.cncf.io/networks")(pod)
    with pytest.raises(IsolationError, match="networks"):
        judge_made(pod, SPEC, place)
    control("the same pod before the note passes", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda pod: pod["spec"]["containers"].append({"name": "istio-proxy", "image": "x"}),
            "istio-injection",
        ),
        (_user("imagePullPolicy", "Always"), "AlwaysPullImages"),
        (_limit("memory", "2Gi"), "limitrange"),
        (_spec("schedulerHint", "x"), "namespaceSelector"),
    ],
)
def test_who_changed_a_made_pod(change: Change, words: str) -> None:
    """What the cluster made of a pod is not the overlay's fault: the remedy says where to look."""
    pod = copy.deepcopy(render_pod(SPEC, PLACE))
    change(pod)
    with pytest.raises(IsolationError) as refused:
        judge_made(pod, SPEC, PLACE)
    assert "The cluster changed" in refused.value.message
    assert words in refused.value.remedy
    assert "overlay" not in refused.value.remedy


@pytest.mark.parametrize(
    ("uid", "users"), [(0, "never"), (0, "allowed"), (65_536, "never"), (64_000, "never")]
)
def test_uids_that_nobody_may_have(uid: int, users: Any) -> None:
    """Uid 0 is refused even where spec and pod agree on it, one that pods have not, and the link's."""
    spec, place = replace(SPEC, host_uid=uid), replace(PLACE, cluster=replace(CLUSTER, host_users=users))
    with pytest.raises(IsolationError) as refused:
        check(render_pod(spec, place), spec, place)
    assert refused.value.code == "isolation.user"
    other = replace(spec, host_uid=65_536 if users == "allowed" else 65_535)
    check(render_pod(other, place), other, place)
