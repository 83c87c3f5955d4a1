"""How does a real Vault run for a row, and how fast does bare hvac get from it what the broker gets?"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import hvac

from hub_config.vault.own_vault import OwnVault, find_vault
from jupyter_sandbox_spawner.broker.signing import Signer
from jupyter_sandbox_spawner.clients.grants import Reader
from jupyter_sandbox_spawner.vault_site import VaultSite

from .row import BenchmarkError

__all__ = ["THREADS", "BareHvac", "RowVault", "open_vault"]

THREADS = 8  # as many as the broker has for Vault
_RENEW = "auth/token/renew-accessor"


@dataclass
class RowVault:
    """A Vault in memory, set up as a site's; `audit` is its own account of what it was asked."""

    own: OwnVault
    directory: Path
    audit: Path
    keys: list[str] = field(default_factory=list)

    @property
    def site(self) -> VaultSite:
        """What the broker is told."""
        return VaultSite(
            address=self.own.address,
            role_id_file=str(self.directory / "role-id"),
            secret_id_file=str(self.directory / "secret-id"),
        )

    def trust(self, *pems: str) -> None:
        """Sandboxes' logins that these keys signed are good from now on, besides those of before."""
        self.keys += [pem for pem in pems if pem not in self.keys]
        options = []
        for number, pem in enumerate(self.keys):
            (self.directory / f"key-{number}.pem").write_text(pem)
            options += ["--jwt-key", str(self.directory / f"key-{number}.pem")]
        self.own.set_up("--only-keys", *options)

    def put(self, name: str, fields: dict[str, str]) -> None:
        """Store a secret."""
        self.own.call("POST", f"secret/data/{name}", {"data": fields})

    def new_secret_id(self) -> None:
        """A wrapped one works once: every broker that starts in a new place gets its own."""
        path = "auth/approle/role/sandbox-broker/secret-id"
        answer = self.own.call("POST", path, {}, headers={"X-Vault-Wrap-TTL": "10m"})
        (self.directory / "secret-id").write_text(answer["wrap_info"]["token"])

    def renewals(self, begin: float, end: float) -> list[float]:
        """When sandboxes' tokens were renewed, by Vault's own audit: seconds since the epoch."""
        found = []
        with self.audit.open() as lines:
            for line in lines:
                if _RENEW in line and (entry := json.loads(line))["type"] == "response":
                    found.append(_epoch(entry["time"]))
        return [instant for instant in found if begin <= instant < end]


def _epoch(text: str) -> float:
    """Vault's times have nine digits after the dot, which Python before 3.11 does not read."""
    return datetime.fromisoformat(f"{text[:26].rstrip('Z')}+00:00").timestamp()


@asynccontextmanager
async def open_vault(directory: Path, *options: str) -> AsyncIterator[RowVault]:
    """Started, set up with these options, everything shared readable by everybody; ended with the block."""
    if not os.access(find_vault(), os.X_OK):
        raise BenchmarkError("This row needs a Vault. Run, once: scripts/prepare vault")
    own = OwnVault(directory / "vault")
    found = RowVault(own, directory, directory / "audit.log")
    try:
        await asyncio.to_thread(own.start)
        own.initialise()
        own.call("PUT", "sys/audit/rows", {"type": "file", "options": {"file_path": str(found.audit)}})
        files = ["--role-id", str(directory / "role-id"), "--secret-id", str(directory / "secret-id")]
        await asyncio.to_thread(own.set_up, "--shared", "shared/*", *files, *options)
        yield found
    finally:
        await asyncio.to_thread(own.stop)


class BareHvac:
    """The peer: hvac alone, as in its documentation, by as many threads as the broker has."""

    def __init__(self, vault: RowVault, directory: Path) -> None:
        self._vault = vault
        self._signer = Signer(str(directory))
        self._pool = ThreadPoolExecutor(THREADS)
        vault.trust(*self._signer.pems())
        self.clients: list[hvac.Client] = []
        self.accessors: list[str] = []

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown()

    async def log_in(self, readers: Sequence[Reader], name: str) -> float:
        """Log in as each and read a secret; the seconds it took. `clients` and `accessors` are kept."""
        self.clients = [hvac.Client(url=self._vault.own.address) for _ in readers]
        self.accessors = []

        def one(client: hvac.Client, reader: Reader) -> None:
            jwt = self._signer.token(self._vault.site, reader)
            login = client.auth.jwt.jwt_login(role="sandbox", jwt=jwt, path="jwt-sandbox")
            self.accessors.append(login["auth"]["accessor"])
            client.secrets.kv.v2.read_secret_version(path=name, raise_on_deleted_version=True)

        pairs = zip(self.clients, readers, strict=True)
        return await self._timed([partial(one, *pair) for pair in pairs])

    async def read_all(self, name: str) -> float:
        """Read a secret as each; the seconds."""

        def one(client: hvac.Client) -> Any:
            return client.secrets.kv.v2.read_secret_version(path=name, raise_on_deleted_version=True)

        return await self._timed([partial(one, client) for client in self.clients])

    async def renew_all(self, broker: hvac.Client) -> float:
        """Renew each by its accessor; processor seconds that it took."""
        before = time.thread_time()
        for accessor in self.accessors:
            broker.auth.token.renew_accessor(accessor)
        return time.thread_time() - before

    async def revoke_all(self, broker: hvac.Client) -> float:
        """End each by its accessor; the seconds."""

        def one(accessor: str) -> None:
            broker.auth.token.revoke_accessor(accessor)

        return await self._timed([partial(one, name) for name in self.accessors])

    async def _timed(self, acts: Sequence[Callable[[], Any]]) -> float:
        loop = asyncio.get_running_loop()
        begin = time.perf_counter()
        await asyncio.gather(*(loop.run_in_executor(self._pool, act) for act in acts))
        return time.perf_counter() - begin
