"""What may an admin write as setup_hub's `kubernetes`, `wires`, `listen_host` and `hosts`? All checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

from .errors import ConfigurationError
from .kubernetes_site import KubernetesSite, WiresSite
from .rules.kube_settings import KubeSettings
from .rules.profile_fields import is_runtime
from .units import parse_size
from .wire import decode

__all__ = ["cluster_site", "pod_uids", "wires_site"]

T = TypeVar("T")
_PROGRAMS = ("broker", "control", "gateway", "hub", "launcher", "proxy", "tracking")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESOURCE = re.compile(r"[a-z0-9.-]+\.[a-z]+/[A-Za-z0-9_.-]+")
_NEEDED = {
    "namespace": "jupyter-sandbox-pods",
    "gateway_name": "gateway",
    "gateway_address": "10.96.100.44",
    "gateway_namespace": "jupyter-sandbox",
    "gateway_labels": {"jupyter-sandbox-spawner/program": "gateway"},
    "link_image": "registry.example.org/jupyter-sandbox-link:0.1",
}
_UIDS = (10_000, 50_000)  # the first, and how many: a pod's own user namespace has 65536
_LINK_UID = 64_000  # every pod's link has it
_EXAMPLE = "See docs/how-to/run-on-kubernetes.md."


def cluster_site(given: Any, settings: KubeSettings) -> KubernetesSite:
    """The setting `kubernetes` with what KubeSpawner was told where it is silent.

    Raises ConfigurationError `kubernetes.setting`.
    """
    found = _mapping("kubernetes", given, KubernetesSite)
    for name, example in _NEEDED.items():
        if found.get(name) in (None, ""):
            remedy = f"Write it, such as {example!r}. {_EXAMPLE}"
            raise _wrong(f"kubernetes.{name}", found.get(name), "is missing", remedy)
    if "home_size" in found:
        found["home_size"] = parse_size(found["home_size"], "kubernetes.home_size")
    known = {
        "pull_policy": settings.pull_policy,
        "storage_class": settings.storage_class,
        "home_size": settings.home_size,
    }
    site = _typed("kubernetes", KubernetesSite, {name: item for name, item in known.items() if item} | found)
    _check_names(site)
    _check_gpus(site)
    return site


def wires_site(given: Any, listen_host: Any = "127.0.0.1", hosts: Any = None) -> WiresSite | None:
    """The setting `wires`; None without one, and then every program is on this machine.

    Raises ConfigurationError `wires.setting`.
    """
    _check_places(given, listen_host, hosts or {})
    if given is None:
        return None
    site = _typed("wires", WiresSite, _mapping("wires", given, WiresSite))
    _check_hosts("wires.hosts", site.hosts)
    for name in ("port", "pods_port"):
        number = getattr(site, name)
        if not 0 < number < 65536:
            raise _wrong(f"wires.{name}", number, "is no port", "Write 1 to 65535.")
    if site.port == site.pods_port:
        raise _wrong("wires.pods_port", site.port, "is the programs' port too", "Write another.")
    if not os.path.isabs(site.certificates):
        raise _wrong(
            "wires.certificates", site.certificates, "is no absolute path", "Write it from the root."
        )
    return site


def pod_uids(given: Mapping[str, Any]) -> dict[str, int]:
    """uid_base and uid_count; uids in pods are small. Raises ConfigurationError `kubernetes.setting`."""
    base, count = int(given.get("uid_base", _UIDS[0])), int(given.get("uid_count", _UIDS[1]))
    if base < 1000 or count < 3 or base + count > _LINK_UID:
        raise ConfigurationError(
            f"uid_base, uid_count: {base}, {count} are no uids that pods of users can have.",
            code="kubernetes.setting",
            field="uid_base",
            remedy=f"Leave both out ({_UIDS[0]}, {_UIDS[1]}), or stay within 1000 and {_LINK_UID - 1}.",
        )
    return {"uid_base": base, "uid_count": count}


def _check_places(wires: Any, listen_host: Any, hosts: Any) -> None:
    """Where programs' TCP ports are. Off loopback they are for programs that have wires."""
    try:
        loopback = ip_address(str(listen_host)).is_loopback
    except ValueError:
        raise _wrong("listen_host", listen_host, "is no address", 'Write "0.0.0.0" or "::".') from None
    if not isinstance(hosts, Mapping):
        raise _wrong("hosts", hosts, "is no mapping", 'Write hosts={"gateway": "gateway.jupyter-sandbox"}.')
    _check_hosts("hosts", hosts)
    if wires is None and (hosts or not loopback):
        name, value = ("hosts", dict(hosts)) if hosts else ("listen_host", listen_host)
        remedy = "Leave it out; programs on other machines need wires={...} too."
        raise _wrong(name, value, "is for programs on several machines", remedy)


