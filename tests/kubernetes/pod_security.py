"""Which controls of Pod Security "restricted" does a pod break? By the standard's own text, in our own words.

ref: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (baseline and restricted, 1.34)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["CONTROLS", "broken_controls"]

_Pod = Mapping[str, Any]  # metadata and spec
_BASELINE_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_SYSCTLS = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
        *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
        *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
        *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
    }
)
_VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"),
        *("projected", "secret"),
    }
)
_CLOSED_SECCOMP = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def broken_controls(pod: _Pod) -> set[str]:
    """Names of the controls that a pod (or the template of one) does not keep to."""
    return {name for name, breaks in CONTROLS.items() if breaks(pod)}


def _containers(pod: _Pod) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod["spec"].get(kind, ())


def _context(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    return holder.get("securityContext") or {}


def _contexts(pod: _Pod) -> Iterator[Mapping[str, Any]]:
    """That of the pod and those of its containers."""
    yield _context(pod["spec"])
    yield from (_context(container) for container in _containers(pod))


def _capabilities(pod: _Pod, which: str) -> Iterator[set[str]]:
    for container in _containers(pod):
        yield set((_context(container).get("capabilities") or {}).get(which) or ())


def _handlers(pod: _Pod) -> Iterator[Mapping[str, Any]]:
    for container in _containers(pod):
        for name in ("livenessProbe", "readinessProbe", "startupProbe"):
            yield container.get(name) or {}
        yield from (container.get("lifecycle") or {}).values()


def _host_process(pod: _Pod) -> bool:
    return any((context.get("windowsOptions") or {}).get("hostProcess") for context in _contexts(pod))


def _host_namespaces(pod: _Pod) -> bool:
    return any(pod["spec"].get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


def _privileged(pod: _Pod) -> bool:
    return any(context.get("privileged") for context in _contexts(pod))


def _host_path(pod: _Pod) -> bool:
    return any("hostPath" in volume for volume in pod["spec"].get("volumes", ()))


def _host_ports(pod: _Pod) -> bool:
    return any(port.get("hostPort") for item in _containers(pod) for port in item.get("ports", ()))


def _host_probes(pod: _Pod) -> bool:
    kinds = ("httpGet", "tcpSocket")
    return any((handler.get(kind) or {}).get("host") for handler in _handlers(pod) for kind in kinds)


def _apparmor(pod: _Pod) -> bool:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    named = [value for name, value in annotations.items() if name.startswith(_APPARMOR)]
    given = [
        (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault") for context in _contexts(pod)
    ]
    return any(value != "runtime/default" and not value.startswith("localhost/") for value in named) or any(
        value not in _CLOSED_SECCOMP for value in given
    )


def _selinux(pod: _Pod) -> bool:
    options = [context.get("seLinuxOptions") or {} for context in _contexts(pod)]
    return any(
        item.get("type", "") not in _SELINUX_TYPES or item.get("user") or item.get("role") for item in options
    )


def _proc_mount(pod: _Pod) -> bool:
    return any(context.get("procMount", "Default") != "Default" for context in _contexts(pod))


def _sysctls(pod: _Pod) -> bool:
    return any(item["name"] not in _SYSCTLS for item in _context(pod["spec"]).get("sysctls", ()))


def _capabilities_baseline(pod: _Pod) -> bool:
    return any(added - _BASELINE_CAPABILITIES for added in _capabilities(pod, "add"))


def _volume_types(pod: _Pod) -> bool:
    return any(not _VOLUMES & set(volume) for volume in pod["spec"].get("volumes", ()))


def _privilege_escalation(pod: _Pod) -> bool:
    return any(_context(item).get("allowPrivilegeEscalation") is not False for item in _containers(pod))


def _inherited(pod: _Pod, name: str) -> Iterator[Any]:
    """A setting of each container, which the pod's stands for where it is silent."""
    of_pod = _context(pod["spec"]).get(name)
    for container in _containers(pod):
        own = _context(container).get(name)
        yield of_pod if own is None else own


def _non_root(pod: _Pod) -> bool:
    return any(value is not True for value in _inherited(pod, "runAsNonRoot"))


def _non_root_user(pod: _Pod) -> bool:
    return any(context.get("runAsUser") == 0 for context in _contexts(pod))


def _seccomp(pod: _Pod) -> bool:
    given = [
        context["seccompProfile"].get("type") for context in _contexts(pod) if "seccompProfile" in context
    ]
    effective = [(profile or {}).get("type") for profile in _inherited(pod, "seccompProfile")]
    return any(kind not in _CLOSED_SECCOMP for kind in (*given, *effective))


def _capabilities_restricted(pod: _Pod) -> bool:
    dropped = all("ALL" in names for names in _capabilities(pod, "drop"))
    return not dropped or any(names - {"NET_BIND_SERVICE"} for names in _capabilities(pod, "add"))


CONTROLS: Mapping[str, Callable[[_Pod], bool]] = {
    "HostProcess": _host_process,
    "Host Namespaces": _host_namespaces,
    "Privileged Containers": _privileged,
    "Capabilities (baseline)": _capabilities_baseline,
    "HostPath Volumes": _host_path,
    "Host Ports": _host_ports,
    "Host Probes / Lifecycle Hooks": _host_probes,
    "AppArmor": _apparmor,
    "SELinux": _selinux,
    "/proc Mount Type": _proc_mount,
    "Sysctls": _sysctls,
    "Volume Types": _volume_types,
    "Privilege Escalation": _privilege_escalation,
    "Running as Non-root": _non_root,
    "Running as Non-root user": _non_root_user,
    "Seccomp": _seccomp,
    "Capabilities (restricted)": _capabilities_restricted,
}
