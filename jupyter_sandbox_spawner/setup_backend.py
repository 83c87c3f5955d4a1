"""Which backend does a configuration choose, with which user images, and what of its spawner's settings?

Law: what would open a sandbox stops the start, with the setting's name and the safe way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets.config.loader import LazyConfigValue

from .errors import ConfigurationError
from .rules.docker_settings import DockerSettings, docker_settings, socket_path
from .rules.kube_settings import KubeSettings, kube_settings
from .rules.profile_fields import is_runtime
from .settings import Environment, Site
from .setup_kubernetes import cluster_site, pod_uids, wires_site

__all__ = [
    "DEFAULT_PREFIX",
    "SPAWNERS",
    "choose_backend",
    "docker_site",
    "further_runtimes",
    "kubernetes_settings",
    "spec_directories",
]

DEFAULT_PREFIX = "/opt/conda"  # of Jupyter's own images
SPAWNERS = {
    "docker": "jupyter_sandbox_spawner.hub.docker.SandboxDockerSpawner",
    "kubernetes": "jupyter_sandbox_spawner.hub.kubernetes.SandboxKubeSpawner",
    "local": "jupyter_sandbox_spawner.hub.local.SandboxLocalSpawner",
}
_DOCKER = ("DockerSpawner", "SandboxDockerSpawner")
_KUBERNETES = ("KubeSpawner", "SandboxKubeSpawner")
_Given = Mapping[str, str | Path | Environment]


def choose_backend(
    c: Any, more: dict[str, Any], given: _Given, private: tuple[str, str]
) -> dict[str, Environment]:
    """User images by name for the backend that `more` names; adds the backend's own fields to `more`.

    `private` are run_dir and state_dir, which no sandbox may see. Raises ConfigurationError
    `setup.backend_unknown`, `site.environment_missing`, `docker.*`, `kubernetes.*` or `wires.setting`.
    """
    backend = more.setdefault("backend", "local")
    if backend not in SPAWNERS:
        raise ConfigurationError(
            f"backend: {backend!r} is not a backend.",
            code="setup.backend_unknown",
            field="backend",
            remedy=f"Write one of: {', '.join(sorted(SPAWNERS))}.",
        )
    more |= _cluster(c, more)
    if backend == "local":
        return _some({name: _of_this_host(name, place) for name, place in given.items()}, "/path/of/a/venv")
    if backend == "kubernetes":
        image = kubernetes_settings(c).image
        return _images("KubeSpawner", {"default": image} if image else {}, given)
    more |= docker_site(c, private, str(more.get("docker_socket", "")))
    return _images("DockerSpawner", _settings(c, private).images, given)


def kubernetes_settings(c: Any) -> KubeSettings:
    """What of KubeSpawner's settings the site takes over.

    Raises ConfigurationError `kubernetes.setting_refused` for those that would open a sandbox.
    """
    from jupyterhub.spawner import Spawner

    from .hub.traits import SandboxTraits

    general = {*Spawner.class_trait_names(config=True), *SandboxTraits.class_trait_names(config=True)}
    return kube_settings(_given(c, _KUBERNETES), general)


def _cluster(c: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Site for programs and sandboxes on other machines; none of them where all are on this."""
    is_cluster = more["backend"] == "kubernetes"
    if more.get("kubernetes") is not None and not is_cluster:
        raise ConfigurationError(
            f"kubernetes: it is set, and backend is {more['backend']!r}.",
            code="kubernetes.setting",
            field="kubernetes",
            remedy='Write backend="kubernetes", or leave it out.',
        )
    wires = more.get("wires")
    if is_cluster and wires is None:
        wires = {}
    places = {
        "listen_host": more.get("listen_host", Site.listen_host),
        "hosts": dict(more.get("hosts") or {}),
    }
    found = {**places, "wires": wires_site(wires, **places)}
    if is_cluster:
        found |= pod_uids(more)
        found["kubernetes"] = cluster_site(more.get("kubernetes"), kubernetes_settings(c))
    return found


