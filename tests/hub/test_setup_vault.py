"""Is a wrong `vault` of setup_hub refused with its field and the way out, before anything starts?"""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.settings import Site
from jupyter_sandbox_spawner.setup_vault import vault_site
from jupyter_sandbox_spawner.vault_site import VaultSite
from jupyter_sandbox_spawner.wire import decode_json, encode_json

GOOD = {
    "address": "https://vault.example.org:8200",
    "role_id_file": "/etc/role-id",
    "secret_id_file": "/etc/secret-id",
}


def test_a_good_one_is_kept_as_it_is() -> None:
    """As a mapping or as VaultSite; without one there is none."""
    found = vault_site(GOOD)
    assert found == VaultSite(**GOOD)
    assert vault_site(found) == found
    assert vault_site(None) is None
    assert vault_site({"address": "http://127.0.0.1:8200", "login": "token", "token_file": "/x"}) is not None


def test_it_crosses_to_the_programs() -> None:
    """site.json holds it, and every program reads the same."""
    ports = {"public_port": 1, "hub_port": 2, "proxy_api_port": 3, "front_port": 4}
    site = Site(run_dir="/run/x", state_dir="/var/x", profiles="", vault=VaultSite(**GOOD), **ports)  # type: ignore[arg-type]
    assert decode_json(Site, encode_json(site)) == site


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ("https://vault", "vault", "is no mapping"),
        ({}, "vault.address", "is missing"),
        ({"adress": "x"}, "vault.adress", "Known: address, audience, ca,"),
        ({**GOOD, "address": 8200}, "vault.address", "8200 is no text"),
        ({**GOOD, "address": "vault.example.org"}, "vault.address", "is no address of a server"),
        ({**GOOD, "address": "https://vault.example.org/v1"}, "vault.address", "scheme, host and port only"),
        ({**GOOD, "address": "https://me:pw@vault.example.org"}, "vault.address", "has a login in it"),
        ({**GOOD, "address": "http://vault.example.org"}, "vault.address", "would send secrets unencrypted"),
        ({**GOOD, "login": "ldap"}, "vault.login", "approle, kubernetes, token"),
        ({"address": GOOD["address"]}, "vault.role_id_file", "is needed to log in by approle"),
        ({"address": GOOD["address"], "login": "kubernetes"}, "vault.token_file", "is needed"),
        ({**GOOD, "ca": "ca.pem"}, "vault.ca", "is no absolute path"),
        ({**GOOD, "kv_mount": "secret/../sys"}, "vault.kv_mount", "is no name in Vault"),
        ({**GOOD, "jwt_mount": "jwt sandbox"}, "vault.jwt_mount", "is no name in Vault"),
        ({**GOOD, "namespace": "a\nb"}, "vault.namespace", "is no name in Vault"),
    ],
)
def test_a_wrong_one_is_named(given: Any, field: str, words: str) -> None:
    """One error with the field; a password in an address is a mistake, too."""
    with pytest.raises(ConfigurationError) as caught:
        vault_site(given)
    assert caught.value.code == "vault.setting"
    assert caught.value.field == field
    assert words in str(caught.value)
    assert "me:pw" not in str(caught.value)
