"""How does a server run on this host? In an OCI sandbox over a Python environment of the host."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError
from ..models import SandboxSpec
from .environment import ServerPlan
from .spawner import SandboxSpawner

__all__ = ["SandboxLocalSpawner"]


class SandboxLocalSpawner(SandboxSpawner):
    """Servers on the local backend. The launcher runs the OCI runtime; the hub needs no privilege."""

    def overlay(self, spec: SandboxSpec) -> dict[str, Any]:
        """Nothing: the local backend renders everything from the spec."""
        return {}

    def server_plan(self, spec: SandboxSpec) -> ServerPlan:
        """`jupyterhub-singleuser` of the user image that the profile names."""
        image = self.site.environments.get(spec.environment_name)
        if image is None:
            raise ConfigurationError(
                f"There is no user image {spec.environment_name!r}.",
                code="site.environment_missing",
                field="environments",
                remedy="An admin names one in setup_hub(c, environments={...}).",
            )
        command = list(self.cmd)
        return ServerPlan(
            environment=self.get_env(),
            user=spec.user,
            hub_prefix=self.hub.base_url,
            prefix=self.server.base_url,
            python_prefix=image.prefix,
            command=command[0],
            arguments=(*command[1:], *self.get_args()),
            tracking=bool(self.site.tracking),
        )
