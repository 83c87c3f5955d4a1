"""What does the server inside get told? Environment, argv and relay ports, as one boot document.

Law: nothing of the hub's own environment goes in, and what the sandbox relies on wins over what an admin set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from ..errors import ConfigurationError
from ..gpus import is_counted
from ..models import BootDocument, IngressPlan, RelayPort, SandboxSpec
from ..rules.grants import Grant, decide_grants
from ..rules.profiles import HOME
from .git_settings import GitPlan, git_settings

__all__ = ["ServerPlan", "boot_document", "unknown_image"]

INSIDE = "/run/sandbox/inside"
EGRESS = RelayPort(listen=3128, door="egress")
API = RelayPort(listen=8081, door="api")
INGRESS = IngressPlan(port=8888, idle_connections=4)
# What an admin or a profile sets wins over these. One try of 10 s: the gateway says at once that MLflow is
# away, and MLflow's own patience (120 s, 7 more tries) would hold a cell for minutes.
MLFLOW = {
    "MLFLOW_TRACKING_URI": "http://mlflow.sandbox.internal",
    "MLFLOW_REGISTRY_URI": "http://mlflow.sandbox.internal",
    "MLFLOW_TRACKING_AUTH": "sandbox",
    "MLFLOW_EXPERIMENT_NAME": "Default",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
}
_DROPPED = ("JPY_API_TOKEN", "JUPYTERHUB_SSL_KEYFILE", "JUPYTERHUB_SSL_CERTFILE", "JUPYTERHUB_SSL_CLIENT_CA")


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """One server as the hub sees it.

    `environment` is what `Spawner.get_env` gives, `hub_prefix` the hub's path (`/hub/`), `prefix` the
    server's path; `python_prefix` is the directory of the user image's Python environment. `tracking`: the
    site has MLflow.
    """

    environment: Mapping[str, str]
    user: str
    hub_prefix: str
    prefix: str
    python_prefix: str
    command: str
    arguments: Sequence[str] = ()
    tracking: bool = False


def unknown_image(name: str) -> ConfigurationError:
    """The error for a profile whose user image no admin has named."""
    return ConfigurationError(
        f"There is no user image {name!r}.",
        code="site.environment_missing",
        field="environments",
        remedy="An admin names one in setup_hub(c, environments={...}).",
    )


def boot_document(
    plan: ServerPlan,
    spec: SandboxSpec,
    expires_at: datetime,
    secrets: Sequence[Grant] = (),
    groups: Collection[str] = (),
) -> BootDocument:
    """The document for one start; it holds the server's token, so it goes to the gateway and nowhere else.

    `secrets` are those of its profile; of them it holds names of hosts, and no value.
    """
    granted = decide_grants(spec.user, groups, secrets).granted
    environment = _environment(plan, spec) | _aws(granted)
    return BootDocument(
        version=1,
        environment=environment | git_settings(granted, _git_plan(plan), environment),
        argv=_argv(plan),
        working_directory=HOME,
        relay=(EGRESS, API),
        ingress=INGRESS,
        expires_at=expires_at,
    )


def _argv(plan: ServerPlan) -> tuple[str, ...]:
    shell = [f"{plan.python_prefix}/bin/python", "-I", "-B", INSIDE, "shell"]
    command = plan.command if plan.command.startswith("/") else f"{plan.python_prefix}/bin/{plan.command}"
    root = () if "JUPYTERHUB_ROOT_DIR" in plan.environment else (f"--ServerApp.root_dir={HOME}",)
    terminals = f"--ServerApp.terminado_settings={ {'shell_command': shell}!r}"
    return (command, *root, terminals, *plan.arguments)


def _environment(plan: ServerPlan, spec: SandboxSpec) -> dict[str, str]:
    given = {name: text for name, text in plan.environment.items() if name not in _DROPPED}
    preset = MLFLOW if plan.tracking else {}
    return preset | given | dict(spec.environment) | _limits(spec) | _paths(plan) | _doors(plan) | _jupyter()


def _limits(spec: SandboxSpec) -> dict[str, str]:
    # jupyter-resource-usage reads these two names.
    limits = {"MEM_LIMIT": str(spec.resources.memory), "CPU_LIMIT": f"{spec.resources.cpu:g}"}
    # No device comes by this name; programs that look at it shall not look for more than there is. A cluster
    # chooses the very devices, and a pod sees no others.
    counted = any(is_counted(name) for name in spec.gpu_devices)
    devices = "all" if counted else ",".join(spec.gpu_devices) or "void"
    return limits | {"NVIDIA_VISIBLE_DEVICES": devices}


def _paths(plan: ServerPlan) -> dict[str, str]:
    return {
        "PATH": f"{plan.python_prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": HOME,
        "USER": "jovyan",
        "LOGNAME": "jovyan",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
    }


def _doors(plan: ServerPlan) -> dict[str, str]:
    proxy = f"http://127.0.0.1:{EGRESS.listen}"
    api = f"http://127.0.0.1:{API.listen}{plan.hub_prefix}api"
    local = "localhost,127.0.0.1,::1"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
    return proxies | {
        "NO_PROXY": local,
        "no_proxy": local,
        "JUPYTERHUB_API_URL": api,
        "JUPYTERHUB_ACTIVITY_URL": f"{api}/users/{quote(plan.user, safe='@~')}/activity",
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{INGRESS.port}{plan.prefix}",
        "JUPYTERHUB_SERVICE_PREFIX": plan.prefix,
    }


def _aws(granted: Sequence[Grant]) -> dict[str, str]:
    """Where a profile grants keys of kind aws, boto3 asks by itself; else its settings are the user's own."""
    if not any(grant.kind == "aws" for grant in granted):
        return {}
    return {"AWS_CONFIG_FILE": f"{INSIDE}/etc/aws/config", "AWS_EC2_METADATA_DISABLED": "true"}


def _git_plan(plan: ServerPlan) -> GitPlan:
    return GitPlan(
        door=f"http://127.0.0.1:{API.listen}",
        base_url=plan.hub_prefix.removesuffix("hub/"),
        helper=f"{plan.python_prefix}/bin/jupyter-sandbox",
    )


def _jupyter() -> dict[str, str]:
    return {
        "JUPYTER_SANDBOX": "1",
        "JUPYTERHUB_DISABLE_USER_CONFIG": "1",
        "JUPYTER_CONFIG_DIR": f"{INSIDE}/etc/jupyter",
        "JUPYTER_PATH": f"{INSIDE}/share/jupyter",
        "JUPYTER_RUNTIME_DIR": "/run/jupyter",
        "JUPYTERLAB_SETTINGS_DIR": f"{HOME}/.jupyter/lab/user-settings",
        "JUPYTERLAB_WORKSPACES_DIR": f"{HOME}/.jupyter/lab/workspaces",
    }
