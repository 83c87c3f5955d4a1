"""Which services does setup_hub add to the hub, who may open them, and where does a browser find them?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.settings import Site
from jupyter_sandbox_spawner.setup_services import (
    CONTROL_TOKEN,
    TRACKING_TOKEN,
    add_services,
    own_hosts,
    pages_url,
    refuse_taken,
    service_scopes,
)

ACCESS = "access:services!service=mlflow"


def site(tracking: str = "/opt/tracking") -> Site:
    """A site with MLflow, or without."""
    ports = {"public_port": 1, "hub_port": 2, "proxy_api_port": 3, "front_port": 4}
    more = {"control_port": 5, "tracking_port": 6, "tracking": tracking}
    return Site(run_dir="/run/x", state_dir="/var/x", profiles="", **ports, **more)  # type: ignore[arg-type]


def services(monkeypatch: pytest.MonkeyPatch, of: Site) -> Mapping[str, Mapping[str, Any]]:
    """What is added when the supervisor has handed over both tokens."""
    monkeypatch.setenv(CONTROL_TOKEN, "c" * 40)
    monkeypatch.setenv(TRACKING_TOKEN, "t" * 40)
    c = Config()
    c.JupyterHub.load_roles = []
    add_services(c, of)
    return {item["name"]: item for item in c.JupyterHub.services.to_dict()["extend"]}


def test_mlflows_pages_are_a_service_that_people_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the hub's menu, asks for no consent, and has no scope of its own."""
    found = services(monkeypatch, site())
    assert sorted(found) == ["mlflow", "sandbox"]
    expected = {"display": True, "oauth_no_confirm": True, "url": "http://127.0.0.1:6"}
    assert {name: found["mlflow"][name] for name in expected} == expected


def test_without_mlflow_there_are_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the service nor the scope; with MLflow every user has the scope."""
    assert sorted(services(monkeypatch, site(tracking=""))) == ["sandbox"]
    assert (service_scopes(site()), service_scopes(site(tracking=""))) == ([ACCESS], [])


@pytest.mark.parametrize(
    ("given", "public", "expected"),
    [
        ({}, "", "/base/services/mlflow/"),
        ({}, "https://hub.example/base/", "https://hub.example/base/services/mlflow/"),
        (
            {"subdomain_host": "https://hub.example:8443"},
            "https://hub.example:8443/",
            "https://mlflow--service.hub.example:8443/base/services/mlflow/",
        ),
        (
            {"subdomain_host": "https://hub.example", "subdomain_hook": "legacy"},
            "",
            "https://services.hub.example/base/services/mlflow/",
        ),
        (
            {
                "subdomain_host": "http://hub.example",
                "subdomain_hook": lambda name, domain, kind: f"x.{domain}",
            },
            "",
            "http://x.hub.example/base/services/mlflow/",
        ),
    ],
)
def test_the_address_is_the_one_that_the_hub_serves(
    given: dict[str, Any], public: str, expected: str
) -> None:
    """With subdomains the service has a host of its own, as JupyterHub names it."""
    assert pages_url(given, "/base/", public) == expected


def _failing(name: str, domain: str, kind: str) -> str:
    raise ValueError(name)


HOST = "https://hub.example"


@pytest.mark.proves("X03")
@pytest.mark.parametrize(
    ("given", "own"),
    [
        ({}, False),
        ({"subdomain_host": HOST}, True),
        ({"subdomain_host": HOST, "subdomain_hook": "idna"}, True),
        ({"subdomain_host": HOST, "subdomain_hook": "legacy"}, False),
        ({"subdomain_host": HOST, "subdomain_hook": lambda name, domain, kind: f"{kind}.{domain}"}, False),
        ({"subdomain_host": HOST, "subdomain_hook": lambda name, domain, kind: f"{name}.{domain}"}, False),
        (
            {
                "subdomain_host": HOST,
                "subdomain_hook": lambda name, domain, kind: domain if kind == "service" else f"u.{domain}",
            },
            False,
        ),
        (
            {
                "subdomain_host": HOST,
                "subdomain_hook": lambda name, domain, kind: f"{len(name)}{name}-{kind}.{domain}",
            },
            True,
        ),
        ({"subdomain_host": HOST, "subdomain_hook": _failing}, False),
    ],
)
def test_x03_a_service_that_shares_its_host_is_known(given: dict[str, Any], own: bool) -> None:
    """By the hub's hook: with all services on one host, another one's page could act as the admin."""
    assert own_hosts(given) is own


@pytest.mark.parametrize(
    ("name", "tracking", "taken"), [("mlflow", "/x", True), ("mlflow", "", False), ("sandbox", "", True)]
)
def test_a_name_that_the_admin_uses_is_not_taken_over(name: str, tracking: str, taken: bool) -> None:
    """The admin is told whose name it is; other services stay as they are."""
    given = {"services": [{"name": "other"}, {"name": name}]}
    if not taken:
        refuse_taken(given, tracking)
        return
    with pytest.raises(ConfigurationError, match=f"has a service '{name}'") as caught:
        refuse_taken(given, tracking)
    assert caught.value.code == "setup.service_taken"
