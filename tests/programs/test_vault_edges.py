"""What happens at a real Vault where two things meet: an admin and a read, a restart and a lease?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.broker import own_login
from jupyter_sandbox_spawner.rules.grants import Grant

from ..support.vault_server import VaultServer, Warehouse
from .vault_street import ALICE, LIVE, OWN, ControlStandIn, becomes, gone, opened_vault, reader

pytestmark = [pytest.mark.lane("vault"), pytest.mark.timeout(120)]


async def test_a_block_that_comes_while_control_answers_stays(vault: VaultServer, tmp_path: Path) -> None:
    """What control was not asked about has not ended by its answer."""

    class Slow(ControlStandIn):
        """An admin cuts a sandbox off just while it answers."""

        async def running(self, sandboxes: Sequence[str]) -> frozenset[str]:
            await asyncio.to_thread(place.blocks.add, [later])
            return await super().running(sandboxes)

    later = reader("bob", 9).sandbox
    control = Slow()
    control.runs |= {ALICE.sandbox, later}
    async with opened_vault(vault, tmp_path, control) as place:
        vault.put("users/alice/notes", {"value": "alice's"})
        await place.parts.store.read(ALICE, OWN)

        async def asked() -> bool:
            return later in place.blocks.ids

        await becomes(asked, 10)
        assert place.blocks.holds(later)
        control.runs.discard(later)

        async def forgotten() -> bool:
            return not place.blocks.ids

        control.__class__ = ControlStandIn
        await becomes(forgotten, 10)


@pytest.mark.lane("postgresql")
async def test_a_user_of_a_revoked_login_is_given_out_no_more(warehouse: Warehouse, tmp_path: Path) -> None:
    """With a login its database users are gone: the next read makes another that works."""
    warehouse.vault.put("users/alice/notes", {"value": "alice's"})
    async with opened_vault(warehouse.vault, tmp_path) as place:
        place.control.runs.add(ALICE.sandbox)
        before = (await place.parts.store.read(ALICE, LIVE)).fields["username"]
        login, _ = place.control.said("issued")
        warehouse.vault.call("PUT", "auth/token/revoke-accessor", {"accessor": login})
        await place.parts.store.read(ALICE, OWN)  # here it is noticed
        after = await place.parts.store.read(ALICE, LIVE)
        assert after.fields["username"] != before
        said = warehouse.postgres.sql_as(after.fields["username"], after.fields["password"], "select 1")
        assert said == ["1"]


async def test_a_wrapped_token_outlives_the_broker(vault: VaultServer, tmp_path: Path) -> None:
    """It is in its sandbox, and no more lost than that; with the sandbox it ends."""
    control = ControlStandIn()
    control.runs.add(ALICE.sandbox)
    async with opened_vault(vault, tmp_path, control) as before:
        accessor = (await before.parts.store.read(ALICE, Grant(name="vault/token", kind="vault"))).accessor
        site = before.site
    async with opened_vault(vault, tmp_path, control, site) as after:
        vault.put("users/alice/notes", {"value": "alice's"})
        await after.parts.store.read(ALICE, OWN)

        async def looked() -> bool:
            return len(await after.parts.journal.all()) == 2

        await becomes(looked, 5)
        assert accessor in vault.accessors()
        control.runs.discard(ALICE.sandbox)

        await becomes(lambda: gone(vault, accessor), 8)


async def test_a_version_that_will_be_deleted_is_there(vault: VaultServer, tmp_path: Path) -> None:
    """A mount may delete versions after a time: until then they are stored."""
    vault.call("PUT", "secret/metadata/users/alice/passing", {"delete_version_after": "1h"})
    vault.put("users/alice/passing", {"value": "x"})
    grant = Grant(name="users/alice/passing")
    async with opened_vault(vault, tmp_path) as place:
        place.control.runs.add(ALICE.sandbox)
        assert (await place.parts.store.about(ALICE, [grant]))[grant.name].stored is True
        assert dict((await place.parts.store.read(ALICE, grant)).fields) == {"value": "x"}
        vault.call("DELETE", "secret/data/users/alice/passing")
        assert (await place.parts.store.about(ALICE, [grant]))[grant.name].stored is False
        assert grant.name not in [item.name for item in await place.parts.store.describe()]


async def test_the_brokers_own_token_is_replaced_where_it_is_refused(
    vault: VaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody revoked it at Vault: the next call in its name logs in anew, and nobody notices."""
    monkeypatch.setattr(own_login, "_PAUSE", 0.0)
    vault.put("users/alice/notes", {"value": "alice's"})
    async with opened_vault(vault, tmp_path) as place:
        await place.parts.store.about(ALICE, [OWN])
        for accessor in vault.accessors():
            found = vault.call("PUT", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            if found["path"] == "auth/approle/login":
                vault.call("PUT", "auth/token/revoke-accessor", {"accessor": accessor})
        assert (await place.parts.store.about(ALICE, [OWN]))[OWN.name].stored is True


@pytest.mark.lane("postgresql")
async def test_a_lease_of_before_a_restart_gets_its_roles_time(warehouse: Warehouse, tmp_path: Path) -> None:
    """It is renewed for what the role says, not for less each time."""
    control = ControlStandIn()
    control.runs.add(ALICE.sandbox)
    async with opened_vault(warehouse.vault, tmp_path, control) as before:
        await before.parts.store.read(ALICE, LIVE)
        (lease,) = [item for item in await before.parts.journal.all() if item.kind == "lease"]
        site = before.site
    # Before the next broker looks, which renews it once and then not for half an hour.
    warehouse.vault.call("PUT", "sys/leases/renew", {"lease_id": lease.id, "increment": 120})
    async with opened_vault(warehouse.vault, tmp_path, control, site):

        async def renewed() -> bool:
            found = warehouse.vault.call("PUT", "sys/leases/lookup", {"lease_id": lease.id})["data"]
            return int(found["ttl"]) > 3000

        await becomes(renewed, 8)
