"""What may tokens of sandboxes and of the broker do in a real Vault? Exactly what the policies promise.

Names of persons are tried as Vault itself takes them; the broker refuses the odd ones before it asks.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hub_config.vault.own_vault import Refused
from tests.support.vault_server import VaultServer

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("vault")


@pytest.fixture(scope="module", autouse=True)
def stored(vault: VaultServer) -> None:
    """Secrets of several people, and one for everybody."""
    for path in ("users/alice/db", "users/bob/db", "users/a/b/db", "shared/mirror", "other/thing"):
        vault.put(path, {"password": f"of {path}"})


def may(vault: VaultServer, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> bool:
    """Does Vault let this token do it? Any refusal but 403 is an error of the test."""
    try:
        vault.call(method, urllib.parse.quote(path, safe="/?="), body, token=token)
    except Refused as error:
        if error.status != 403:
            raise
        return False
    return True


def may_read(vault: VaultServer, token: str, path: str) -> bool:
    """May this token read the value of a KV secret?"""
    return may(vault, token, "GET", f"secret/data/{path}")


def token_of(vault: VaultServer, name: str) -> str:
    """The token of a sandbox of a person with this name, as Vault takes it."""
    return str(vault.login(name)["client_token"])


@pytest.fixture
def alice(vault: VaultServer) -> str:
    """The token of alice's sandbox."""
    return token_of(vault, "alice")


@pytest.fixture
def broker(vault: VaultServer) -> str:
    """The broker's own token."""
    return vault.broker_token()


