"""Can an admin move to Vault and exchange keys by commands? Real programs, a real Vault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.broker import BrokerControlClient
from jupyter_sandbox_spawner.settings import write_site

from ..support.vault_server import VaultServer
from .test_admin_secrets import CANARY, House, house  # noqa: F401 - a fixture
from .vault_street import site_of

pytestmark = [pytest.mark.lane("vault"), pytest.mark.timeout(180)]
Control = Callable[[str, bool], None]


@pytest.fixture
async def moved(house: House, vault: VaultServer) -> AsyncIterator[House]:  # noqa: F811 - that fixture
    """Something is stored without Vault; then the one setting is made, and the broker started anew."""
    assert (await house.run("put", "shared/db", given=CANARY.encode()))[0] == 0
    assert (await house.run("put", "shared/other", given=b"from before"))[0] == 0
    async with AsyncExitStack() as stack:
        await house.end_broker()
        prefix = house.directory.name
        site = site_of(vault, kv_prefix=f"shared/{prefix}")
        house.control.site = replace(house.control.site, vault=site)
        write_site(house.control.site_file, house.control.site)
        await house.start_broker()
        await _tell_keys(house, vault)
        yield house
        await stack.aclose()


async def _tell_keys(house: House, vault: VaultServer) -> None:  # noqa: F811
    status, said = await house.run("keys")
    assert status == 0, said
    pems = [f"{part}-----END PUBLIC KEY-----\n" for part in said.split("-----END PUBLIC KEY-----\n")[:-1]]
    await asyncio.to_thread(vault.set_jwt_keys, pems)


async def test_moving_is_one_setting_and_one_command(moved: House, control: Control) -> None:
    """Nothing is lost, what Vault has is kept, a second time changes nothing; the audit has each."""
    assert "shared/db" not in (await moved.run("list"))[1]
    assert "would be copied  shared/db" in (await moved.run("copy", "--dry-run"))[1]
    assert "shared/db" not in (await moved.run("list"))[1]
    assert (await moved.run("put", "shared/other", given=b"newer"))[0] == 0
    status, said = await moved.run("copy")
    assert (status, said.splitlines()) == (
        0,
        ["copied           shared/db", "kept in Vault    shared/other"],
    )
    listed = (await moved.run("list"))[1]
    assert "shared/db     value" in listed
    assert "--overwrite replaces" in (await moved.run("copy"))[1]
    assert (await moved.run("copy", "shared/nowhere"))[0] != 0
    audit = (moved.directory / "state/audit/audit.ndjson").read_text()
    control("the copy is in the audit", audit.count('"secret.copy"') == 1)
    assert CANARY not in audit + listed


async def test_the_state_of_vault_is_told(moved: House, vault: VaultServer) -> None:
    """In a sentence, with a status that scripts can use."""
    status, said = await moved.run("status")
    assert (status, said.splitlines()[0]) == (0, "Vault can be used.")
    with vault.sealed():
        status, said = await moved.run("status")
        assert status == 3
        assert "Vault is sealed" in said


async def test_the_next_key_is_published_by_a_command(moved: House) -> None:
    """Two keys then, the old one signing until tomorrow."""
    before = json.loads((await moved.run("keys", "--json"))[1])["keys"]
    status, said = await moved.run("rotate-keys")
    assert (status, "signs from tomorrow on" in said) == (0, True)
    after = json.loads((await moved.run("keys", "--json"))[1])["keys"]
    assert (len(before), len(after)) == (1, 2)
    assert before[0] in after


async def test_control_gets_the_keys_for_vault(moved: House) -> None:
    """By its own socket, as it publishes them; nothing private is among them."""
    async with BrokerControlClient(moved.control.site.broker_socket("control")) as client:
        (key,) = (await client.keys())["keys"]
    assert (key["alg"], key["kty"]) == ("ES256", "EC")
    assert "d" not in key


async def test_who_read_what_is_told_from_the_audit(moved: House) -> None:
    """With nothing read there are no rows, and no error."""
    status, said = await moved.run("reads", "--static")
    assert (status, said.splitlines()) == (
        0,
        ["when  user  server  sandbox  secret  kept  delivery"],
    )


async def test_explain_says_what_is_refused_and_why(moved: House) -> None:
    """A name without a canonical form, and a profile of another group."""
    status, said = await moved.run("explain", "--user", "Ada", "--group", "chemistry")
    assert status == 0
    assert "Not users/{user}/git of profile a: The username 'Ada' is not in canonical form." in said
    assert "Not s3/lab of profile b: the profile is for research." in said
    assert "As for somebody in: chemistry." in said
    status, said = await moved.run("explain", "--user", "nobody")
    assert "no server of theirs was admitted" in said
    assert "Not s3/lab of profile b: it is for research; see --group." in said


def test_the_site_file_holds_no_secret(tmp_path: Path) -> None:
    """Paths of files only."""
    from jupyter_sandbox_spawner.vault_site import VaultSite

    assert not [name for name in VaultSite.__dataclass_fields__ if name.endswith(("token", "secret_id"))]
