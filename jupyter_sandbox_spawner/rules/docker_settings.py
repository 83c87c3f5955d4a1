"""Which `c.DockerSpawner.*` settings keep working, and which would open the sandbox? Pure.

Law: what is not known to be harmless is refused with its name and the safe way to what it is used for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from ..errors import ConfigurationError
from ..names import LABEL_OWNER
from .profile_fields import shown

__all__ = [
    "DEFAULT_SOCKET",
    "OTHER_ENGINE",
    "DockerSettings",
    "docker_overlay",
    "docker_settings",
    "is_podman",
    "socket_path",
]

DEFAULT_SOCKET = "/run/docker.sock"
OTHER_ENGINE = 'Use Docker 20.10 or newer, or backend="local", which needs no daemon.'
_KUBERNETES = "A daemon elsewhere would need a network card in every sandbox; for many hosts use Kubernetes."
_EGRESS = 'Allow the name in the profile (egress: ["NAME:PORT"]); internal_services of setup_hub maps it.'
_IMAGES = 'Name each image: setup_hub(c, environments={"NAME": "IMAGE"}); a profile says environment: NAME.'
_HOMES = "Homes are kept below state_dir. Data for all: c.DockerSpawner.read_only_volumes = {DIR: DIR}."
_LIMITS = "Set it in the profile (cpu, memory, pids, tmpfs, shm, files)."
_FIXED = "Remove it; every sandbox has the closed value."
_IMAGE = "Put it into the image."
_ENVIRONMENT = "Use c.Spawner.environment, or variables in the profile."

_HARMLESS_HOST = {
    "blkio_weight": "BlkioWeight",
    "cpu_shares": "CpuShares",
    "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems",
    "mem_reservation": "MemoryReservation",
    "oom_score_adj": "OomScoreAdj",
}
_WAYS = {
    "binds": _HOMES,
    "cap_add": "A sandbox has no capability at all; what needs one belongs outside.",
    "devices": "A sandbox has no device of the host.",
    "dns": _EGRESS,
    "environment": _ENVIRONMENT,
    "extra_hosts": _EGRESS,
    "links": _EGRESS,
    "mem_limit": _LIMITS,
    "memswap_limit": _LIMITS,
    "mounts": _HOMES,
    "nano_cpus": _LIMITS,
    "cpu_quota": _LIMITS,
    "cpu_period": _LIMITS,
    "network": _EGRESS,
    "network_mode": _EGRESS,
    "pids_limit": _LIMITS,
    "shm_size": _LIMITS,
    "tmpfs": _LIMITS,
    "ulimits": _LIMITS,
    "user": "Each user has a uid of their own; it never is root.",
    "volumes": _HOMES,
    "volumes_from": _HOMES,
    "entrypoint": _IMAGE,
    "command": "Use c.Spawner.cmd.",
    "runtime": 'Use setup_hub(c, runtime="NAME").',
}
# Sources that hold what the host lives on. Above and below them is refused as well.
_HOST_PARTS = ("/boot", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/var/lib/docker", "/var/run")
_OUR_PARTS = ("/bin", "/dev", "/etc", "/home", "/lib", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr")  # noqa: S108


@dataclass(frozen=True, kw_only=True)
class DockerSettings:
    """What is taken over: images by environment name ({}: none were set), the daemon's socket, and
    directories that every sandbox sees read-only (target to source)."""

    images: Mapping[str, str] = field(default_factory=dict)
    socket: str = DEFAULT_SOCKET
    shared: Mapping[str, str] = field(default_factory=dict)


def docker_settings(
    given: Mapping[str, Any], docker_host: str = "", private: Sequence[str] = ()
) -> DockerSettings:
    """Read the settings of one DockerSpawner; `docker_host` is the variable DOCKER_HOST, `private` are
    directories of this site that no sandbox may see.

    Raises ConfigurationError `docker.setting_refused` or `docker.remote`.
    """
    _refuse_openings(given)
    for name in ("extra_host_config", "extra_create_kwargs"):
        if not callable(given.get(name)):  # a function is asked, and its answer judged, at each start
            docker_overlay(**{name: given.get(name) or {}})
    address = str((given.get("client_kwargs") or {}).get("base_url") or docker_host)
    return DockerSettings(images=_images(given), socket=socket_path(address), shared=_shared(given, private))


def socket_path(address: str) -> str:
    """The path of a daemon's unix socket; "" means the default. Raises ConfigurationError `docker.remote`."""
    if not address:
        return DEFAULT_SOCKET
    path = address.removeprefix("unix://").removeprefix("http+unix://")
    if "://" in address.removeprefix("unix://").removeprefix("http+unix://") or not path.startswith("/"):
        raise ConfigurationError(
            f"docker_socket: {shown(address)} is not the path of a unix socket on this host.",
            code="docker.remote",
            field="docker_socket",
            remedy=_KUBERNETES,
        )
    return normpath(path)


def is_podman(version: Mapping[str, Any]) -> bool:
    """Is it Podman that gave this answer to /version? It takes our requests and leaves parts of them out."""
    return any("podman" in str(part.get("Name")).lower() for part in version.get("Components") or ())