def test_a_person_reads_her_own_and_what_is_shared(vault: VaultServer, alice: str, control: Control) -> None:
    """She reads below her name and below what the operator named, and nothing of anybody else."""
    control("her own", may_read(vault, alice, "users/alice/db"))
    control("what is shared", may_read(vault, alice, "shared/mirror"))
    assert not may_read(vault, alice, "users/bob/db")
    assert not may_read(vault, alice, "other/thing")
    assert not may_read(vault, alice, "users/alice2/db")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "secret/data/users/alice/db", {"data": {"password": "new"}}),
        ("PUT", "secret/data/shared/mirror", {"data": {"password": "new"}}),
        ("DELETE", "secret/data/users/alice/db", None),
        ("DELETE", "secret/metadata/users/alice/db", None),
        ("LIST", "secret/metadata/users", None),
        ("LIST", "secret/metadata/users/alice", None),
        ("GET", "secret/metadata/users/alice/db", None),
        ("GET", "auth/token/lookup-self", None),
        ("PUT", "auth/token/renew-self", {}),
        ("PUT", "auth/token/create", {}),
        ("PUT", "sys/wrapping/wrap", {"a": "b"}),
        ("GET", "database/creds/warehouse", None),
        ("GET", "sys/policies/acl/sandbox-user", None),
        ("GET", "identity/entity/id?list=true", None),
    ],
)
def test_a_person_does_nothing_else(
    vault: VaultServer, alice: str, control: Control, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Writing, listing, and her own token are not hers; the root token may do the reading ones."""
    control("the token works", may_read(vault, alice, "users/alice/db"))
    assert not may(vault, alice, method, path, body)


@contextmanager
def without_the_guard(vault: VaultServer) -> Iterator[None]:
    """The policy as it would be without the rule that denies `users/+/*`."""
    where = "sys/policies/acl/sandbox-user"
    text = vault.call("GET", where)["data"]["policy"]
    guard = 'path "secret/data/users/+/*" {\n  capabilities = ["deny"]\n}\n'
    assert guard in text
    vault.call("PUT", where, {"policy": text.replace(guard, "")})
    try:
        yield
    finally:
        vault.call("PUT", where, {"policy": text})


def test_a_person_named_plus_reads_nothing(vault: VaultServer, control: Control) -> None:
    """Vault takes "+" in a filled-in name for a wildcard; the guard in the policy stops that."""
    token = token_of(vault, "+")
    assert not may_read(vault, token, "users/bob/db")
    assert not may_read(vault, token, "users/alice/db")
    with without_the_guard(vault):
        control("without the guard she reads bob's", may_read(vault, token, "users/bob/db"))
        control("and alice's", may_read(vault, token, "users/alice/db"))


def test_the_guard_takes_nothing_from_others(vault: VaultServer, alice: str) -> None:
    """Who has an ordinary name reads the same with and without it."""
    with_guard = [may_read(vault, alice, path) for path in ("users/alice/db", "users/bob/db")]
    with without_the_guard(vault):
        assert [may_read(vault, alice, path) for path in ("users/alice/db", "users/bob/db")] == with_guard


@pytest.mark.parametrize("name", ["*", "../x", "..", "b*", "bob/../bob", "%2b", "bob%2f", "", " bob", "bob "])
def test_an_odd_name_reads_nothing_of_others(vault: VaultServer, control: Control, name: str) -> None:
    """Stars, dots, percents and blanks are no wildcards to Vault: at most the login fails."""
    control("bob reads his own", may_read(vault, token_of(vault, "bob"), "users/bob/db"))
    try:
        token = token_of(vault, name)
    except Refused as error:
        if error.status not in (400, 403, 500):
            raise
        return
    assert not may_read(vault, token, "users/bob/db")
    assert not may_read(vault, token, "users/alice/db")


def test_a_name_that_breaks_the_policy_reads_nothing(vault: VaultServer) -> None:
    """Filled in with "+*" the policy is no policy: Vault answers every request with an error of its own."""
    token = token_of(vault, "+*")
    for path in ("users/bob/db", "users/alice/db", "shared/mirror"):
        with pytest.raises(Refused, match="500"):
            vault.read(path, token)


def test_what_vault_does_with_a_slash(vault: VaultServer, control: Control) -> None:
    """A known limit: "a/b" has its secrets below those of "a", which no policy can tell apart."""
    token = token_of(vault, "a/b")
    control("nothing of bob's", not may_read(vault, token, "users/bob/db"))
    assert may_read(vault, token, "users/a/b/db")
    assert may_read(vault, token_of(vault, "a"), "users/a/b/db")


def test_what_vault_does_with_a_plus_behind_a_slash(vault: VaultServer) -> None:
    """A known limit: "a/+" reads what is deeper below "a"; the broker refuses every slash."""
    assert may_read(vault, token_of(vault, "a/+"), "users/a/b/db")


def test_what_vault_does_with_capitals(vault: VaultServer, alice: str) -> None:
    """A known limit: names that differ in case only are one person to Vault; the broker refuses capitals."""
    token = token_of(vault, "Alice")
    entity = {
        vault.call("PUT", "auth/token/lookup", {"token": one})["data"]["entity_id"] for one in (alice, token)
    }
    assert len(entity) == 1
    assert may_read(vault, token, "users/alice/db")


BROKER_MAY = {
    "auth/token/renew-accessor": ["update"],
    "auth/token/revoke-accessor": ["update"],
    "auth/token/lookup-accessor": ["update"],
    "auth/token/renew-self": ["update"],
    "auth/token/lookup-self": ["read"],
    "sys/leases/renew": ["update"],
    "sys/leases/revoke": ["update"],
    "sys/leases/lookup": ["update"],
    "secret/metadata/x": ["create", "delete", "list", "read", "update"],
    "secret/data/x": ["create", "update"],
}
PERSON_MAY = {"secret/data/users/alice/x": ["read"], "secret/data/shared/x": ["read"]}


def capabilities(vault: VaultServer, token: str) -> dict[str, list[str]]:
    """What this token may do, by every path that this Vault has, and by some more below its engines."""
    known = vault.call("GET", "sys/internal/specs/openapi")["paths"]
    paths = {path.strip("/").replace("{path}", "x").replace("{", "").replace("}", "") for path in known}
    assert len(paths) > 300
    paths |= BROKER_MAY.keys() | PERSON_MAY.keys()
    paths |= {
        "secret/data/users/bob/x",
        "secret/destroy/x",
        "secret/undelete/x",
        "secret/subkeys/x",
        "secret/config",
    }
    paths |= {
        "sys/leases/revoke/x",
        "sys/leases/renew/x",
        "sys/leases/revoke-prefix/x",
        "sys/leases/lookup/x",
    }
    answer = vault.call("PUT", "sys/capabilities", {"token": token, "paths": sorted(paths)})["data"]
    found = {path: sorted(answer[path]) for path in paths}
    return {path: what for path, what in found.items() if what != ["deny"]}


def test_the_broker_may_do_exactly_this(vault: VaultServer, broker: str) -> None:
    """Over all paths of this Vault, the broker's token has these capabilities and no other."""
    found = capabilities(vault, broker)
    assert BROKER_MAY.items() <= found.items()
    others = {path: what for path, what in found.items() if path not in BROKER_MAY}
    beside = ("secret/metadata/", "secret/data/")
    assert [path for path in others if not path.startswith(beside)] == []
    assert all("read" not in what for path, what in others.items() if path.startswith("secret/data/"))


def test_a_sandbox_may_do_exactly_this(vault: VaultServer, alice: str) -> None:
    """Over all paths of this Vault, alice's token has these capabilities and no other."""
    assert capabilities(vault, alice) == PERSON_MAY


def test_the_broker_reads_no_value(vault: VaultServer, broker: str, control: Control) -> None:
    """It writes a secret and sees its name and versions; the value is for the person's own token."""
    control(
        "it writes", may(vault, broker, "PUT", "secret/data/users/alice/new", {"data": {"password": "p-1"}})
    )
    metadata = vault.call("GET", "secret/metadata/users/alice/new", token=broker)["data"]
    control("it sees the version", metadata["current_version"] == 1)
    control("alice reads it", vault.read("users/alice/new", token_of(vault, "alice")) == {"password": "p-1"})
    for path in ("secret/data/users/alice/new", "secret/data/users/alice/new?version=1"):
        assert not may(vault, broker, "GET", path)
    assert not may(vault, broker, "GET", "secret/subkeys/users/alice/new")
    change = {"data": {"other": "x"}}
    with pytest.raises(Refused, match="403"):
        vault.call(
            "PATCH",
            "secret/data/users/alice/new",
            change,
            token=broker,
            headers={"Content-Type": "application/merge-patch+json"},
        )
    control("it removes", may(vault, broker, "DELETE", "secret/metadata/users/alice/new"))


def test_the_broker_keeps_and_ends_tokens_of_sandboxes(
    vault: VaultServer, broker: str, control: Control
) -> None:
    """It renews, looks up and revokes by accessor; a revoked token reads nothing."""
    auth = vault.login("alice")
    accessor = {"accessor": auth["accessor"]}
    renewed = vault.call("PUT", "auth/token/renew-accessor", accessor, token=broker)["auth"]
    looked = vault.call("PUT", "auth/token/lookup-accessor", accessor, token=broker)["data"]
    assert (renewed["lease_duration"], looked["id"], looked["display_name"]) == (900, "", "jwt-sandbox-alice")
    control("it reads before", may_read(vault, auth["client_token"], "users/alice/db"))
    vault.call("PUT", "auth/token/revoke-accessor", accessor, token=broker)
    assert not may_read(vault, auth["client_token"], "users/alice/db")


def test_the_broker_makes_no_tokens(vault: VaultServer, broker: str, alice: str) -> None:
    """Neither children nor orphans nor secret ids: only a signed token makes a token."""
    assert not may(vault, broker, "PUT", "auth/token/create", {"policies": ["sandbox-user"]})
    assert not may(vault, broker, "PUT", "auth/token/create-orphan", {})
    assert not may(vault, broker, "PUT", "auth/approle/role/sandbox-broker/secret-id", {})
    assert not may(vault, broker, "PUT", "auth/jwt-sandbox/config", {})
    assert not may(vault, broker, "LIST", "auth/token/accessors")
