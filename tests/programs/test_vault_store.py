"""Does each sandbox get from a real Vault what is its own, and nothing of anybody else's?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.broker.store import Ended
from jupyter_sandbox_spawner.clients.grants import Reader
from jupyter_sandbox_spawner.clients.vault import VaultClient
from jupyter_sandbox_spawner.errors import (
    ConfigurationError,
    ProgramError,
    RefusedError,
    SandboxError,
)
from jupyter_sandbox_spawner.names import name_part
from jupyter_sandbox_spawner.rules.grants import Grant

from ..support.vault_server import VaultServer, Warehouse
from .vault_street import (
    ALICE,
    BOB,
    LIVE,
    OWN,
    VaultPlace,
    becomes,
    dropped,
    gone,
    opened_vault,
    reader,
    two_people,
)

pytestmark = [pytest.mark.lane("vault"), pytest.mark.timeout(120)]
Control = Callable[[str, bool], None]


@pytest.fixture
async def place(vault: VaultServer, tmp_path: Path) -> AsyncIterator[VaultPlace]:
    """Alice's and Bob's sandboxes run; each has a secret of its own."""
    async with two_people(vault, tmp_path) as found:
        yield found


async def test_a_sandbox_reads_as_its_user(place: VaultPlace, vault: VaultServer) -> None:
    """One login serves many reads; Vault's own audit names the person and the sandbox."""
    secret = await place.parts.store.read(ALICE, OWN)
    assert (dict(secret.fields), secret.expires_at) == ({"value": "alice's"}, None)
    await place.parts.store.read(ALICE, OWN)
    assert len(place.control.said("issued")) == 1
    log = vault.read_audit()
    assert ALICE.sandbox in log
    assert "jwt-sandbox-alice" in log


@pytest.mark.proves("C08", "C10")
async def test_vault_itself_refuses_what_is_anothers(place: VaultPlace, control: Control) -> None:
    """A grant that names another's secret gives nothing: the sandbox's own token lacks the policy."""
    bobs = Grant(name="users/bob/notes")
    control("bob may read it", dict((await place.parts.store.read(BOB, bobs)).fields) == {"value": "bob's"})
    with pytest.raises(RefusedError) as caught:
        await place.parts.store.read(ALICE, bobs)
    assert caught.value.code == "vault.denied"
    assert "whoever runs Vault" in caught.value.remedy


@pytest.mark.parametrize("user", ["*", "+", "a/b", "../x", "..", "Alice", "al\u0456ce!", ""])
async def test_an_odd_user_never_reaches_vault(place: VaultPlace, vault: VaultServer, user: str) -> None:
    """On Vault 1.21 a user named `+` would read others' secrets through a templated policy."""
    before = vault.read_audit().count("auth/jwt-sandbox/login")
    with pytest.raises(ConfigurationError) as caught:
        await place.parts.store.read(reader(user, 3), OWN)
    assert caught.value.code == "username.invalid"
    assert vault.read_audit().count("auth/jwt-sandbox/login") == before


async def test_long_names_and_addresses_are_people_of_their_own(
    place: VaultPlace, vault: VaultServer
) -> None:
    """200 letters, or an address of mail: each reads below its own part and not below another's."""
    names = ["a" * 200, "a" * 199 + "b", "alice@corp.example", "alice-corp-example"]
    for number, name in enumerate(names):
        vault.put(f"users/{name_part(name)}/notes", {"value": str(number)})
    for number, name in enumerate(names):
        who = reader(name, 10 + number)
        for other, owner in enumerate(names):
            grant = Grant(name=f"users/{name_part(owner)}/notes")
            if other == number:
                assert dict((await place.parts.store.read(who, grant)).fields) == {"value": str(number)}
            else:
                with pytest.raises(RefusedError):
                    await place.parts.store.read(who, grant)


async def test_versions_are_told_and_can_be_asked_for(place: VaultPlace, vault: VaultServer) -> None:
    """The newest is given and its number shown; a grant may fix an older one."""
    vault.put("users/alice/versions", {"value": "first"})
    vault.put("users/alice/versions", {"value": "second"})
    newest = Grant(name="users/alice/versions")
    first = replace(newest, version=1)
    assert (await place.parts.store.about(ALICE, [newest]))[newest.name].version == 2
    assert (await place.parts.store.read(ALICE, newest)).version == 2
    fixed = await place.parts.store.read(ALICE, first)
    assert (fixed.version, dict(fixed.fields)) == (1, {"value": "first"})
    with pytest.raises(RefusedError, match="nobody has stored it"):
        await place.parts.store.read(ALICE, replace(newest, version=9))


