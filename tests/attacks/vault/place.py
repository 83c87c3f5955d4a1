"""What is a house whose secrets are in a real Vault? Programs, Vault, PostgreSQL, and the way between them.

Law: Vault fetches the broker's keys from the hub's public address, as at a site; nothing is handed to it.
"""

from __future__ import annotations

import json
import resource
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from hub_config.demo.running import RunningSite
from hub_config.vault.own_postgres import DATABASE, OwnPostgres
from hub_config.vault.own_vault import Refused
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.house import House, open_house
from tests.support.vault_server import VaultServer, running_vault

__all__ = ["LEASED", "VaultPlace", "open_place"]

LEASED = "db/warehouse"
PROFILES = Path(__file__).with_name("profiles.yaml")
_SHARED = ("warehouse/*", "storage/*", "research/*", "code/*", "never/*")
_LOOK = 0.05  # seconds; neither Vault nor a database tells of an end


@dataclass
class VaultPlace:
    """A running house and its Vault. `way`: the proxy that stands before Vault, which can be made to fail."""

    house: House
    server: VaultServer
    way: FaultyProxy
    postgres: OwnPostgres

    def kept(self, sandbox: str) -> list[dict[str, Any]]:
        """The broker's journal of one sandbox: id, kind, accessor, ending; opened as root, read only."""
        return self._journal("sandbox", sandbox)

    def logins(self, user: str) -> list[dict[str, Any]]:
        """The broker's journal of one person."""
        return self._journal("user", user)

    def _journal(self, column: str, wanted: str) -> list[dict[str, Any]]:
        file = f"file:{self.house.site.broker_dir}/credentials.db?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as database:
            database.row_factory = sqlite3.Row
            found = [dict(row) for row in database.execute("select * from credentials")]
        return [row for row in found if row[column] == wanted]

    def accessor(self, sandbox: str) -> str:
        """The accessor of the sandbox's own login at Vault."""
        [found] = [row["id"] for row in self.kept(sandbox) if row["kind"] == "token" and not row["ending"]]
        return str(found)

    def lives(self, accessor: str) -> bool:
        """Does Vault know this token?"""
        try:
            self.server.call("PUT", "auth/token/lookup-accessor", {"accessor": accessor})
        except Refused as refused:
            if "invalid accessor" not in str(refused):
                raise
            return False
        return True

    def read(self, name: str, secret: str) -> dict[str, str]:
        """The values as this person's sandbox gets them, asked for at the broker's socket as root may."""
        sandbox = self.house.server(name)
        seen = self.house.attack(name, 'attempt("token", lambda: os.environ["JUPYTERHUB_API_TOKEN"])')
        headers = {"X-Sandbox-Id": sandbox, "Authorization": f"token {seen['token']['value']}"}

        async def ask() -> dict[str, str]:
            connector = aiohttp.UnixConnector(self.house.site.broker_socket("gateway"))
            async with (
                aiohttp.ClientSession("http://localhost", connector=connector) as session,
                session.post(f"/api/secrets/{secret}/read", headers=headers) as answer,
            ):
                document = await answer.json()
                assert answer.status == 200, document
                return dict(document["fields"])

        return self.house.wait(ask())

    def seconds_until(self, holds: Callable[[], bool], within: float = 30.0, look: float = _LOOK) -> float:
        """How long it took until something held."""
        begun = time.monotonic()
        while not holds():
            assert time.monotonic() - begun < within, f"not within {within:.0f} s"
            time.sleep(look)
        return round(time.monotonic() - begun, 2)


def _options(postgres: OwnPostgres) -> tuple[str, ...]:
    shared = (word for path in _SHARED for word in ("--shared", path))
    database = ("--database", DATABASE, "--postgres", postgres.url)
    return (*shared, *database, "--password-file", str(postgres.password_file))


@contextmanager
def open_place(variables: Mapping[str, str]) -> Iterator[VaultPlace]:
    """All of it for the block."""
    postgres = OwnPostgres()
    postgres.start()
    try:
        options = _options(postgres)
        with running_vault(*options) as server, faulty_proxy(server.address) as way:

            def join(running: RunningSite) -> None:
                _join(running, server, way, postgres)

            # Were the programs to leave it at what they are given, a crash could write their memory to disk.
            _, most = resource.getrlimit(resource.RLIMIT_CORE)
            resource.setrlimit(resource.RLIMIT_CORE, (most, most))
            with open_house(PROFILES, variables, join) as house:
                keys = f"{house.running.base}services/sandbox/.well-known/jwks.json"
                server.set_up("--jwks-url", keys, *options)
                yield VaultPlace(house, server, way, postgres)
    finally:
        postgres.stop()


def _join(running: RunningSite, server: VaultServer, way: FaultyProxy, postgres: OwnPostgres) -> None:
    """Tell the site of its Vault, hand over what the broker logs in with, open the way to the database."""
    found = {"role_id_file": server.role_id_file, "secret_id_file": server.secret_id_file()}
    setting = {"address": way.address}
    for name, source in found.items():
        file = running.root / f"vault-{name}"
        file.write_text(source.read_text())
        running.hand_over(file, "broker")
        setting[name] = str(file)
    # With characters that a URL has to escape.
    running.secrets["code/forge"] = {"user": "alice", "password": f"p/&+%= {secrets.token_urlsafe(20)}"}
    services = running.upstreams.internal_services
    services["warehouse.sandbox.internal:5432"] = f"127.0.0.1:{postgres.port}"
    running.variables = {
        **running.variables,
        # As many starts as a test has wait at once.
        "SANDBOX_SPAWN_LIMIT": "100",
        "SANDBOX_VAULT": json.dumps(setting),
        "SANDBOX_INTERNAL_SERVICES": ",".join(f"{name}={place}" for name, place in services.items()),
    }
