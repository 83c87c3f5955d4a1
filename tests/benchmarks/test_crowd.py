"""Does the crowd of the benchmark do what its numbers say: log in, read, be renewed, leave nothing?"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from benchmarks.crowd import SECRET, open_crowd, pss
from benchmarks.house import scratch
from benchmarks.vault import BareHvac, RowVault, open_vault
from jupyter_sandbox_spawner.clients.grants import Reader

Control = Callable[[str, bool], None]


def asked(vault: RowVault, path: str) -> int:
    """How often Vault did what was asked there, by its own audit."""
    entries = [json.loads(line) for line in vault.audit.read_text().splitlines()]
    return sum(
        entry["type"] == "response" and entry["request"]["path"] == path and "error" not in entry
        for entry in entries
    )


@pytest.mark.lane("root", "vault")
async def test_every_sandbox_logs_in_once_and_is_ended(control: Control) -> None:
    """Three sandboxes read twice each: three logins, six reads, and three ends when they have stopped."""
    async with scratch() as directory, open_vault(directory) as vault:
        vault.put(SECRET, {"password": "p"})
        vault.new_secret_id()
        async with open_crowd(directory, vault) as crowd:
            await crowd.admit(3)
            assert await crowd.read_all() > 0
            assert await crowd.read_all() > 0
            control("they are held", (await crowd.admin.state())["held"] == 3)
            assert pss(crowd.broker) > 1
            assert await crowd.end_all() > 0
            assert (await crowd.admin.state())["held"] == 0
        assert asked(vault, "auth/jwt-sandbox/login") == 3
        assert asked(vault, f"secret/data/{SECRET}") == 7  # with the one that stored it
        assert asked(vault, "auth/token/revoke-accessor") == 3


@pytest.mark.lane("root", "vault")
async def test_the_peer_makes_the_same_calls() -> None:
    """Bare hvac logs in, reads, renews and ends, once each for each."""
    async with scratch() as directory, open_vault(directory) as vault:
        vault.put(SECRET, {"password": "p"})
        bare = BareHvac(vault, directory / "peer")
        readers = [Reader(sandbox=f"sb-{n}", user=f"u{n}", server="", profile="bench") for n in range(2)]
        broker = bare.as_broker()
        assert await bare.log_in(readers, SECRET) > 0
        assert await bare.read_all(SECRET) > 0
        assert await bare.renew_all(broker) > 0
        assert await bare.revoke_all(broker) > 0
        bare.close()
        assert asked(vault, "auth/jwt-sandbox/login") == 2
        assert asked(vault, f"secret/data/{SECRET}") == 5
        assert asked(vault, "auth/token/renew-accessor") == 2
        assert asked(vault, "auth/token/revoke-accessor") == 2
        assert len(vault.renewals(0, 1e12)) == 2
