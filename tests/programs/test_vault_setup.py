"""Does hub_config/vault/setup make a Vault ready, twice as well as once, and refuse what is wrong?"""

from __future__ import annotations

import functools
import http.server
import json
import shlex
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_config.vault.own_vault import Refused
from tests.support.jwts import claims, new_key, public_jwk, public_pem, sign
from tests.support.token_review import running_cluster
from tests.support.vault_server import VaultServer

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("vault")
POLICIES = ("sandbox-user", "sandbox-broker")
BROKER = "auth/approle/role/sandbox-broker"


def everything(vault: VaultServer) -> dict[str, Any]:
    """All that the set-up makes, as Vault gives it back, with the ids that Vault chose."""
    paths = [f"sys/policies/acl/{name}" for name in POLICIES]
    paths += ["sys/auth", "sys/mounts", "auth/jwt-sandbox/role/sandbox", "auth/jwt-sandbox/config"]
    paths += [BROKER, f"{BROKER}/role-id"]
    return {path: vault.call("GET", path)["data"] for path in paths}


@pytest.fixture
def key_file(vault: VaultServer, tmp_path: Path) -> Path:
    """The public key that this Vault trusts already."""
    file = tmp_path / "key.pem"
    file.write_text(public_pem(vault.key))
    return file


@pytest.fixture
def changed(vault: VaultServer) -> Iterator[VaultServer]:
    """The module's Vault for a test that changes what it trusts; it is set right afterwards."""
    yield vault
    vault.set_jwt_keys([public_pem(vault.key)])
    vault.set_up("--shared", "shared/*")


def refusal(call: Callable[[], object]) -> str:
    """What Vault says to a call that it must refuse."""
    with pytest.raises(Refused) as error:
        call()
    return f"{error.value.status} {' '.join(error.value.errors)}"


def login_with(vault: VaultServer, key: Any, **header: str) -> str:
    """The accessor of alice's token, signed with this key."""
    what = {"role": "sandbox", "jwt": sign(key, claims("alice"), **header)}
    return str(vault.call("PUT", "auth/jwt-sandbox/login", what, token="")["auth"]["accessor"])


class SilentFiles(http.server.SimpleHTTPRequestHandler):
    """Gives out the files of a directory and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_second_run_changes_nothing(vault: VaultServer, key_file: Path) -> None:
    """Policies, roles, keys, accessors and the broker's role id are the same after it."""
    before = everything(vault)
    said = vault.set_up("--jwt-key", str(key_file), "--shared", "shared/*").stdout
    assert everything(vault) == before
    assert "policy sandbox-user: unchanged" in said
    assert "policy sandbox-broker: unchanged" in said


def test_what_was_changed_by_hand_is_put_right(changed: VaultServer) -> None:
    """A policy that somebody widened is as promised after the next run."""
    before = changed.call("GET", "sys/policies/acl/sandbox-user")["data"]
    wide = 'path "*" { capabilities = ["read"] }'
    changed.call("PUT", "sys/policies/acl/sandbox-user", {"policy": wide})
    changed.set_up("--shared", "shared/*")
    assert changed.call("GET", "sys/policies/acl/sandbox-user")["data"] == before


def test_a_second_run_without_keys_keeps_them(changed: VaultServer) -> None:
    """The keys of the broker stay until other ones are given, and that is said."""
    said = changed.set_up().stdout
    assert "no key given, and none changed" in said
    assert changed.login("alice")["client_token"]


def test_a_sandbox_token_is_as_promised(vault: VaultServer) -> None:
    """It is an orphan service token of 15 minutes within a day, without the default policy."""
    auth = vault.login("alice", server="s", instance="sb-7", profile="small")
    token = vault.call("PUT", "auth/token/lookup", {"token": auth["client_token"]})["data"]
    assert (token["type"], token["orphan"], token["renewable"]) == ("service", True, True)
    assert (token["creation_ttl"], token["explicit_max_ttl"]) == (15 * 60, 24 * 3600)
    assert (token["policies"], token.get("identity_policies")) == (["sandbox-user"], None)
    assert {"server": "s", "sandbox": "sb-7", "profile": "small"}.items() <= token["meta"].items()


