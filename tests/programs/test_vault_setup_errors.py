"""What does hub_config/vault/setup say to what is wrong, and where else can things lie?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hub_config.vault.own_vault import SETUP
from tests.programs.test_vault_setup import POLICIES, everything
from tests.support.jwts import new_key
from tests.support.vault_server import VaultServer, running_vault

pytestmark = pytest.mark.lane("vault")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--nonsense", "x"], "no option --nonsense"),
        (["--kv"], "--kv is no option, or its value is missing"),
        (["--kv", "../sys"], "'../sys' is no path"),
        (["--shared", "users/*"], "would show everybody's secrets"),
        (["--shared", "*"], "would show everybody's secrets"),
        (["--shared", "a/+/b"], "'a/+/b' is no path"),
        (["--shared", "{{identity.entity.id}}"], "is no path"),
        (["--shared", 'a" { capabilities = ["sudo"] } path "b'], "is no path"),
        (["--token-ttl", "soon"], "'soon' is no time"),
        (["--postgres", "postgresql://v@h/d"], "--postgres comes after --database"),
        (["--jwt-key", "/nowhere"], "/nowhere cannot be read"),
        (["--jwt-key", "/etc/hostname"], "no public key"),
    ],
)
def test_a_wrong_argument_is_refused(vault: VaultServer, options: list[str], words: str) -> None:
    """The sentence names it, nothing is changed, and the status is 2."""
    before = everything(vault)
    done = vault.set_up(*options, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert everything(vault) == before


def test_a_private_key_is_not_sent(vault: VaultServer, tmp_path: Path) -> None:
    """Who gives the private key in place of the public one is told how to make that."""
    from cryptography.hazmat.primitives import serialization as form

    file = tmp_path / "private.pem"
    none = form.NoEncryption()
    file.write_bytes(new_key().private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, none))
    done = vault.set_up("--jwt-key", str(file), check=False)
    assert (done.returncode, "-pubout" in done.stderr, "private key" in done.stderr) == (2, True, True)


def run_setup(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up with nothing but these variables."""
    return subprocess.run(
        [SETUP],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_sealed_vault_is_said(vault: VaultServer) -> None:
    """A sealed Vault has a sentence and a command of its own."""
    with vault.sealed():
        done = vault.set_up(check=False)
    assert (done.returncode, "is sealed" in done.stderr, "operator unseal" in done.stderr) == (4, True, True)


def test_a_wrong_token_is_said(vault: VaultServer) -> None:
    """Vault's own words follow."""
    done = run_setup(VAULT_ADDR=vault.address, VAULT_TOKEN="nonsense")
    assert (done.returncode, "Vault answered 403" in done.stderr) == (4, True)


def test_a_wrong_address_is_said() -> None:
    """Where nobody listens, curl's reason and ours are both there."""
    done = run_setup(VAULT_ADDR="http://127.0.0.1:1", VAULT_TOKEN="t")
    assert (done.returncode, "does not answer at http://127.0.0.1:1" in done.stderr) == (4, True)


@pytest.mark.parametrize(
    ("variable", "given"), [("VAULT_ADDR", {}), ("VAULT_TOKEN", {"VAULT_ADDR": "http://x"})]
)
def test_what_is_not_set_is_named(variable: str, given: dict[str, str]) -> None:
    """Without address or token nothing is tried."""
    done = run_setup(**given)
    assert (done.returncode, variable in done.stderr) == (2, True)


def test_a_namespace_of_a_vault_without_them_is_said(vault: VaultServer) -> None:
    """This Vault would pass over VAULT_NAMESPACE and put everything elsewhere: the set-up stops before."""
    done = run_setup(VAULT_ADDR=vault.address, VAULT_TOKEN=vault.root_token, VAULT_NAMESPACE="team")
    assert (done.returncode, "has no namespaces" in done.stderr) == (4, True)


def test_an_engine_of_another_kind_is_left_alone() -> None:
    """KV of version 1 in that place is named, and not changed."""
    with running_vault(prepared=False) as vault:
        vault.initialise()
        vault.call("PUT", "sys/mounts/secret", {"type": "kv", "options": {"version": "1"}})
        done = vault.set_up(check=False)
        assert done.returncode == 4
        assert "kv version 2 is needed" in done.stderr
        assert vault.call("GET", "sys/mounts/secret")["data"]["options"] == {"version": "1"}


def test_other_places_can_be_chosen() -> None:
    """Engine and methods can lie elsewhere, and the policies follow."""
    with running_vault(prepared=False) as vault:
        vault.initialise()
        vault.set_up("--kv", "team/kv", "--kv-prefix", "hub/one", "--shared", "all/*")
        everywhere = [vault.call("GET", f"sys/policies/acl/{name}")["data"]["policy"] for name in POLICIES]
        paths = [line for text in everywhere for line in text.splitlines() if line.startswith('path "team')]
        assert len(paths) == 5
        assert all(
            line.startswith(('path "team/kv/data/hub/one/', 'path "team/kv/metadata/hub/one/'))
            for line in paths
        )
        vault.set_up("--kv", "team/kv", "--jwt", "login/sandboxes", "--approle", "login/programs")
        text = vault.call("GET", "sys/policies/acl/sandbox-user")["data"]["policy"]
        accessor = vault.call("GET", "sys/auth/login/sandboxes")["data"]["accessor"]
        assert f'path "team/kv/data/users/{{{{identity.entity.aliases.{accessor}.name}}}}/*"' in text
        assert vault.call("GET", "auth/login/programs/role/sandbox-broker/role-id")["data"]["role_id"]
