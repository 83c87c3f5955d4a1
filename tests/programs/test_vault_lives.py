"""Does what a sandbox holds at a real Vault live as long as it runs, and no longer?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.broker.store import Ended
from jupyter_sandbox_spawner.errors import (
    UnreachableError,
)
from jupyter_sandbox_spawner.rules.grants import Grant

from ..support.vault_server import VaultServer, Warehouse
from .vault_street import (
    ALICE,
    BOB,
    LIVE,
    OWN,
    ControlStandIn,
    VaultPlace,
    becomes,
    dropped,
    gone,
    opened_vault,
    two_people,
)

pytestmark = [pytest.mark.lane("vault"), pytest.mark.timeout(120)]
Control = Callable[[str, bool], None]


@pytest.fixture
async def place(vault: VaultServer, tmp_path: Path) -> AsyncIterator[VaultPlace]:
    """Alice's and Bob's sandboxes run; each has a secret of its own."""
    async with two_people(vault, tmp_path) as found:
        yield found


@pytest.mark.proves("C06")
async def test_what_a_sandbox_holds_ends_with_it(
    place: VaultPlace, vault: VaultServer, control: Control
) -> None:
    """Within five seconds after its end its token is refused by Vault; another's lives on."""
    await place.parts.store.read(ALICE, OWN)
    await place.parts.store.read(BOB, Grant(name="users/bob/notes"))
    mine, bobs = place.control.said("issued")
    control("it lives while the sandbox runs", not await gone(vault, mine))
    place.control.runs.discard(ALICE.sandbox)
    await becomes(lambda: gone(vault, mine), 5)
    assert not await gone(vault, bobs)

    async def said() -> bool:
        return place.control.said("revoked") == [mine]

    await becomes(said, 5)
    assert [kept.id for kept in await place.parts.journal.all()] == [bobs]


async def test_what_an_admin_ends_is_over_at_once(place: VaultPlace, vault: VaultServer) -> None:
    """One sandbox's login is refused by Vault when the call returns; another's works on."""
    await place.parts.store.read(ALICE, OWN)
    await place.parts.store.read(BOB, Grant(name="users/bob/notes"))
    mine, bobs = place.control.said("issued")
    assert await place.parts.store.end([ALICE.sandbox]) == Ended(ended=1)
    assert await gone(vault, mine)
    assert not await gone(vault, bobs)


async def test_after_a_crash_the_logins_of_before_end(vault: VaultServer, tmp_path: Path) -> None:
    """A new broker knows from its journal what the old one had; the sandbox reads on at once."""
    control = ControlStandIn()
    control.runs.add(ALICE.sandbox)
    vault.put("users/alice/notes", {"value": "alice's"})
    async with opened_vault(vault, tmp_path, control) as before:
        await before.parts.store.read(ALICE, OWN)
        site = before.site
    (old,) = control.said("issued")
    assert not await gone(vault, old)
    # The same directory, as after a kill; the wrapped secret id was unwrapped by the first.
    async with opened_vault(vault, tmp_path, control, site) as after:
        assert dict((await after.parts.store.read(ALICE, OWN)).fields) == {"value": "alice's"}
        await becomes(lambda: gone(vault, old), 5)


@pytest.mark.lane("postgresql")
async def test_a_database_user_outlives_the_broker(warehouse: Warehouse, tmp_path: Path) -> None:
    """A crash of the broker cuts no connection: the lease lives on, and ends with its sandbox as well."""
    control = ControlStandIn()
    control.runs |= {ALICE.sandbox, BOB.sandbox}
    warehouse.vault.put("users/bob/notes", {"value": "bob's"})
    async with opened_vault(warehouse.vault, tmp_path, control) as before:
        user = (await before.parts.store.read(ALICE, LIVE)).fields["username"]
        await before.parts.store.read(BOB, Grant(name="users/bob/notes"))
        bobs, site = control.said("issued")[-1], before.site
    async with opened_vault(warehouse.vault, tmp_path, control, site) as after:
        # A login without leases ends, and then all that had to end has ended.
        await becomes(lambda: gone(warehouse.vault, bobs), 8)
        newer = (await after.parts.store.read(ALICE, LIVE)).fields["username"]
        assert user in warehouse.users()
        control.runs.discard(ALICE.sandbox)
        await becomes(lambda: dropped(warehouse, user, newer), 8)


@pytest.mark.parametrize(
    ("seconds", "most"), [("3s", "30s"), ("3s", "5s")], ids=["renewed past its time", "past the most"]
)
async def test_a_server_that_runs_long_never_notices(
    vault: VaultServer, tmp_path: Path, seconds: str, most: str
) -> None:
    """Tokens of seconds are renewed, and replaced past their most: each read succeeds."""
    role = vault.call("GET", "auth/jwt-sandbox/role/sandbox")["data"]
    vault.call(
        "PUT", "auth/jwt-sandbox/role/short", {**role, "token_ttl": seconds, "token_explicit_max_ttl": most}
    )
    vault.put("users/alice/notes", {"value": "alice's"})
    async with opened_vault(vault, tmp_path, jwt_role="short") as place:
        place.control.runs.add(ALICE.sandbox)
        for _ in range(24):
            assert dict((await place.parts.store.read(ALICE, OWN)).fields) == {"value": "alice's"}
            await asyncio.sleep(0.5)
        assert len(place.control.said("issued")) <= (1 if most == "30s" else 5)


async def test_without_any_revocation_a_token_dies_with_its_time(vault: VaultServer, tmp_path: Path) -> None:
    """Nothing is renewed for a sandbox that control does not know to run, nor by a broker that is dead."""
    role = vault.call("GET", "auth/jwt-sandbox/role/sandbox")["data"]
    vault.call("PUT", "auth/jwt-sandbox/role/brief", {**role, "token_ttl": "2s", "token_max_ttl": "0"})
    vault.put("users/alice/notes", {"value": "alice's"})
    control = ControlStandIn()
    control.runs.add(ALICE.sandbox)
    async with opened_vault(vault, tmp_path, control, jwt_role="brief") as place:
        await place.parts.store.read(ALICE, OWN)
    (accessor,) = control.said("issued")
    await becomes(lambda: gone(vault, accessor), 6)


async def test_while_control_does_not_answer_nothing_is_renewed(vault: VaultServer, tmp_path: Path) -> None:
    """Without its word that the sandbox runs a token dies with its time; nothing is revoked for that."""
    role = vault.call("GET", "auth/jwt-sandbox/role/sandbox")["data"]
    vault.call("PUT", "auth/jwt-sandbox/role/brief", {**role, "token_ttl": "6s"})
    vault.put("users/alice/notes", {"value": "alice's"})

    class Silent(ControlStandIn):
        async def running(self, sandboxes: Sequence[str]) -> frozenset[str]:
            raise UnreachableError("The control does not answer.", code="control.unreachable")

    control = Silent()
    async with opened_vault(vault, tmp_path, control, jwt_role="brief") as place:
        await place.parts.store.read(ALICE, OWN)
        (accessor,) = control.said("issued")
        await becomes(lambda: gone(vault, accessor), 9)
        assert control.said("revoked") == []
