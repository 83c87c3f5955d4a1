"""Which guards of a cluster's manifests, and of replicas on it, must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_BASE = "hub_config/kubernetes/base"

GUARDS = (
    Guard(
        name="manifests: no program gains privileges",
        file=f"{_BASE}/broker.yaml",
        pattern=r"allowPrivilegeEscalation: false",
        replacement="allowPrivilegeEscalation: true",
        tests="tests/kubernetes/test_pod_security.py -k that_we_ship",
    ),
    Guard(
        name="manifests: the sandboxes' namespace enforces restricted",
        file=f"{_BASE}/namespaces.yaml",
        pattern=r"-pods\n  labels:\n    pod-security\.kubernetes\.io/enforce: restricted",
        replacement="-pods\n  labels:\n    pod-security.kubernetes.io/enforce: baseline",
        tests="tests/kubernetes/test_pod_security.py -k both_namespaces",
    ),
    Guard(
        name="manifests: the launcher has no right without a reason",
        file=f"{_BASE}/rights.yaml",
        pattern=r"resources: \[pods/log\]",
        replacement="resources: [pods/log, pods/exec]",
        tests="tests/kubernetes/test_rights.py -k each_verb",
    ),
    Guard(
        name="manifests: sandboxes are closed both ways",
        file=f"{_BASE}/policies-closed.yaml",
        pattern=r"-pods\nspec:\n  podSelector: \{\}\n  policyTypes: \[Ingress, Egress\]",
        replacement="-pods\nspec:\n  podSelector: {}\n  policyTypes: [Ingress]",
        tests="tests/kubernetes/test_policies.py -k closed_both_ways",
    ),
    Guard(
        name="manifests: the gateway reaches no metadata server",
        file=f"{_BASE}/policies-programs.yaml",
        pattern=r"              - 169\.254\.0\.0/16\n",
        replacement="",
        tests="tests/kubernetes/test_policies.py -k nothing_inside",
    ),
    Guard(
        name="manifests: the cluster's token is the launcher's own",
        file="hub_config/kubernetes/common/every-pod.yaml",
        pattern=r"automountServiceAccountToken: false",
        replacement="automountServiceAccountToken: true",
        tests="tests/kubernetes/test_pod_security.py -k write_its_image",
    ),
    Guard(
        name="wires: a replica that waits is passed over",
        file="jupyter_sandbox_spawner/wires/outward.py",
        pattern=r"                failed = error\n                continue",
        replacement="                raise error",
        tests="tests/programs/test_wires_replicas.py -k that_works",
    ),
    Guard(
        name="control: who lost the database ends",
        file="jupyter_sandbox_spawner/control/app.py",
        pattern=r"if error\.code == IN_USE:",
        replacement="if False:",
        tests="tests/programs/test_control_replicas.py -k lost_the_database",
    ),
    Guard(
        name="cilium: only the profiles' names are asked for",
        file="jupyter_sandbox_spawner/rules/cilium.py",
        pattern=r"_selectors\(sorted\(names\)\)",
        replacement='_selectors(["*"])',
        tests="tests/rules/test_cilium.py -k may_be_asked_for",
    ),
)
