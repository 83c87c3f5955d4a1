"""What may be noted on a pod? An annotation can be an order to the network, the runtime or a policy. Pure.

Law: what is not known to be harmless passes nowhere. Whoever asks for a pod may note what the site lists and
no order; on a pod that was made there may stand, too, what only the cluster writes.
"""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["may_ask", "may_stand"]

# Words in an annotation's domain, or in the name of one without: each is read by something that runs or
# connects pods, or that changes them on their way in. Nobody asks for these, listed or not.
_ORDERS = re.compile(
    r"(^|[.-])(cni|cncf|multus|ovn|calico|projectcalico|cilium|antrea|flannel|networking|istio|linkerd|kuma"
    r"|vault|kata|katacontainers|crio|cri-o|containerd|runc|oci|opencontainers|gvisor|nri|apparmor|seccomp"
    r"|selinux|security|kubernetes|k8s|openshift|amazonaws|aliyun|azure|gke|systemd|wasm|criu|ipam|network"
    r"|networks|eip|tencent|alibabacloud|yangtse|spidernet|submariner)([.-]|$)"
)
# Read by what gives nodes back, and by nothing that a pod runs in.
_FINE = ("cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt")
# What components write to say what they did. On a pod that was only asked for, some of them are orders too.
_TOLD = (
    *("cni.projectcalico.org/containerID", "cni.projectcalico.org/podIP", "cni.projectcalico.org/podIPs"),
    *("k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks-status"),
    *("kubernetes.io/limit-ranger", "kubernetes.io/psp", "openshift.io/scc"),
    "security.openshift.io/validated-scc-subject-type",
)


def may_ask(name: str, listed: Collection[str] = ()) -> bool:
    """May a pod be asked for with an annotation of this name? `listed`: what the site lets pass."""
    if name in _FINE:
        return True
    domain = name.partition("/")[0]
    return _is_listed(name, listed) and _ORDERS.search(domain.lower()) is None


def may_stand(name: str, listed: Collection[str] = ()) -> bool:
    """May it stand on a pod that was made? What this site's own cluster adds is listed, too."""
    return name in _FINE or name in _TOLD or _is_listed(name, listed)


def _is_listed(name: str, listed: Collection[str]) -> bool:
    """By its name, or by its domain where the entry ends in a slash."""
    domain, slash, _ = name.partition("/")
    return name in listed or (bool(slash) and f"{domain}/" in listed)
