"""Are the programs installed that a site needs? Each missing one comes with the command that gets it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess

from ..errors import ConfigurationError
from .installation import Installation

__all__ = ["LEAST_NODE", "check_programs", "node_version", "search_path"]

LEAST_NODE = 18
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"


def search_path() -> str:
    """PATH with the system directories that an ordinary user's lacks."""
    return f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM}"


def check_programs(installation: Installation) -> None:
    """Raises ConfigurationError `program.missing` for the first one that is not there, and
    `kubernetes.not_one_machine` for a site whose programs are pods."""
    if installation.site.backend == "kubernetes":
        raise ConfigurationError(
            'With backend="kubernetes" the programs run as pods of the cluster, not on one machine.',
            code="kubernetes.not_one_machine",
            field="backend",
            remedy="Start them with: kubectl apply -k OVERLAY (docs/how-to/run-on-kubernetes.md). To try the"
            ' product on this machine, take backend="local".',
        )
    if installation.site.backend == "docker":
        _check_docker()
    else:
        for runtime in installation.site.runtimes:
            _need(runtime, f"{runtime} starts the sandboxes", f"apt-get install {runtime}")
    for name in ("setpriv", "prlimit"):
        _need(name, "it ties the programs to this one", "apt-get install util-linux")
    _need("node", "the proxy runs on it", "apt-get install nodejs npm")
    version = node_version()
    if version < LEAST_NODE:
        raise ConfigurationError(
            f"node is version {version}; the proxy needs {LEAST_NODE} or newer.",
            code="program.missing",
            remedy="Install a newer one: apt-get install nodejs (Debian 12, Ubuntu 24.04 or newer)",
        )
    proxy = installation.proxy_command[0]
    _need(proxy, "it is JupyterHub's proxy", "npm install -g 'configurable-http-proxy@^5.3'")


def node_version() -> int:
    """The major version of node, 0 if it does not say."""
    answer = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)", answer.stdout)
    return int(found[1]) if found else 0


def _check_docker() -> None:
    """Docker brings its own runtime."""
    if os.geteuid() != 0:
        raise ConfigurationError(
            "The Docker backend needs root: homes of containers belong to other uids of this host.",
            code="docker.needs_root",
            field="backend",
            remedy='Run as root, or take backend="local".',
        )
    if importlib.util.find_spec("dockerspawner") is None:
        raise ConfigurationError(
            "dockerspawner is not installed; its settings are read with it.",
            code="program.missing",
            remedy="Install it: pip install 'jupyter_sandbox_spawner[docker]'",
        )


def _need(program: str, why: str, command: str) -> None:
    if shutil.which(program, path=search_path()) is None:
        raise ConfigurationError(
            f"{program} is not installed; {why}.", code="program.missing", remedy=f"Install it: {command}"
        )