def test_times_are_settable(changed: VaultServer) -> None:
    """The set-up takes other times for tokens of sandboxes."""
    changed.set_up("--token-ttl", "5m", "--token-max-ttl", "2h")
    auth = changed.login("alice")
    assert auth["lease_duration"] == 300
    looked = changed.call("PUT", "auth/token/lookup", {"token": auth["client_token"]})["data"]
    assert looked["explicit_max_ttl"] == 7200
    changed.set_up("--token-ttl", "15m", "--token-max-ttl", "24h")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"iss": "somebody"}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"exp": 1_000_000_000, "iat": 999_999_000, "nbf": 999_999_000}, "exp"),
        ({"groups": None}, "groups"),
        ({"username": None}, "username"),
    ],
)
def test_a_wrong_claim_is_refused(
    vault: VaultServer, control: Control, wrong: dict[str, Any], words: str
) -> None:
    """Issuer, audience, time, name and groups are all looked at, and Vault names the one."""
    control("the same token with right claims", bool(vault.login("alice")["accessor"]))
    said = refusal(lambda: vault.login("alice", **wrong))
    assert said.startswith("400")
    assert words in said


def test_a_token_expires_within_seconds(vault: VaultServer) -> None:
    """A token whose time was over 30 s ago is refused: no more is allowed than clocks may differ."""
    now = claims("alice")["iat"]
    control = vault.login("alice", iat=now - 200, nbf=now - 200, exp=now + 60)
    assert control["accessor"]
    said = refusal(lambda: vault.login("alice", iat=now - 200, nbf=now - 200, exp=now - 30))
    assert "exp" in said


def test_a_token_of_another_key_is_refused(vault: VaultServer) -> None:
    """Only the broker's key counts, whatever the token says."""
    forged = sign(new_key(), claims("alice"))
    said = refusal(lambda: vault.call("PUT", "auth/jwt-sandbox/login", {"role": "sandbox", "jwt": forged}))
    assert said.startswith("400")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256"])
def test_no_other_algorithm_is_taken(vault: VaultServer, algorithm: str) -> None:
    """A token that names another algorithm is refused, also with the right signature."""
    odd = sign(vault.key, claims("alice"), alg=algorithm)
    said = refusal(lambda: vault.call("PUT", "auth/jwt-sandbox/login", {"role": "sandbox", "jwt": odd}))
    assert said.startswith("400")


def test_keys_are_exchanged_without_a_gap(changed: VaultServer, tmp_path: Path, control: Control) -> None:
    """With both keys given both log in; with the new one alone the old one is over."""
    new = new_key()
    files = [tmp_path / "old.pem", tmp_path / "new.pem"]
    for file, key in zip(files, (changed.key, new), strict=True):
        file.write_text(public_pem(key))
    changed.set_up("--jwt-key", str(files[0]), "--jwt-key", str(files[1]))
    control("old and new", bool(login_with(changed, changed.key)) and bool(login_with(changed, new)))
    changed.set_up("--jwt-key", str(files[1]))
    control("new alone", bool(login_with(changed, new)))
    assert refusal(lambda: login_with(changed, changed.key)).startswith("400")


def test_one_file_can_hold_several_keys(changed: VaultServer, tmp_path: Path) -> None:
    """Keys in one file, as the broker's admin prints them, all count."""
    new, file = new_key(), tmp_path / "keys.pem"
    file.write_text(public_pem(new) + public_pem(changed.key))
    assert "2 public key(s)" in changed.set_up("--jwt-key", str(file), "--shared", "shared/*").stdout
    assert login_with(changed, changed.key)
    assert login_with(changed, new)