def docker_overlay(
    extra_host_config: Mapping[str, Any] | None = None, extra_create_kwargs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The harmless of docker-py's keyword arguments as a fragment of a create request.

    Raises ConfigurationError `docker.setting_refused` for any other.
    """
    host: dict[str, Any] = {}
    for name, value in (extra_host_config or {}).items():
        if name not in _HARMLESS_HOST:
            raise _refused(f"extra_host_config[{name!r}]", value, _WAYS.get(name, _FIXED))
        if name == "oom_score_adj" and not (isinstance(value, int) and value >= 0):
            raise _refused(f"extra_host_config[{name!r}]", value, "Write 0 or more.")
        host[_HARMLESS_HOST[name]] = value
    overlay: dict[str, Any] = {"HostConfig": host} if host else {}
    for name, value in (extra_create_kwargs or {}).items():
        if name != "labels":
            raise _refused(f"extra_create_kwargs[{name!r}]", value, _WAYS.get(name, _FIXED))
        overlay["Labels"] = _labels(value)
    return overlay


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or any(str(name).startswith(LABEL_OWNER) for name in value):
        raise _refused("extra_create_kwargs['labels']", value, f"Write names that are not {LABEL_OWNER}.*.")
    return {str(name): str(text) for name, text in value.items()}


def _refused(name: str, value: Any, way: str) -> ConfigurationError:
    return ConfigurationError(
        f"c.DockerSpawner.{name} = {shown(value)} would open the sandbox or is not known to be harmless.",
        code="docker.setting_refused",
        field=name,
        remedy=way,
    )


def _refuse_openings(given: Mapping[str, Any]) -> None:
    network = given.get("network_name", "none")
    if network not in ("none", ""):
        raise _refused("network_name", network, f"A sandbox has no network. {_EGRESS}")
    ways = {
        "links": _EGRESS,
        "post_start_cmd": f"It would run inside with another identity. {_IMAGE}",
        "tls": _KUBERNETES,
        "tls_config": _KUBERNETES,
        "tls_verify": _KUBERNETES,
        "tls_ca": _KUBERNETES,
        "tls_cert": _KUBERNETES,
        "tls_key": _KUBERNETES,
    }
    for name, way in ways.items():
        if given.get(name):
            raise _refused(name, given[name], way)


def _images(given: Mapping[str, Any]) -> dict[str, str]:
    image = given.get("image") or given.get("container_image")
    allowed = given.get("allowed_images") or given.get("image_whitelist") or {}
    if callable(allowed):
        raise _refused("allowed_images", allowed, _IMAGES)
    named = dict(allowed) if isinstance(allowed, Mapping) else {str(item): str(item) for item in allowed}
    return ({"default": str(image)} if image else {}) | {str(name): str(text) for name, text in named.items()}


def _shared(given: Mapping[str, Any], private: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    closed = (*_HOST_PARTS, *private)
    for name, is_open in (("volumes", True), ("read_only_volumes", False)):
        for source, place in (given.get(name) or {}).items():
            target, mode = _volume(place, "rw" if is_open else "ro")
            _admit(found, f"{name}[{source!r}]", str(source), target, mode == "ro")
            _refuse_private(name, str(source), closed)
    for number, mount in enumerate(_list(given.get("mounts"))):
        read_only = mount.get("read_only") is True and mount.get("type", "volume") == "bind"
        name = f"mounts[{number}]"
        _admit(found, name, str(mount.get("source")), str(mount.get("target")), read_only)
        _refuse_private(name, str(mount.get("source")), closed)
    return found


def _volume(place: Any, mode: str) -> tuple[str, str]:
    if isinstance(place, Mapping):
        return str(place.get("bind")), str(place.get("mode", mode))
    return str(place), mode


def _list(mounts: Any) -> Sequence[Mapping[str, Any]]:
    found = mounts or []
    if not isinstance(found, Sequence) or not all(isinstance(item, Mapping) for item in found):
        raise _refused("mounts", mounts, "Write a list of {type, source, target, read_only}.")
    return found


def _admit(found: dict[str, str], name: str, source: str, target: str, read_only: bool) -> None:
    """Take a directory up that every sandbox may see; refuse what could be written or belongs to the host."""
    if not read_only or not source.startswith("/"):
        raise _refused(name, source, f"It is not a host directory, read-only. {_HOMES}")
    if "{" in source + target or normpath(source) != source or normpath(target) != target:
        raise _refused(name, source, f"Write plain paths, the same for everybody. {_HOMES}")
    if not target.startswith("/") or target == "/" or any(_overlap(target, part) for part in _OUR_PARTS):
        raise _refused(name, target, "Choose another place inside, such as /srv/data.")
    if any(_overlap(target, other) for other in found):
        raise _refused(name, target, "Choose a place of its own for each.")
    found[target] = source


def _refuse_private(name: str, source: str, closed: Sequence[str]) -> None:
    if source == "/" or source.endswith(".sock") or any(_overlap(source, part) for part in closed):
        raise _refused(name, source, "It holds what the host or this hub lives on. Share data alone.")


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")
