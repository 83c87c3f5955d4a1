"""Does each sandbox get a database user of its own, which is gone when the sandbox is?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hub_config.vault.own_postgres import Rejected
from hub_config.vault.own_vault import Refused
from tests.support.vault_server import DATABASE, Warehouse
from tests.support.waiting import until

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("vault", "postgresql")
COUNT = "SELECT count(*) FROM visits"


def credential(warehouse: Warehouse, token: str) -> dict[str, Any]:
    """What Vault gives for this token: lease_id, lease_duration, data with username and password."""
    return warehouse.vault.call("GET", f"database/creds/{DATABASE}", token=token)


def ask(warehouse: Warehouse, lease: dict[str, Any], text: str) -> list[str]:
    """Log in with this credential and ask the database."""
    return warehouse.postgres.sql_as(lease["data"]["username"], lease["data"]["password"], text)


def test_each_sandbox_has_a_user_of_its_own(warehouse: Warehouse) -> None:
    """Two sandboxes of one person get two users, who carry her name; each can read the tables."""
    first, second = (credential(warehouse, warehouse.vault.login("alice")["client_token"]) for _ in range(2))
    names = {first["data"]["username"], second["data"]["username"]}
    assert len(names) == 2
    assert all(name.startswith(f"sb_alice_{DATABASE}_") and len(name) <= 63 for name in names)
    assert names <= set(warehouse.users())
    assert [ask(warehouse, lease, COUNT) for lease in (first, second)] == [["2"], ["2"]]
    assert first["lease_duration"] == 3600


def test_a_long_name_fits(warehouse: Warehouse) -> None:
    """PostgreSQL cuts names at 63 characters; ours are cut before, so that two stay two."""
    token = warehouse.vault.login("n" * 200)["client_token"]
    leases = [credential(warehouse, token) for _ in range(2)]
    names = {lease["data"]["username"] for lease in leases}
    assert (len(names), max(map(len, names)) <= 63) == (2, True)
    assert ask(warehouse, leases[0], COUNT) == ["2"]


@pytest.mark.parametrize("name", ["o'neill", 'quo"te', "semi;colon", "dash--dash", "a b", "ünï"])
def test_a_name_never_becomes_sql(warehouse: Warehouse, name: str, control: Control) -> None:
    """Where Vault takes such a name at all, the user works like any other or is not made."""
    control(
        "an ordinary name", ask(warehouse, credential(warehouse, token_of(warehouse, "bob")), COUNT) == ["2"]
    )
    try:
        lease = credential(warehouse, token_of(warehouse, name))
    except Refused:
        return
    assert ask(warehouse, lease, COUNT) == ["2"]


def token_of(warehouse: Warehouse, name: str) -> str:
    """The token of a sandbox of this person."""
    return str(warehouse.vault.login(name)["client_token"])


def test_the_user_reads_and_writes_nothing(warehouse: Warehouse, control: Control) -> None:
    """The default grants reading; writing and making users are refused."""
    lease = credential(warehouse, token_of(warehouse, "alice"))
    control("reading", ask(warehouse, lease, COUNT) == ["2"])
    for text in ("DELETE FROM visits", "CREATE ROLE intruder", "CREATE TABLE mine (a int)"):
        with pytest.raises(Rejected, match="permission denied"):
            ask(warehouse, lease, text)


async def test_the_user_is_gone_when_the_token_is(warehouse: Warehouse, control: Control) -> None:
    """Revoking the sandbox's token drops its database users, also one that is connected."""
    broker = warehouse.vault.broker_token()
    auth = warehouse.vault.login("alice")
    lease = credential(warehouse, auth["client_token"])
    other = credential(warehouse, token_of(warehouse, "bob"))
    name = lease["data"]["username"]
    control("it is there and works", name in warehouse.users() and ask(warehouse, lease, COUNT) == ["2"])
    warehouse.vault.call("PUT", "auth/token/revoke-accessor", {"accessor": auth["accessor"]}, token=broker)
    await until(lambda: name not in warehouse.users())
    with pytest.raises(Rejected, match="authentication failed"):
        ask(warehouse, lease, COUNT)
    control("bob's is still there", ask(warehouse, other, COUNT) == ["2"])


async def test_the_broker_ends_one_lease(warehouse: Warehouse, control: Control) -> None:
    """It renews and revokes a credential by the id of its lease, without the sandbox's token."""
    broker = warehouse.vault.broker_token()
    lease = credential(warehouse, token_of(warehouse, "alice"))
    what = {"lease_id": lease["lease_id"]}
    renewed = warehouse.vault.call("PUT", "sys/leases/renew", what, token=broker)
    control("it renews", 0 < renewed["lease_duration"] <= 3600)
    warehouse.vault.call("PUT", "sys/leases/revoke", what, token=broker)
    await until(lambda: lease["data"]["username"] not in warehouse.users())


async def test_a_user_that_is_gone_already_counts_as_revoked(warehouse: Warehouse) -> None:
    """Who drops the user by hand does not leave Vault trying for ever."""
    broker = warehouse.vault.broker_token()
    lease = credential(warehouse, token_of(warehouse, "alice"))
    name = lease["data"]["username"]
    warehouse.postgres.sql(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
    what = {"lease_id": lease["lease_id"]}
    warehouse.vault.call("PUT", "sys/leases/revoke", {**what, "sync": True}, token=broker)
    with pytest.raises(Refused, match="invalid lease"):
        warehouse.vault.call("PUT", "sys/leases/lookup", what, token=broker)


def test_no_other_role_is_open(warehouse: Warehouse, control: Control) -> None:
    """A role that the operator did not name is denied to sandboxes."""
    vault = warehouse.vault
    role = vault.call("GET", f"database/roles/{DATABASE}")["data"]
    vault.call(
        "PUT",
        "database/roles/other",
        {"db_name": DATABASE, "creation_statements": role["creation_statements"]},
    )
    token = token_of(warehouse, "alice")
    control("the named one", bool(credential(warehouse, token)))
    with pytest.raises(Refused, match="403"):
        vault.call("GET", "database/creds/other", token=token)


def test_the_password_can_be_left_out_later(warehouse: Warehouse, control: Control) -> None:
    """A second run without the password keeps what Vault has, also after Vault changed it."""
    vault = warehouse.vault
    vault.call("PUT", f"database/rotate-root/{DATABASE}")
    old = warehouse.postgres.password_file.read_text().strip()
    with pytest.raises(Rejected):
        warehouse.postgres.sql_as("vault", old, "SELECT 1")
    vault.set_up("--database", DATABASE)
    control("users are made", bool(credential(warehouse, token_of(warehouse, "alice"))))


def test_an_address_with_a_password_is_refused(warehouse: Warehouse) -> None:
    """A password on the command line would be seen by all; the sentence says where it goes."""
    given = ("--database", "x", "--password-file", str(warehouse.postgres.password_file))
    done = warehouse.vault.set_up(*given, "--postgres", "postgresql://v:secret@h/d", check=False)
    assert (done.returncode, "without a password" in done.stderr) == (2, True)
