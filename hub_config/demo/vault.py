"""How does the demo take its secrets from a Vault that scripts/vault-dev runs, instead of its own store?"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from .running import CHECKOUT, DemoError, RunningSite

__all__ = ["WAREHOUSE", "keys_address", "keys_hint", "use_vault"]

_KEYS_WITHIN = 20.0  # seconds
WAREHOUSE = "warehouse.sandbox.internal:5432"


def use_vault(file: Path, running: RunningSite) -> None:
    """Before it starts: the setting `vault`, files for the broker's uid, the way to a PostgreSQL.

    Nothing is stored in it: that is what the admin of the tutorial does. Raises DemoError.
    """
    told = _read(file)
    setting = {"address": told["address"]}
    # The directory of vault-dev is closed to the broker, which has a uid of its own; and a wrapped secret id
    # works once, so that each demo needs one of its own.
    texts = {"role_id_file": Path(told["role_id_file"]).read_text(), "secret_id_file": _new_secret_id(told)}
    for name, text in texts.items():
        copy = running.root / name
        copy.touch(mode=0o600)
        copy.write_text(text)
        running.hand_over(copy, "broker")
        setting[name] = str(copy)
    services = dict(running.upstreams.internal_services)
    if "postgres" in told:
        services[WAREHOUSE] = told["postgres"]
    running.secrets.clear()
    running.variables = {
        **running.variables,
        "SANDBOX_VAULT": json.dumps(setting),
        "SANDBOX_INTERNAL_SERVICES": ",".join(f"{name}={place}" for name, place in services.items()),
    }


async def keys_address(running: RunningSite) -> str:
    """Where Vault finds the broker's public keys, once it finds them there. Raises DemoError."""
    address = f"{running.base}services/sandbox/.well-known/jwks.json"
    end = time.monotonic() + _KEYS_WITHIN
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(address) as answer:
                if answer.status == 200:
                    return address
            if time.monotonic() > end:
                raise DemoError(f"{address} answers {answer.status}.")
            # The hub gives services their routes a moment after it serves people, and says so to nobody.
            await asyncio.sleep(0.1)


async def keys_hint(running: RunningSite) -> str:
    """What is left to do before a sandbox can log in there: Vault learns the broker's keys."""
    if running.site is None or running.site.vault is None:
        return ""
    keys = await keys_address(running)
    return (
        "Secrets come from Vault, which has to know this broker's keys. With vault-dev's environment:\n"
        f"  {CHECKOUT}/hub_config/vault/setup --only-keys --jwks-url {keys}\n"
    )


def _new_secret_id(told: Mapping[str, str]) -> str:
    """A wrapped one, made as vault-dev's root."""
    words = shlex.split(Path(told["environment_file"]).read_text())
    token = next(word.partition("=")[2] for word in words if word.startswith("VAULT_TOKEN="))
    request = urllib.request.Request(
        f"{told['address']}/v1/auth/approle/role/sandbox-broker/secret-id",
        method="POST",
        data=b"{}",
        headers={"X-Vault-Token": token, "X-Vault-Wrap-TTL": "10m"},
    )
    # No proxy of the caller's shell stands between here and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return str(json.load(answer)["wrap_info"]["token"])
    except OSError as error:
        raise DemoError(
            f"Vault at {told['address']} does not answer: does vault-dev run? ({error})"
        ) from error


def _read(file: Path) -> dict[str, Any]:
    remedy = "run: scripts/vault-dev --directory DIRECTORY, and give DIRECTORY/site.json"
    try:
        told: dict[str, Any] = json.loads(file.read_bytes())
        for name in ("address", "role_id_file", "environment_file"):
            if not isinstance(told[name], str):
                raise TypeError(name)
        return told
    except OSError as error:
        raise DemoError(f"{file} cannot be read ({error.strerror}); {remedy}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DemoError(f"{file} is no site.json of scripts/vault-dev; {remedy}.") from error