def test_keys_can_come_from_an_address(changed: VaultServer, tmp_path: Path, control: Control) -> None:
    """With --jwks-url Vault fetches the broker's keys itself, also one that is published later."""
    published, first, second = tmp_path / "keys.json", new_key(), new_key()
    handler = functools.partial(SilentFiles, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            published.write_text(json.dumps({"keys": [public_jwk(first, "1")]}))
            url = f"http://127.0.0.1:{server.server_address[1]}/keys.json"
            changed.set_up("--shared", "shared/*", "--jwks-url", url)
            control("the published key", bool(login_with(changed, first, kid="1")))
            assert refusal(lambda: login_with(changed, second, kid="2")).startswith("400")
            published.write_text(json.dumps({"keys": [public_jwk(second, "2")]}))
            control("the next one", bool(login_with(changed, second, kid="2")))
        finally:
            server.shutdown()
            thread.join()


def test_keys_from_nowhere_are_said(changed: VaultServer) -> None:
    """An address that Vault cannot reach is refused at once, and the old keys stay."""
    done = changed.set_up("--jwks-url", "http://127.0.0.1:1/keys.json", check=False)
    assert (done.returncode, "auth/jwt-sandbox/config: Vault answered 400" in done.stderr) == (4, True)
    assert changed.login("alice")["accessor"]


def test_keys_alone_can_be_given(changed: VaultServer, tmp_path: Path, control: Control) -> None:
    """With --only-keys the new key counts at once, and what the policy allows is as it was."""
    changed.set_up("--shared", "of-before/*")
    before = everything(changed)
    new = new_key()
    (tmp_path / "new.pem").write_text(public_pem(new))
    changed.set_up("--only-keys", "--jwt-key", str(tmp_path / "new.pem"))
    what = {"role": "sandbox", "jwt": sign(new, claims("alice"))}
    login = changed.call("PUT", "auth/jwt-sandbox/login", what, token="")
    control("the new key counts", bool(login["auth"]["accessor"]))
    policy = changed.call("GET", "sys/policies/acl/sandbox-user")["data"]["policy"]
    control("the policy is looked at", "of-before/*" in policy)
    differing = {name for name, now in everything(changed).items() if now != before[name]}
    assert all("jwt-sandbox/config" in name for name in differing)


def test_the_secret_id_can_be_unwrapped_once(vault: VaultServer, tmp_path: Path, control: Control) -> None:
    """The file holds a wrapping token, 0600; who opens it second gets an error, which is the alarm."""
    file = tmp_path / "secret-id"
    vault.set_up("--shared", "shared/*", "--secret-id", str(file), "--wrap-ttl", "5m")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    wrapping = file.read_text().strip()
    looked = vault.call("PUT", "sys/wrapping/lookup", {"token": wrapping}, token="")["data"]
    assert (looked["creation_path"], looked["creation_ttl"]) == (f"{BROKER}/secret-id", 300)
    first = vault.call("PUT", "sys/wrapping/unwrap", token=wrapping)["data"]["secret_id"]
    login = {"role_id": vault.role_id_file.read_text().strip(), "secret_id": first}
    control("it logs in", bool(vault.call("PUT", "auth/approle/login", login, token="")["auth"]))
    said = refusal(lambda: vault.call("PUT", "sys/wrapping/unwrap", token=wrapping))
    assert said.startswith("400")
    assert "wrapping token is not valid or does not exist" in said


def test_the_broker_token_is_renewable_for_ever(vault: VaultServer) -> None:
    """It is periodic, an hour each time, and without the default policy."""
    looked = vault.call("GET", "auth/token/lookup-self", token=vault.broker_token())["data"]
    assert (looked["period"], looked["policies"], looked["type"]) == (3600, ["sandbox-broker"], "service")


def test_the_broker_can_be_bound_to_its_addresses(vault: VaultServer, control: Control) -> None:
    """A secret id that was made for another network does not log in from here."""
    control("without a binding", bool(vault.broker_token()))
    vault.set_up("--shared", "shared/*", "--broker-cidr", "192.0.2.0/24")
    try:
        assert "source address" in refusal(vault.broker_token)
    finally:
        vault.set_up("--shared", "shared/*")
    control("the binding is gone", bool(vault.broker_token()))


def test_a_service_account_of_a_cluster_can_log_in(
    vault: VaultServer, tmp_path: Path, control: Control
) -> None:
    """The account of that namespace, with that audience, gets the broker's policy, and no other does."""

    def login(token: str) -> dict[str, Any]:
        what = {"role": "sandbox-broker", "jwt": token}
        return dict(vault.call("PUT", "auth/kubernetes/login", what, token="")["auth"])

    with running_cluster(tmp_path) as cluster:
        place = ["--kubernetes", cluster.address, "--kubernetes-ca", str(cluster.ca_file)]
        vault.set_up("--shared", "shared/*", *place, "--service-account", "hub/broker")
        mine = cluster.token("hub/broker")
        control("the broker's own", login(mine)["policies"] == ["sandbox-broker"])
        others = [
            cluster.token("hub/other"),
            cluster.token("team/broker"),
            cluster.token("hub/broker", "api"),
        ]
        cluster.withdraw(mine)
        assert [refusal(lambda token=token: login(token))[:3] for token in (*others, mine)] == ["403"] * 4


def test_no_secret_is_on_a_command_line(vault: VaultServer, tmp_path: Path, control: Control) -> None:
    """The programs that the set-up runs are never given Vault's token as an argument."""
    log = tmp_path / "log"
    for name in ("curl", "jq"):
        wrapper = tmp_path / name
        real = shlex.quote(str(shutil.which(name)))
        wrapper.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(log))}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        vault.set_up("--shared", "shared/*", "--secret-id", str(tmp_path / "secret-id"))
    control("arguments were noted", "sys/policies/acl/sandbox-user" in log.read_text())
    assert vault.root_token not in log.read_text()
    assert (tmp_path / "secret-id").read_text().strip() not in log.read_text()
