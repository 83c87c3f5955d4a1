"""Which words of a cluster mean which trouble? Tables, read from the top; the first that fits is taken."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KUBELET", "LINK", "PULLING", "REFUSALS", "SCHEDULING", "Rule"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A text of the cluster's, and what it means. `fatal`: waiting does not help.

    `{0}` in `admin` stands for the first group found, and so on.
    """

    text: str
    code: str
    user: str
    admin: str
    fatal: bool = False


SCHEDULING = (
    Rule(
        text=r"unbound immediate PersistentVolumeClaims|persistent volumes to bind|unbound PersistentVolume",
        code="kubernetes.volume_pending",
        user="Your home's disk is not ready yet.",
        admin="The claim of the home is not bound: a StorageClass, or what makes its volumes, is missing."
        " See: kubectl describe pvc.",
    ),
    Rule(
        text=r'persistentvolumeclaim "([^"]+)" not found',
        code="kubernetes.volume_missing",
        user="Your home's disk is missing.",
        admin="There is no PersistentVolumeClaim {0}.",
    ),
    Rule(
        text=r'persistentvolumeclaim "([^"]+)" is being deleted',
        code="kubernetes.volume_ending",
        user="Your home's disk is being deleted.",
        admin="The PersistentVolumeClaim {0} was deleted and is still in use. See: kubectl describe pvc {0}.",
    ),
    Rule(
        text=r"volume node affinity conflict",
        code="kubernetes.volume_elsewhere",
        user="No machine that has room can reach your home's disk.",
        admin="The volume of the home is bound to nodes that cannot take the pod.",
    ),
    Rule(
        text=r"Insufficient ((?:nvidia|amd|gpu)[^\s,.]*\.com/[^\s,;]+?)(?=[.,;]?(?:\s|$))",
        code="kubernetes.no_gpu",
        user="All fitting GPUs are in use, or no machine has one.",
        admin="No node has enough {0} free: a device plugin is missing or all are allocated.",
    ),
    Rule(
        text=r"Insufficient (memory|cpu|ephemeral-storage)|Too many (pods)",
        code="kubernetes.no_room",
        user="No machine has enough room for this server now.",
        admin="No node has enough {0} free. Add nodes, or lower requests by the profile's overlay.",
    ),
    Rule(
        text=r"untolerated taint \{node\.kubernetes\.io/(?:not-ready|unreachable)",
        code="kubernetes.node_not_ready",
        user="The machines that run servers are not ready.",
        admin="Nodes are not ready. See: kubectl describe nodes",
    ),
    Rule(
        text=r"no nodes available to schedule|0/0 nodes are available",
        code="kubernetes.node_not_ready",
        user="No machine can run servers now.",
        admin="The cluster has no node.",
    ),
    Rule(
        text=r"untolerated taint \{|affinity/selector|were unschedulable|topology spread",
        code="kubernetes.no_node",
        user="No machine fits what this profile asks for.",
        admin="Node selector, affinity, taints or cordoned nodes leave no node for the pod.",
    ),
    Rule(
        text=r"untolerated taint",  # and nothing else; from Kubernetes 1.34 on, which names none
        code="kubernetes.no_node",
        user="No machine takes this server now: they are not ready, or kept for others.",
        admin="Each node has a taint that the pod does not tolerate, as those have that are not ready."
        " See: kubectl describe nodes",
    ),
)
REFUSALS = (
    Rule(
        text=r"persistentvolumeclaims .*exceeded quota: ([^,]+), requested: ",
        code="kubernetes.home_quota",
        user="The cluster has no room for another home. Tell your admin.",
        admin="ResourceQuota {0} has no room for the claim of a home; raise it, or delete claims of deleted"
        " users: kubectl get pvc -l jupyter-sandbox-spawner/retired=yes.",
    ),
    Rule(
        text=r"exceeded quota: ([^,]+), requested: ",
        code="kubernetes.quota",
        user="The cluster's quota for servers is used up. Stop one of yours, or try again later.",
        admin="ResourceQuota {0} is exceeded; it should hold what control admits.",
    ),
    Rule(
        text=r"failed quota: ([^:]+)",
        code="kubernetes.quota",
        user="The cluster could not count this server against its quota.",
        admin="ResourceQuota {0} counts something that the pod does not say.",
    ),
    Rule(
        text=r"violates PodSecurity",
        code="kubernetes.pod_security",
        user="The cluster refused this server.",
        admin="Pod Security of the namespace refused the pod; the overlay or a webhook changed it.",
    ),
    Rule(
        text=r'RuntimeClass "([^"]+)" not found',
        code="kubernetes.runtime_class",
        user="The cluster cannot isolate servers in the way that this profile asks for.",
        admin="There is no RuntimeClass {0}. Make it, or correct runtime_classes.",
    ),
    Rule(
        text=r"cannot (\w+) resource \"([^\"]+)\"",
        code="kubernetes.rbac",
        user="Servers cannot be started: the launcher lacks a right in the cluster.",
        admin="The launcher's account may not {0} {1}. Apply hub_config/kubernetes/base/rights.yaml.",
    ),
    Rule(
        text=r"PriorityClass with name (\S+)",
        code="kubernetes.priority_class",
        user="This profile is not set up rightly. Tell your admin.",
        admin="There is no PriorityClass {0}.",
    ),
    Rule(
        text=r"(?:minimum|maximum) (?:\S+) usage per|max(?:imum)? limit to request ratio",
        code="kubernetes.limit_range",
        user="The cluster does not allow servers of this size.",
        admin="A LimitRange of the namespace refused the pod.",
    ),
    Rule(
        text=r"being terminated|namespaces? \"([^\"]+)\" not found",
        code="kubernetes.namespace",
        user="Servers cannot be started: their place in the cluster is missing.",
        admin="The namespace of the sandboxes is missing or being deleted. Apply hub_config/kubernetes.",
    ),
    Rule(
        text=r"admission webhook \"([^\"]+)\"|ValidatingAdmissionPolicy '?([^']*)",
        code="kubernetes.admission",
        user="A policy of the cluster refused this server.",
        admin="Admission by {0} refused the pod.",
    ),
)
PULLING = (
    Rule(
        text=r"unauthorized|denied|authentication|\b40[13]\b|forbidden",
        code="kubernetes.image_denied",
        user="The software of this profile cannot be loaded.",
        admin="The registry does not give the image to the nodes. Name a Secret in pull_secrets.",
    ),
    Rule(
        text=r"not found|manifest unknown|does not exist|\b404\b|not present with pull policy",
        code="kubernetes.image_missing",
        user="The software of this profile does not exist.",
        admin="The image is not there. Correct environments, or load it onto the nodes.",
    ),
    Rule(
        text=r"",
        code="kubernetes.image_unpullable",
        user="The software of this profile cannot be loaded now.",
        admin="The image cannot be pulled: registry or network.",
    ),
)
# What a link says last, by rules/certificates.py's codes.
LINK = (
    Rule(
        text=r"^certificates\.clock: ",
        code="certificates.clock",
        user="The site's programs cannot reach one another, because the clocks of its machines differ.",
        admin="The node's clock and the gateway's differ. Compare them (timedatectl on both), and let chrony"
        " or systemd-timesyncd keep them.",
        fatal=True,
    ),
    Rule(
        text=r"^certificates\.authority_expired: ",
        code="certificates.authority_expired",
        user="The site's programs cannot reach one another, because the authority of their certificates has"
        " expired.",
        admin="Make all anew: jupyter-sandbox-admin certificates make, in another directory.",
        fatal=True,
    ),
    Rule(
        text=r"^certificates\.expired: ",
        code="certificates.expired",
        user="The site's programs cannot reach one another, because a certificate of theirs has expired.",
        admin="The gateway's certificate has ended. Run: jupyter-sandbox-admin certificates rotate.",
        fatal=True,
    ),
    Rule(
        text=r"^certificates\.\w+: ",
        code="certificates.foreign",
        user="The site's program gateway could not prove that it is of this site; nothing is sent to it.",
        admin="gateway_name or authority of the site's kubernetes settings are not those of the gateway's"
        " certificate. See: jupyter-sandbox-admin certificates show.",
        fatal=True,
    ),
)
KUBELET = (
    Rule(
        text=r"(?:RuntimeHandler|runtime handler|no runtime for) \"?([\w.-]+)",
        code="kubernetes.runtime_class",
        user="The machine cannot isolate servers in the way that this profile asks for.",
        admin="The node's container runtime has no handler {0}.",
        fatal=True,
    ),
    Rule(
        text=r"user namespace",
        code="kubernetes.user_namespaces",
        user="The machine cannot isolate this server as demanded.",
        admin="The node has no user namespaces for pods; host_users='allowed' does without them.",
        fatal=True,
    ),
    Rule(
        text=r"(?:MountVolume|AttachVolume|Unable to attach or mount|FailedMount|FailedAttach)",
        code="kubernetes.volume_unmountable",
        user="A disk of this server cannot be attached.",
        admin="The kubelet cannot mount a volume of the pod.",
    ),
    Rule(
        text=r"sandbox|network|CNI",
        code="kubernetes.pod_sandbox",
        user="The machine cannot make a place for this server.",
        admin="The kubelet cannot make the pod's sandbox: runtime or network plugin.",
    ),
)