def docker_site(c: Any, private: tuple[str, str], socket: str = "") -> dict[str, Any]:
    """The fields of Site that come from DockerSpawner's settings; `socket` is setup_hub's own.

    Raises ConfigurationError `docker.setting_refused` or `docker.remote`.
    """
    settings = _settings(c, private)
    return {
        "docker_socket": socket_path(socket) if socket else settings.socket,
        "shared_directories": dict(settings.shared),
    }


def spec_directories(value: Any) -> tuple[str, ...]:
    """Where CDI specs lie: `value`, or the places that CDI itself names where it is None.

    Raises ConfigurationError `setup.cdi_directories_invalid`.
    """
    if value is None:
        return Site.cdi_directories
    listed = isinstance(value, (list, tuple))
    if not listed or not all(os.path.isabs(path) and os.path.normpath(path) == str(path) for path in value):
        raise ConfigurationError(
            f"cdi_directories: {value!r} is no list of absolute paths.",
            code="setup.cdi_directories_invalid",
            field="cdi_directories",
            remedy='Write cdi_directories=["/etc/cdi"]; of two with the same device the later one counts.',
        )
    return tuple(str(path) for path in value)


def further_runtimes(names: Any) -> tuple[str, ...]:
    """Names of OCI runtimes as profiles write them. Raises ConfigurationError `setup.runtimes_invalid`."""
    listed = isinstance(names, (list, tuple, set))
    if not listed or not all(isinstance(name, str) and is_runtime(name) for name in names):
        raise ConfigurationError(
            f"further_runtimes: {names!r} is no list of names of OCI runtimes.",
            code="setup.runtimes_invalid",
            field="further_runtimes",
            remedy='Write names as profiles do: further_runtimes=["runsc"].',
        )
    return tuple(names)


def _some(found: dict[str, Environment], example: str) -> dict[str, Environment]:
    if not found:
        raise ConfigurationError(
            "environments: there is none.",
            code="site.environment_missing",
            field="environments",
            remedy=f'Write environments={{"default": "{example}"}}.',
        )
    return found


def _of_this_host(name: str, place: str | Path | Environment) -> Environment:
    image = place if isinstance(place, Environment) else Environment(prefix=str(place))
    if image.image or not os.path.isabs(image.prefix) or not os.access(f"{image.prefix}/bin/python", os.X_OK):
        raise ConfigurationError(
            f"environments: {name}: {image.prefix!r} is not the directory of a Python environment.",
            code="site.environment_missing",
            field=f"environments.{name}",
            remedy=f"Make one: python3 -m venv {image.prefix} (it needs jupyterhub, jupyterlab).",
        )
    return image


def _images(section: str, named: Mapping[str, str], given: _Given) -> dict[str, Environment]:
    """Images by name, from the spawner's own settings or from setup_hub's, not from both."""
    if named and given:
        raise ConfigurationError(
            f"c.{section}.image or allowed_images is set, and environments of setup_hub as well.",
            code=f"{'docker' if section == 'DockerSpawner' else 'kubernetes'}.setting_refused",
            field="image",
            remedy="Name every image in environments alone.",
        )
    found = {name: _in_image(name, place) for name, place in (given or named).items()}
    return _some(found, "quay.io/jupyter/base-notebook")


def _in_image(name: str, place: str | Path | Environment) -> Environment:
    image = place if isinstance(place, Environment) else Environment(image=str(place), prefix=DEFAULT_PREFIX)
    if not image.image or image.image.startswith("/") or image.read_only or not os.path.isabs(image.prefix):
        raise ConfigurationError(
            f"environments: {name}: {image} is not an image with the directory of its Python.",
            code="site.environment_missing",
            field=f"environments.{name}",
            remedy='Write Environment(image="NAME:TAG", prefix="/opt/conda").',
        )
    return image


def _settings(c: Any, private: tuple[str, str]) -> DockerSettings:
    return docker_settings(_given(c, _DOCKER), os.environ.get("DOCKER_HOST", ""), private)


def _given(c: Any, sections: tuple[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section in sections:
        found |= {name: _resolved(value) for name, value in c[section].items()}
    return found


def _resolved(value: Any) -> Any:
    """What `c.DockerSpawner.volumes.update(...)` and the like add up to, over an empty default."""
    if not isinstance(value, LazyConfigValue):
        return value
    added: Any = value.to_dict()
    return value.get_value({} if "update" in added else [])
