"""Can this host's Docker daemon hold sandboxes? Asked over its socket; nothing is changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from ..rules.docker_settings import OTHER_ENGINE, is_podman
from ..settings import Site
from .finding import Finding
from .gpu_findings import docker_way, gpu_findings
from .versions import judge

__all__ = ["docker_findings"]

_PATIENCE = 5.0  # seconds
_REMAPPED = ("name=rootless", "name=userns")


class _Daemon(HTTPConnection):
    """A connection to the daemon's unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        """See HTTPConnection.connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(self._path)


def docker_findings(site: Site) -> Iterator[Finding]:
    """Findings about the daemon and the images of a site with the Docker backend; none for another."""
    if site.backend != "docker":
        return
    try:
        info, version = _ask(site, "/info"), _ask(site, "/version")
    except (OSError, HTTPException, ValueError) as error:
        yield Finding(
            name="docker",
            fine=False,
            seen=f"{site.docker_socket} does not answer: {error}",
            remedy="systemctl start docker, or setup_hub(c, docker_socket=...)",
        )
        return
    if is_podman(version):
        seen = f"{site.docker_socket} is Podman {version.get('Version')}, not Docker"
        yield Finding(name="docker", fine=False, seen=seen, remedy=OTHER_ENGINE)
        return
    yield _version(str(version.get("Version")), str(version.get("ApiVersion")))
    yield judge(
        "docker",
        "docker holes",
        str(version.get("Version") or ""),
        "Upgrade Docker; containers here have no network, which is where this hole is.",
    )
    yield _security(info.get("SecurityOptions") or [])
    yield docker_way(info)
    yield from gpu_findings(site, info.get("CDISpecDirs") or ())
    for name, environment in site.environments.items():
        found = _ask(site, f"/images/{quote(environment.image)}/json")
        yield Finding(
            name=f"image {name}",
            fine="Id" in found,
            seen=environment.image if "Id" in found else f"{environment.image} is not on this host",
            remedy=f"docker pull {environment.image}",
        )


def _ask(site: Site, path: str) -> dict[str, Any]:
    daemon = _Daemon(site.docker_socket)
    try:
        daemon.request("GET", path)
        answer: dict[str, Any] = json.loads(daemon.getresponse().read())
        return answer
    finally:
        daemon.close()


def _version(version: str, api: str) -> Finding:
    numbers = [int(part) if part.isdigit() else 0 for part in api.split(".")]
    return Finding(
        name="docker", fine=numbers >= [1, 41], seen=version, remedy="Install Docker 20.10 or newer."
    )


def _security(options: list[str]) -> Finding:
    names = [option.partition(",")[0] for option in options]
    remapped = [name for name in names if name in _REMAPPED]
    return Finding(
        name="docker security",
        fine="name=seccomp" in names and not remapped,
        seen=", ".join(name.removeprefix("name=") for name in names) or "no seccomp",
        remedy="It needs seccomp, a daemon that is root, and no userns-remap.",
    )
