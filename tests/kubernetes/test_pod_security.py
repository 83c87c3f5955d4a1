"""Is every pod that we ship "restricted", and would it be noticed if one were not?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from .pod_security import CONTROLS, broken_controls
from .shipped import OVERLAYS, Manifest, found, pod_templates

pytestmark = pytest.mark.lane("kubectl")


def _spec(**more: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["spec"].update(more)


def _container(**more: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["spec"]["containers"][0].update(more)


def _context(**more: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["spec"]["containers"][0]["securityContext"].update(more)


def _pod_context(**more: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["spec"]["securityContext"].update(more)


def _volume(**source: Any) -> Callable[[Manifest], None]:
    return lambda pod: pod["spec"]["volumes"].append({"name": "further", **source})


def _without_context(pod: Manifest) -> None:
    for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
        container["securityContext"].pop("capabilities")


def _without_pod_context(name: str) -> Callable[[Manifest], None]:
    return lambda pod: pod["spec"]["securityContext"].pop(name)


def _annotated(pod: Manifest) -> None:
    pod["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/hub": "unconfined"}


# One weakening for each control, and what else it breaks.
WEAKENED: dict[str, tuple[Callable[[Manifest], None], set[str]]] = {
    "HostProcess": (_pod_context(windowsOptions={"hostProcess": True}), set()),
    "Host Namespaces": (_spec(hostNetwork=True), set()),
    "Privileged Containers": (_context(privileged=True), set()),
    "Capabilities (baseline)": (
        _context(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        {"Capabilities (restricted)"},
    ),
    "HostPath Volumes": (_volume(hostPath={"path": "/"}), {"Volume Types"}),
    "Host Ports": (_container(ports=[{"containerPort": 1, "hostPort": 1}]), set()),
    "Host Probes / Lifecycle Hooks": (_container(livenessProbe={"tcpSocket": {"host": "10.0.0.1"}}), set()),
    "AppArmor": (_annotated, set()),
    "SELinux": (_context(seLinuxOptions={"type": "spc_t"}), set()),
    "/proc Mount Type": (_context(procMount="Unmasked"), set()),
    "Sysctls": (_pod_context(sysctls=[{"name": "kernel.msgmax", "value": "1"}]), set()),
    "Volume Types": (_volume(nfs={"server": "nfs.example", "path": "/"}), set()),
    "Privilege Escalation": (_context(allowPrivilegeEscalation=True), set()),
    "Running as Non-root": (_without_pod_context("runAsNonRoot"), set()),
    "Running as Non-root user": (_context(runAsUser=0), set()),
    "Seccomp": (_without_pod_context("seccompProfile"), set()),
    "Capabilities (restricted)": (_without_context, set()),
}
ALSO_WEAKENED = {
    "another AppArmor profile": (_context(appArmorProfile={"type": "Unconfined"}), "AppArmor"),
    "unconfined in one container": (_context(seccompProfile={"type": "Unconfined"}), "Seccomp"),
    "root wanted in one container": (_context(runAsNonRoot=False), "Running as Non-root"),
    "root of the pod": (_pod_context(runAsUser=0), "Running as Non-root user"),
    "no word of escalation": (
        lambda pod: pod["spec"]["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
        "Privilege Escalation",
    ),
    "an ordinary capability": (
        _context(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}),
        "Capabilities (restricted)",
    ),
    "an init container of another kind": (
        lambda pod: pod["spec"].update(initContainers=[{"name": "first"}]),
        "Privilege Escalation",
    ),
}


@pytest.fixture
def pod() -> Manifest:
    """A pod that is shipped, to be weakened."""
    return copy.deepcopy(pod_templates("example")["control"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_that_we_ship_is_restricted(overlay: str, control: Callable[[str, bool], None]) -> None:
    """No pod template breaks a control of Pod Security "restricted", and there are some."""
    templates = pod_templates(overlay)
    control(f"pod templates are found in {overlay}", len(templates) >= 5)
    assert {name: broken_controls(pod) for name, pod in templates.items()} == {
        name: set() for name in templates
    }


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_a_weakened_pod_is_found_by_the_control_it_breaks(name: str, pod: Manifest) -> None:
    """Each control of the standard sees the weakening that it is there for."""
    weaken, further = WEAKENED[name]
    weaken(pod)
    assert broken_controls(pod) == {name, *further}


@pytest.mark.parametrize("what", sorted(ALSO_WEAKENED))
def test_a_container_is_judged_beside_its_pod(what: str, pod: Manifest) -> None:
    """A container that says less than its pod, and one that says nothing, are found."""
    weaken, name = ALSO_WEAKENED[what]
    weaken(pod)
    assert name in broken_controls(pod)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_can_write_its_image(overlay: str) -> None:
    """Beyond the standard: each container has a read-only root, and its pod no token and no service links."""
    for name, pod in pod_templates(overlay).items():
        spec = pod["spec"]
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, (name, container["name"])
            assert container["resources"]["limits"]["memory"], (name, container["name"])
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name


def test_both_namespaces_enforce_it() -> None:
    """The API server refuses what is not restricted in both namespaces, in its newest reading."""
    labels = {item["metadata"]["name"]: item["metadata"]["labels"] for item in found("base", "Namespace")}
    assert set(labels) == {"jupyter-sandbox", "jupyter-sandbox-pods"}
    for name, given in labels.items():
        assert given["pod-security.kubernetes.io/enforce"] == "restricted", name
        assert given["pod-security.kubernetes.io/enforce-version"] == "latest", name


def test_uids_are_each_programs_own() -> None:
    """No two programs share a uid, all containers of a pod do, and site.json names the same uids."""
    from .shipped import site_of

    uids = {}
    for name, pod in pod_templates("example").items():
        uids[name] = pod["spec"]["securityContext"]["runAsUser"]
        assert not any("runAsUser" in item["securityContext"] for item in pod["spec"]["containers"]), name
    assert len(set(uids.values())) == len(uids)
    assert site_of("example").program_uids == {name: uid for name, uid in uids.items() if name != "proxy"}
