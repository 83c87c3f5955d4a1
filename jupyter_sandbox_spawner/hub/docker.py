"""How does a server run in Docker? DockerSpawner's settings are read; only the launcher asks the daemon.

Law: a setting that would open the sandbox is refused, at the hub's start and again at each server's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from dockerspawner import DockerSpawner
from traitlets import default

from ..errors import BackendError, ConfigurationError
from ..models import SandboxSpec
from ..rules.docker_settings import docker_overlay, docker_settings
from .environment import ServerPlan
from .spawner import SandboxSpawner

__all__ = ["SandboxDockerSpawner"]

_JUDGED = (
    *("network_name", "links", "post_start_cmd", "volumes", "read_only_volumes", "mounts", "client_kwargs"),
    *("tls", "tls_config", "tls_verify", "tls_ca", "tls_cert", "tls_key", "image", "allowed_images"),
)


class SandboxDockerSpawner(SandboxSpawner, DockerSpawner):  # type: ignore[misc]  # without type hints
    """Servers on a Docker daemon of this host. `super().start()` is never called: the launcher acts."""

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return ["jupyterhub-singleuser"]  # never the image's own command, which nothing here could judge

    @default("network_name")
    def _default_network_name(self) -> str:
        return "none"

    @property
    def will_resume(self) -> bool:
        """Containers are always removed, so a token is never kept for the next start."""
        return False

    @property
    def client(self) -> NoReturn:
        """The hub has no way to the daemon."""
        raise BackendError(
            "The hub does not talk to Docker; the launcher does.",
            code="docker.not_for_the_hub",
            remedy="Take hooks that call DockerSpawner.docker out of the configuration.",
        )

    def server_plan(self, spec: SandboxSpec) -> ServerPlan:
        """See SandboxSpawner.server_plan; the server is told its own image, not the configured default."""
        plan = super().server_plan(spec)
        image = self.site.environments[spec.environment_name].image
        return replace(plan, environment={**plan.environment, "JUPYTER_IMAGE_SPEC": image})

    async def overlay(self, spec: SandboxSpec) -> dict[str, Any]:
        """The harmless of `extra_host_config` and `extra_create_kwargs`, as a fragment of Docker's request.

        Raises ConfigurationError `docker.setting_refused` for any other, and for a trait that a hook has set.
        """
        given = {name: getattr(self, name) for name in _JUDGED if self.trait_has_value(name)}
        found = docker_settings(given, private=(self.site.run_dir, self.site.state_dir))
        if dict(found.shared) != dict(self.site.shared_directories):
            raise ConfigurationError(
                "Volumes of DockerSpawner were changed after the launcher had started.",
                code="docker.setting_refused",
                field="read_only_volumes",
                remedy="Set them in the configuration file, then start everything again.",
            )
        return docker_overlay(
            await self._value_of("extra_host_config"), await self._value_of("extra_create_kwargs")
        )

    async def _value_of(self, name: str) -> Mapping[str, Any]:
        """A setting that may be a function of the spawner, also an asynchronous one."""
        value = getattr(self, name)
        if callable(value):
            value = value(self)
        if inspect.isawaitable(value):
            value = await value
        return dict(value or {})