async def test_names_are_told_without_a_login(place: VaultPlace) -> None:
    """The broker's own login says what is stored and since when; no sandbox is logged in for it."""
    grants = [OWN, Grant(name="users/alice/absent"), LIVE]
    known = await place.parts.store.about(ALICE, grants)
    assert [known[grant.name].stored for grant in grants] == [True, False, True]
    assert known[OWN.name].changed_at is not None
    assert place.control.events == []


async def test_a_token_that_somebody_revoked_is_replaced(place: VaultPlace, vault: VaultServer) -> None:
    """The next read logs in anew, and nobody notices."""
    await place.parts.store.read(ALICE, OWN)
    (first,) = place.control.said("issued")
    vault.call("PUT", "auth/token/revoke-accessor", {"accessor": first})
    assert dict((await place.parts.store.read(ALICE, OWN)).fields) == {"value": "alice's"}
    assert len(place.control.said("issued")) == 2


@pytest.mark.lane("postgresql")
async def test_a_database_user_of_its_own(warehouse: Warehouse, tmp_path: Path, control: Control) -> None:
    """Each sandbox has one, the same at each read, which works, is told with its end, and is dropped."""
    async with opened_vault(warehouse.vault, tmp_path) as place:
        place.control.runs |= {ALICE.sandbox, BOB.sandbox}
        mine = await place.parts.store.read(ALICE, LIVE)
        again = await place.parts.store.read(ALICE, LIVE)
        bobs = await place.parts.store.read(BOB, LIVE)
        assert mine.fields == again.fields
        assert mine.fields["username"] != bobs.fields["username"]
        assert mine.expires_at is not None
        assert mine.renewed is True
        login = (mine.fields["username"], mine.fields["password"])
        control("it can log in", warehouse.postgres.sql_as(*login, "select 1") == ["1"])
        place.control.runs.discard(ALICE.sandbox)
        await becomes(lambda: dropped(warehouse, login[0]), 5)
        assert bobs.fields["username"] in warehouse.users()


@pytest.mark.lane("postgresql")
async def test_a_user_renews_and_revokes_what_she_holds(warehouse: Warehouse, tmp_path: Path) -> None:
    """Renewing moves the end; revoking drops the user at once, and the next read makes another."""
    async with opened_vault(warehouse.vault, tmp_path) as place:
        place.control.runs.add(ALICE.sandbox)
        with pytest.raises(RefusedError) as caught:
            await place.parts.store.renew(ALICE, LIVE)
        assert caught.value.code == "secret.not_held"
        first = await place.parts.store.read(ALICE, LIVE)
        renewed = await place.parts.store.renew(ALICE, LIVE)
        assert renewed.expires_at is not None
        assert first.expires_at is not None
        assert renewed.expires_at >= first.expires_at
        assert await place.parts.store.revoke(ALICE, LIVE) == Ended(ended=1)
        assert first.fields["username"] not in warehouse.users()
        assert (await place.parts.store.read(ALICE, LIVE)).fields["username"] != first.fields["username"]


async def test_a_value_that_changes_kind_says_what_is_wrong(place: VaultPlace) -> None:
    """An engine's path that the policy does not name is refused by Vault, with whom to ask."""
    grant = Grant(name="db/other", kind="database", path="database/creds/other")
    with pytest.raises(SandboxError) as caught:
        await place.parts.store.read(ALICE, grant)
    assert caught.value.code == "vault.denied"
    assert "'db/other'" in caught.value.message


@pytest.mark.proves("C07")
async def test_a_wrapped_token_opens_once(place: VaultPlace, vault: VaultServer) -> None:
    """What it holds is a token of this person; a second opening is refused; its end is the sandbox's."""
    vault.put("users/alice/notes", {"value": "alice's"})
    secret = await place.parts.store.read(ALICE, Grant(name="vault/token", kind="vault"))
    assert secret.fields["creation_path"] == secret.fields["expected_path"] == "auth/jwt-sandbox/login"
    wrapped = secret.fields["wrapped_token"]
    token = vault.call("PUT", "sys/wrapping/unwrap", token=wrapped)["auth"]["client_token"]
    assert vault.read("users/alice/notes", token) == {"value": "alice's"}
    async with VaultClient(place.site) as client:
        with pytest.raises(ProgramError) as caught:
            await client.unwrap(wrapped)
    assert caught.value.code == "vault.refused"
    place.control.runs.discard(ALICE.sandbox)
    await becomes(lambda: gone(vault, secret.accessor), 5)


def test_two_sandboxes_are_two_readers() -> None:
    """The ids that these tests use are ids, and differ."""
    names = {reader(number=number).sandbox for number in range(600)}
    assert len(names) == 600
    assert isinstance(ALICE, Reader)
