"""Are logins found at a real Vault that no broker knows any more, and ended by an operator's word?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ..support.vault_server import VaultServer
from .test_admin_secrets import House, house  # noqa: F401 - a fixture
from .test_admin_vault import moved  # noqa: F401 - a fixture

pytestmark = [pytest.mark.lane("vault"), pytest.mark.timeout(120)]


async def test_strays_are_found_and_ended(moved: House, vault: VaultServer) -> None:  # noqa: F811
    """They are shown first, with user and sandbox; other tokens are none of ours; then they end."""
    vault.set_jwt_keys([*_pem(vault)])
    stray = vault.login("alice", instance="sb-" + "s" * 20)
    operator = await asyncio.to_thread(_operator, moved.directory, vault)
    shown = await moved.run("reconcile", "--token-file", str(operator))
    assert shown[0] == 0
    assert stray["accessor"] in shown[1]
    assert "alice" in shown[1]
    assert "sb-" + "s" * 20 in shown[1]
    assert "--apply ends them" in shown[1]
    assert stray["accessor"] in vault.accessors()
    before = len(vault.accessors())
    assert (await moved.run("reconcile", "--token-file", str(operator), "--apply"))[0] == 0
    assert stray["accessor"] not in vault.accessors()
    assert len(vault.accessors()) == before - 1
    again = await moved.run("reconcile", "--token-file", str(operator))
    assert again == (0, "Every login of a sandbox at Vault is known to the broker.\n")


async def test_everything_ends_by_its_prefix(moved: House, vault: VaultServer) -> None:  # noqa: F811
    """With the operator's token `revoke --all` ends what the broker does not know, too."""
    vault.set_jwt_keys([*_pem(vault)])
    stray = vault.login("alice")
    operator = await asyncio.to_thread(_operator, moved.directory, vault)
    assert (await moved.run("revoke", "--user", "alice", "--token-file", str(operator)))[0] != 0
    status, said = await moved.run("revoke", "--all", "--token-file", str(operator))
    assert status == 0, said
    assert stray["accessor"] not in vault.accessors()
    another = vault.login("alice")
    await moved.end_broker()
    status, said = await moved.run("revoke", "--all", "--token-file", str(operator))
    assert (status != 0, "Every login of a sandbox at Vault has ended" in said) == (True, True)
    assert another["accessor"] not in vault.accessors()


async def test_the_brokers_own_token_cannot_list_accessors(moved: House, vault: VaultServer) -> None:  # noqa: F811
    """Without an operator's token there is one sentence and no list."""
    file = moved.directory / "mine"
    await asyncio.to_thread(lambda: file.write_text(vault.broker_token()))
    status, said = await moved.run("reconcile", "--token-file", str(file))
    assert status != 0
    assert "Vault's policy does not let this server have the list of accessors" in said
    status, said = await moved.run("reconcile", "--token-file", "/nowhere")
    assert (status != 0, "/nowhere cannot be read" in said) == (True, True)


def _operator(directory: Path, vault: VaultServer) -> Path:
    file = directory / "operator"
    file.write_text(vault.root_token)
    return file


def _pem(vault: VaultServer) -> list[str]:
    from ..support.jwts import public_pem

    return [public_pem(vault.key)]
