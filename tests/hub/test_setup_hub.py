"""What does setup_hub set, and what does it refuse?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_sandbox_spawner.errors import ConfigurationError, ProfileError
from jupyter_sandbox_spawner.settings import Site
from jupyter_sandbox_spawner.setup_hub import setup_hub, site_from_config
from jupyter_sandbox_spawner.wire import decode
from tests.lanes import HUB_PYTHONPATH

Setup = Callable[..., Config]


@pytest.fixture
def setup(tmp_path: Path, profiles_file: Path) -> Setup:
    """`setup(c, name=value)`: setup_hub with good values, some replaced; gives back the configuration."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)

    def call(c: Config | None = None, **given: Any) -> Config:
        c = Config() if c is None else c
        good = {
            "profiles": profiles_file,
            "run_dir": "/run/sandbox-test",
            "state_dir": "/var/sandbox-test",
            "environments": {"default": tmp_path},
        }
        setup_hub(c, **(good | given))
        return c

    return call


def test_the_site_is_recorded(setup: Setup) -> None:
    """What setup_hub records is a complete Site; ports nobody chose are 0."""
    site = decode(Site, site_from_config(setup(public_port=0, internal_services={"pkg.x:80": "127.0.0.1:9"})))
    assert (site.run_dir, site.hub_port, site.public_port) == ("/run/sandbox-test", 0, 0)
    assert site.internal_services == {"pkg.x:80": "127.0.0.1:9"}
    assert list(site.environments) == ["default"]


def test_hub_and_proxy_are_equals_on_loopback(setup: Setup) -> None:
    """The hub starts no proxy, listens on loopback, and leaves servers running when it stops."""
    c = setup()
    assert c.ConfigurableHTTPProxy.should_start is False
    assert c.JupyterHub.hub_ip == "127.0.0.1"
    assert c.JupyterHub.cleanup_servers is False
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8000/"


def test_the_hub_is_relieved_of_its_passes(setup: Setup) -> None:
    """The hub makes no pass over all servers and polls each rarely, unless the admin says otherwise."""
    c = setup()
    assert (c.JupyterHub.last_activity_interval, c.Spawner.poll_interval) == (0, 300)
    own = Config()
    own.JupyterHub.last_activity_interval = own.Spawner.poll_interval = 77
    setup(own)
    assert (own.JupyterHub.last_activity_interval, own.Spawner.poll_interval) == (77, 77)


