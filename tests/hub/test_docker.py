"""What do a configuration file and a real hub make of DockerSpawner's settings?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.settings import Environment
from jupyter_sandbox_spawner.setup_hub import setup_hub, site_from_config

from .hub_process import HubProcess

IMAGE = Environment(image="jupyter-sandbox-user", prefix="/opt/jupyter")
CONFIGURED = """
c.DockerSpawner.extra_host_config = lambda spawner: {"cpu_shares": 77}
c.DockerSpawner.extra_create_kwargs = {"labels": {"cost-centre": "42"}}
c.DockerSpawner.read_only_volumes = {"/data/reference": "/srv/reference"}
"""
OPENING = 'c.DockerSpawner.extra_host_config = lambda spawner: {"privileged": True}'


@pytest.fixture(autouse=True)
def no_docker_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that the shell of the caller names is not meant here."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)


def configured(profiles: Path, c: Config | None = None, **more: Any) -> Config:
    """A configuration after setup_hub with the Docker backend."""
    c = c or Config()
    places = {"run_dir": "/run/jupyter-sandbox", "state_dir": "/var/lib/jupyter-sandbox"}
    setup_hub(c, profiles=profiles, backend="docker", **places, **more)
    return c


def test_images(profiles_file: Path) -> None:
    """A name alone is an image of Jupyter's own kind; an Environment says where its Python is."""
    images = {"default": "quay.io/jupyter/base-notebook", "own": IMAGE}
    site = site_from_config(configured(profiles_file, environments=images))
    assert site["environments"]["default"]["image"] == "quay.io/jupyter/base-notebook"
    assert site["environments"]["default"]["prefix"] == "/opt/conda"
    assert site["environments"]["own"]["prefix"] == "/opt/jupyter"
    assert (site["backend"], site["docker_socket"]) == ("docker", "/run/docker.sock")


def test_dockerspawners_own_image(profiles_file: Path) -> None:
    """c.DockerSpawner.image is the default user image where setup_hub names none; both are refused."""
    c = Config()
    c.DockerSpawner.image = "quay.io/jupyter/scipy-notebook"
    site = site_from_config(configured(profiles_file, c))
    assert site["environments"]["default"]["image"] == "quay.io/jupyter/scipy-notebook"
    assert c.JupyterHub.spawner_class.endswith("SandboxDockerSpawner")
    with pytest.raises(ConfigurationError, match="environments of setup_hub"):
        configured(profiles_file, c, environments={"default": IMAGE})


def test_settings_after_setup_hub(profiles_file: Path, control: Any) -> None:
    """What stands below setup_hub in the file is judged as well, also where it only adds to a default."""
    c = configured(profiles_file, environments={"default": IMAGE})
    c.SandboxDockerSpawner.read_only_volumes = {"/data/reference": "/srv/reference"}
    shared = site_from_config(c)["shared_directories"]
    control("harmless ones are taken over", shared == {"/srv/reference": "/data/reference"})
    c.DockerSpawner.extra_host_config.update({"privileged": True})
    with pytest.raises(ConfigurationError) as refused:
        site_from_config(c)
    assert refused.value.code == "docker.setting_refused"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, "site.environment_missing"),
        ({"environments": {"default": "/opt/venv"}}, "site.environment_missing"),
        ({"environments": {"default": IMAGE}, "docker_socket": "tcp://10.0.0.1:2376"}, "docker.remote"),
    ],
    ids=["no image", "a directory", "a daemon elsewhere"],
)
def test_bad_input(profiles_file: Path, more: dict[str, Any], code: str) -> None:
    """Without an image, with a directory in its place or with a remote daemon nothing starts."""
    with pytest.raises(ConfigurationError) as refused:
        configured(profiles_file, **more)
    assert refused.value.code == code
    assert refused.value.remedy


def test_unknown_backend(profiles_file: Path) -> None:
    """Another backend's name is refused with those that exist."""
    with pytest.raises(ConfigurationError, match="docker, kubernetes, local") as refused:
        setup_hub(Config(), profiles=profiles_file, run_dir="/r", state_dir="/s", backend="podman")
    assert refused.value.code == "setup.backend_unknown"


def test_a_start_on_docker(new_hub: Callable[..., AbstractContextManager[HubProcess]]) -> None:
    """Both hubs send the launcher the image's name and a harmless overlay; the image's own server starts."""
    shared = {"/srv/reference": "/data/reference"}
    site = {"backend": "docker", "environments": {"default": IMAGE}, "shared_directories": shared}
    with new_hub(more=CONFIGURED, **site) as hub:
        assert hub.start("anna").status == 201
        request = hub.launcher.requests[-1]
        assert request.spec.environment_name == "default"
        assert request.overlay == {"HostConfig": {"CpuShares": 77}, "Labels": {"cost-centre": "42"}}
        document = hub.gateway.documents[request.spec.id]
        assert document.argv[0] == "/opt/jupyter/bin/jupyterhub-singleuser"
        assert document.environment["JUPYTER_IMAGE_SPEC"] == "jupyter-sandbox-user"
        assert set(hub.servers("anna")[""]["state"]) == {"sandbox", "profile"}
        assert hub.api("DELETE", "users/anna/server").status == 204
        answer = hub.start("anna", {"profile": "cpu-small", "image": "evil:latest"})
        assert answer.status == 400


def test_an_opening_by_function(new_hub: Callable[..., AbstractContextManager[HubProcess]]) -> None:
    """A function whose answer would open the sandbox is refused at the start, and nothing is sent."""
    with new_hub(more=OPENING, backend="docker", environments={"default": IMAGE}) as hub:
        answer = hub.start("anna")
        assert answer.status >= 400
        assert "privileged" in str(answer.document) + hub.log()
        assert hub.launcher.requests == []
