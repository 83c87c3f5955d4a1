"""What do a configuration's `c.DockerSpawner.*` settings mean for the site? Read when the file is loaded.

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
from .settings import Environment

__all__ = ["DEFAULT_PREFIX", "docker_environments", "docker_site"]

DEFAULT_PREFIX = "/opt/conda"  # of Jupyter's own images
_SECTIONS = ("DockerSpawner", "SandboxDockerSpawner")


def docker_site(c: Any, run_dir: str, state_dir: str, socket: str = "") -> dict[str, Any]:
    """The fields of Site that come from DockerSpawner's settings; `socket` is setup_hub's own.

    Raises ConfigurationError `docker.setting_refused` or `docker.remote`.
    """
    settings = _settings(c, run_dir, state_dir)
    return {
        "docker_socket": socket_path(socket) if socket else settings.socket,
        "shared_directories": dict(settings.shared),
    }


def docker_environments(
    c: Any, given: Mapping[str, str | Path | Environment], run_dir: str, state_dir: str
) -> dict[str, Environment]:
    """User images by name: `environments` of setup_hub, else `image` and `allowed_images` of DockerSpawner.

    Raises ConfigurationError `docker.setting_refused` or `site.environment_missing`.
    """
    images = _settings(c, run_dir, state_dir).images
    if images and given:
        raise ConfigurationError(
            "c.DockerSpawner.image or allowed_images is set, and environments of setup_hub as well.",
            code="docker.setting_refused",
            field="image",
            remedy="Name every image in environments alone.",
        )
    found = {name: _environment(name, place) for name, place in (given or images).items()}
    if not found:
        raise ConfigurationError(
            "environments: there is none.",
            code="site.environment_missing",
            field="environments",
            remedy='Write environments={"default": "quay.io/jupyter/base-notebook:latest"}.',
        )
    return found


def _environment(name: str, place: str | Path | Environment) -> Environment:
    image = place if isinstance(place, Environment) else Environment(image=str(place), prefix=DEFAULT_PREFIX)
    if not image.image or image.image.startswith("/") or image.read_only or not os.path.isabs(image.prefix):
        raise ConfigurationError(
            f"environments: {name}: {image} is not a Docker image with the directory of its Python.",
            code="site.environment_missing",
            field=f"environments.{name}",
            remedy='Write Environment(image="NAME:TAG", prefix="/opt/conda").',
        )
    return image


def _settings(c: Any, run_dir: str, state_dir: str) -> DockerSettings:
    given: dict[str, Any] = {}
    for section in _SECTIONS:
        given |= {name: _resolved(value) for name, value in c[section].items()}
    return docker_settings(given, os.environ.get("DOCKER_HOST", ""), (run_dir, state_dir))


def _resolved(value: Any) -> Any:
    """What `c.DockerSpawner.volumes.update(...)` and the like add up to over DockerSpawner's empty defaults."""
    if not isinstance(value, LazyConfigValue):
        return value
    added: Any = value.to_dict()
    return value.get_value({} if "update" in added else [])