def test_an_idle_culler_beside_ours_is_warned_of(
    setup: Setup, control: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that looks like jupyterhub-idle-culler is named in the log; any other service is not."""
    c = Config()
    c.JupyterHub.services = [{"name": "announce", "command": ["announce"]}]
    setup(c)
    control("another service is fine", "idle culler" not in caplog.text)
    for service in (
        {"name": "idle", "command": ["python3", "-m", "jupyterhub_idle_culler", "--timeout=3600"]},
        {"name": "jupyterhub-idle-culler", "api_token": "t"},
    ):
        caplog.clear()
        c = Config()
        c.JupyterHub.services = [service]
        setup(c)
        assert f"The hub's service {service['name']!r} looks like an idle culler" in caplog.text


def test_what_the_admin_set_before_stays(setup: Setup) -> None:
    """A database or a limit that the admin chose is not replaced."""
    c = Config()
    c.JupyterHub.db_url = "postgresql://db/hub"
    c.JupyterHub.load_roles = [{"name": "mine"}]
    c.JupyterHub.template_paths = ["/mine"]
    c.JupyterHub.custom_scopes = {"custom:mine": {"description": "mine"}}
    c.Spawner.server_token_scopes = ["self"]
    setup(c)
    assert c.JupyterHub.db_url == "postgresql://db/hub"
    assert c.JupyterHub.load_roles[0] == {"name": "mine"}
    assert c.JupyterHub.template_paths[0] == "/mine"
    scopes = ["custom:mine", "custom:sandbox:admin", "custom:sandbox:self"]
    assert sorted(c.JupyterHub.custom_scopes) == scopes
    assert c.Spawner.server_token_scopes == ["self", "custom:sandbox:self!server"]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({}, ["self", "custom:sandbox:self!user"]),
        (
            {"load_roles": [{"name": "user", "scopes": ["self", "shares!user"]}]},
            ["self", "shares!user", "custom:sandbox:self!user"],
        ),
        (
            {"load_roles": [{"name": "user", "description": "x"}]},
            ["self", "custom:sandbox:self!user"],
        ),
        ({"extra_user_scopes": {"shares!user"}}, ["self", "custom:sandbox:self!user", "shares!user"]),
    ],
    ids=["absent", "role", "role without scopes", "extra scopes"],
)
def test_users_may_ask_about_their_own_sandbox(
    setup: Setup, before: dict[str, Any], expected: list[str]
) -> None:
    """The role of every user gets our scope beside what the admin gave it."""
    c = Config()
    c.JupyterHub.update(before)
    roles = {role["name"]: role for role in setup(c).JupyterHub.load_roles}
    assert roles["user"]["scopes"] == expected


def test_the_authenticators_admins_have_the_admin_scope(setup: Setup, control: Any) -> None:
    """Those whom the authenticator names an admin get the role with the scope, and no other user does."""
    c = Config()
    c.Authenticator.admin_users = {"root", "ada"}
    roles = {role["name"]: role for role in setup(c).JupyterHub.load_roles}
    assert roles["sandbox-admin"]["users"] == ["ada", "root"]
    scopes = ["custom:sandbox:admin", "access:services!service=sandbox"]
    control("the role holds the scope, and opens the page", roles["sandbox-admin"]["scopes"] == scopes)
    assert "custom:sandbox:admin" not in roles["user"]["scopes"]


@pytest.mark.proves("T19")
def test_off_loopback_needs_subdomains(setup: Setup, control: Any) -> None:
    """Off loopback without subdomains is refused; with subdomains, or accepted by name, it is not."""
    with pytest.raises(ConfigurationError) as refusal:
        setup(public_host="0.0.0.0")
    assert refusal.value.code == "site.shared_origin"
    with pytest.raises(ConfigurationError):
        setup(public_url="https://hub.example.org")
    with_subdomains = Config()
    with_subdomains.JupyterHub.subdomain_host = "https://hub.example.org"
    setup(with_subdomains, public_host="0.0.0.0")
    control("subdomains open it", with_subdomains.SandboxSite.subdomain_host == "https://hub.example.org")
    assert with_subdomains.SandboxSite.own_service_hosts
    accepted = setup(public_host="0.0.0.0", accept_shared_origin=True)
    control("the admin may accept it", accepted.SandboxSite.accept_shared_origin is True)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"colour": "red"}, "setup.unknown"),
        ({"further_runtimes": "runsc"}, "setup.runtimes_invalid"),
        ({"further_runtimes": ["/usr/bin/runsc"]}, "setup.runtimes_invalid"),
        ({"cdi_directories": "/etc/cdi"}, "setup.cdi_directories_invalid"),
        ({"cdi_directories": ["etc/cdi"]}, "setup.cdi_directories_invalid"),
        ({"environments": {}}, "site.environment_missing"),
        ({"environments": {"default": "/nowhere"}}, "site.environment_missing"),
        ({"profiles": "/nowhere/profiles.yaml"}, "profiles.missing"),
    ],
)
def test_wrong_settings_are_refused(setup: Setup, given: dict[str, Any], code: str) -> None:
    """A setting that does not exist or points nowhere is refused with its name."""
    with pytest.raises(ConfigurationError) as refusal:
        setup(**given)
    assert refusal.value.code == code


def test_internal_ssl_is_refused(setup: Setup) -> None:
    """The hub's internal_ssl has no meaning behind doors and is refused."""
    c = Config()
    c.JupyterHub.internal_ssl = True
    with pytest.raises(ConfigurationError, match="internal_ssl"):
        setup(c)


def test_profiles_from_python(setup: Setup) -> None:
    """A Python list, dictionary, or what a function gives is checked and handed to the spawner."""
    listed = [{"display_name": "A", "slug": "a", "default": True, "sandbox": {"cpu": 1, "memory": "1G"}}]
    assert setup(profiles=listed).SandboxSpawner.profiles == listed
    assert setup(profiles={"profiles": listed}).SandboxSpawner.profiles == {"profiles": listed}
    assert setup(profiles=lambda: listed).SandboxSpawner.profiles == listed
    with pytest.raises(ProfileError):
        setup(profiles=[{"slug": "a"}])


@pytest.mark.parametrize(
    "room",
    [
        pytest.param("hub", marks=pytest.mark.lane("hub6")),
        pytest.param("hub5", marks=pytest.mark.lane("hub5")),
    ],
)
def test_a_broken_file_stops_the_hub(room: str, venvs: Path, checkout: Path, tmp_path: Path) -> None:
    """A hub with a broken profiles.yaml does not start and its last words name file, line and field."""
    broken = tmp_path / "profiles.yaml"
    broken.write_text("- display_name: A\n  slug: a\n  default: true\n  sandbox: {cpu: 1, memory: 4 gigs}\n")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": HUB_PYTHONPATH,
        "SANDBOX_PROFILES": str(broken),
        "SANDBOX_USER_ENV": str(venvs / room),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    ended = subprocess.run(
        [venvs / room / "bin/python", "-m", "jupyterhub", "-f", checkout / "hub_config/jupyterhub_config.py"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode != 0
    assert f"{broken}:4: profiles[0].sandbox.memory: '4 gigs' is not a size." in ended.stderr


def test_the_shipped_configuration_is_short(checkout: Path) -> None:
    """hub_config/jupyterhub_config.py stays under 60 lines."""
    assert len((checkout / "hub_config/jupyterhub_config.py").read_text().splitlines()) < 60