def _check_hosts(field: str, hosts: Mapping[str, Any]) -> None:
    for name, host in hosts.items():
        if name not in _PROGRAMS:
            remedy = f"Write one of {', '.join(_PROGRAMS)}."
            raise _wrong(f"{field}.{name}", host, "is for no program", remedy)
        if not isinstance(host, str) or not (_HOST.fullmatch(host) or _is_address(host)):
            raise _wrong(f"{field}.{name}", host, "is no host name", "Write a name in lower case, no port.")


def _check_names(site: KubernetesSite) -> None:
    for name in ("namespace", "gateway_namespace"):
        if not _NAME.fullmatch(getattr(site, name)):
            remedy = "Write lower-case letters, digits and -."
            raise _wrong(f"kubernetes.{name}", getattr(site, name), "is no namespace", remedy)
    if site.namespace == site.gateway_namespace:
        remedy = "Give sandboxes a namespace in which nothing else runs: jupyter-sandbox-pods."
        raise _wrong("kubernetes.namespace", site.namespace, "is the programs' own", remedy)
    if not _HOST.fullmatch(site.gateway_name):
        raise _wrong("kubernetes.gateway_name", site.gateway_name, "is no host name", _EXAMPLE)
    if not _is_address(site.gateway_address):
        remedy = "Pods have no DNS: write the address of the gateway's Service (clusterIP)."
        raise _wrong("kubernetes.gateway_address", site.gateway_address, "is no address", remedy)
    _check_files(site)


def _check_files(site: KubernetesSite) -> None:
    for name in ("authority", "link_python"):
        if not os.path.isabs(getattr(site, name)):
            remedy = "Write it from the root."
            raise _wrong(f"kubernetes.{name}", getattr(site, name), "is no absolute path", remedy)
    for name in site.runtime_classes:
        if not is_runtime(name):
            remedy = "Write names as profiles do: runsc."
            raise _wrong("kubernetes.runtime_classes", name, "is no name of a runtime", remedy)
    if site.home_size < 1 << 20:
        raise _wrong("kubernetes.home_size", site.home_size, "has no room for a home", 'Write "10G".')


def _check_gpus(site: KubernetesSite) -> None:
    for kind, resource in site.gpu_resource.items():
        if not _RESOURCE.fullmatch(resource):
            remedy = "Write a resource of a device plugin: nvidia.com/gpu."
            raise _wrong(f"kubernetes.gpu_resource.{kind}", resource, "is no extended resource", remedy)
    for kind in site.gpu_products:
        if kind not in site.gpu_resource:
            remedy = "Name it in gpu_resource too."
            raise _wrong(f"kubernetes.gpu_products.{kind}", kind, "has no resource", remedy)
    for kind, count in site.gpu_counts.items():
        if kind not in site.gpu_resource or not 0 <= count <= 100_000:
            remedy = "Write how many there are of a kind that gpu_resource names."
            raise _wrong(f"kubernetes.gpu_counts.{kind}", count, "counts nothing that is given", remedy)


def _mapping(field: str, given: Any, kind: type[Any]) -> dict[str, Any]:
    found = asdict(given) if is_dataclass(given) and not isinstance(given, type) else given
    if not isinstance(found, Mapping):
        raise _wrong(field, given, "is no mapping", f"Write {field}={{...}}. {_EXAMPLE}")
    known = {item.name for item in fields(kind)}
    for name, value in found.items():
        if name not in known:
            raise _wrong(f"{field}.{name}", value, "is no setting", f"Known: {', '.join(sorted(known))}.")
    return dict(found)


def _typed(field: str, kind: type[T], found: Mapping[str, Any]) -> T:
    try:
        return decode(kind, found)
    except (ConfigurationError, TypeError) as error:
        name = f"{field}.{error.field}" if isinstance(error, ConfigurationError) else field
        value = found.get(name.removeprefix(f"{field}.").partition(".")[0], "")
        raise _wrong(name, value, "has the wrong type", _EXAMPLE) from None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _wrong(field: str, value: Any, what: str, remedy: str) -> ConfigurationError:
    code = "kubernetes.setting" if field.startswith("kubernetes") else "wires.setting"
    return ConfigurationError(f"{field}: {value!r} {what}.", code=code, field=field, remedy=remedy)
