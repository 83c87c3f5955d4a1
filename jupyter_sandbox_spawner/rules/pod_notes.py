"""What may be noted on a pod? An annotation can be an order to the network, the runtime or a policy. Pure.

Law: whoever may write an order may give a pod another network; what only the cluster writes, it may find.
"""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["orders", "told_by_cluster"]

# Words in an annotation's domain, or in the name of one without: each is read by something that runs or
# connects pods, or that changes them on their way in.
_ORDERS = re.compile(
    r"(^|[.-])(cni|cncf|multus|ovn|calico|projectcalico|cilium|antrea|flannel|networking|istio|linkerd|kuma"
    r"|vault|kata|katacontainers|crio|cri-o|containerd|runc|oci|opencontainers|gvisor|nri|apparmor|seccomp"
    r"|selinux|security|kubernetes|k8s|openshift|amazonaws|aliyun|azure|gke)([.-]|$)"
)
_FINE = ("cluster-autoscaler.kubernetes.io/safe-to-evict",)
# What components write to say what they did. On a pod that was only asked for, some of them are orders too.
_TOLD = (
    *("cni.projectcalico.org/containerID", "cni.projectcalico.org/podIP", "cni.projectcalico.org/podIPs"),
    *("k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks-status"),
    *("kubernetes.io/limit-ranger", "kubernetes.io/psp", "openshift.io/scc"),
    "security.openshift.io/validated-scc-subject-type",
)


def orders(name: str) -> bool:
    """Is an annotation of this name an order that can open a pod?"""
    domain = name.partition("/")[0]
    return name not in _FINE and _ORDERS.search(domain.lower()) is not None


def told_by_cluster(name: str, known: Collection[str] = ()) -> bool:
    """Does only the cluster write it on a pod that was made? `known`: what this site's own cluster adds."""
    return name in _TOLD or name in known
