"""Does a real Vault's wrapped token open once, and is its second opening, or another making, an alarm?"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import RefusedError, UnreachableError
from jupyter_sandbox_spawner.singleuser.vault_token import unwrap
from tests.singleuser.brokerapi import SECRETS, give
from tests.singleuser.selfapi import SelfApi
from tests.singleuser.test_vault_token import NAME, alarms, files
from tests.singleuser.vaultapi import LOGIN_PATH
from tests.support.jwts import claims, sign
from tests.support.vault_server import VaultServer

Control = Callable[[str, bool], None]
pytestmark = [pytest.mark.lane("vault"), pytest.mark.proves("S14")]


def wrapped(vault: VaultServer, path: str, body: dict[str, Any], ttl: str = "60s", token: str = "") -> str:
    """The wrapping token of this call."""
    answer = vault.call("PUT", path, body, token=token, headers={"X-Vault-Wrap-TTL": ttl})
    return str(answer["wrap_info"]["token"])


def login(vault: VaultServer, ttl: str = "60s") -> str:
    """A wrapped login of ada's sandbox, as the broker makes it."""
    return wrapped(vault, LOGIN_PATH, {"role": "sandbox", "jwt": sign(vault.key, claims("ada"))}, ttl)


def hand_out(api: SelfApi, vault: VaultServer, token: str) -> None:
    """Let the broker hand this out."""
    fields = {"wrapped_token": token, "address": vault.address, "namespace": "", "expected_path": LOGIN_PATH}
    give(api, NAME, kind="vault", static=False, environment={}, fields=fields)


@pytest.fixture
def broker(api: SelfApi, memory: Path) -> SelfApi:
    """A broker that takes alarms."""
    api.answers[f"POST {SECRETS}/{NAME}/alarm"] = (200, {"alarmed": ""})
    return api


def test_it_opens_once_and_the_token_works(
    broker: SelfApi,
    vault: VaultServer,
    memory: Path,
    control: Control,
) -> None:
    """The file's token reads ada's own secret and nobody else's; the same wrapping again is an alarm."""
    vault.put("users/ada/db", {"password": "hers"})
    token = login(vault)
    hand_out(broker, vault, token)
    file = Path(unwrap(NAME).file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    control("it reads", vault.read("users/ada/db", file.read_text()) == {"password": "hers"})
    file.unlink()
    with pytest.raises(RefusedError) as caught:
        unwrap(NAME)
    assert caught.value.code == "wrapping.used"
    assert (files(memory), alarms(broker)) == ([], ["wrapping.used"])
    assert token not in str(caught.value)


def test_who_opens_it_on_the_way_is_found_out(broker: SelfApi, vault: VaultServer, memory: Path) -> None:
    """A thief who opened it first, and wrapped what was in it again, is found out by where that was made."""
    token = login(vault)
    stolen = vault.call("PUT", "sys/wrapping/unwrap", token=token)["auth"]
    hand_out(broker, vault, token)
    with pytest.raises(RefusedError) as caught:
        unwrap(NAME)
    assert caught.value.code == "wrapping.used"
    again = wrapped(vault, "sys/wrapping/wrap", {"auth": stolen}, token=vault.root_token)
    hand_out(broker, vault, again)
    with pytest.raises(RefusedError) as caught:
        unwrap(NAME)
    assert caught.value.code == "wrapping.wrong_path"
    assert "sys/wrapping/wrap" in caught.value.message
    assert alarms(broker) == ["wrapping.used", "wrapping.wrong_path"]
    assert files(memory) == []
    # It was looked at and not opened: whoever owns it still can.
    assert vault.call("PUT", "sys/wrapping/unwrap", token=again)["data"]["auth"]["client_token"]


def test_a_sealed_vault_is_no_alarm(
    broker: SelfApi,
    vault: VaultServer,
    memory: Path,
    control: Control,
) -> None:
    """While it is sealed there is a sentence and no file; the token opens afterwards."""
    hand_out(broker, vault, login(vault))
    with vault.sealed(), pytest.raises(UnreachableError, match="HTTP 503"):
        unwrap(NAME)
    assert (files(memory), alarms(broker)) == ([], [])
    control("it opens afterwards", Path(unwrap(NAME).file).exists())
