"""How do tests meet a real Vault? One for each module that asks, made ready by hub_config/vault/setup.

Fixtures, for every test: `vault` is a VaultServer; `warehouse` is one whose database engine is joined to a
real PostgreSQL. Mark the tests `@pytest.mark.lane("vault")`, with the database also "postgresql".
Its calls wait, a few milliseconds each; an async test may make them as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from hub_config.vault.own_postgres import DATABASE, OwnPostgres
from hub_config.vault.own_vault import OwnVault, Tls
from tests.lanes import missing
from tests.support.jwts import claims, new_key, public_pem, sign

__all__ = ["DATABASE", "VaultServer", "Warehouse", "running_vault", "vault", "warehouse"]

AUDIT = "sys/audit/tests"
Evidence = Callable[[str, Callable[[], str]], Callable[[], None]]


class VaultServer(OwnVault):
    """A Vault on disk: KV v2 `secret/`, `auth/jwt-sandbox` (role sandbox), AppRole (role sandbox-broker).

    Until set_jwt_keys is called it trusts `key`, a key of the tests; `login` signs with it.
    """

    def __init__(self, directory: Path, *, host: str = "127.0.0.1", tls: bool = False) -> None:
        files = _tls_files(directory, host) if tls else None
        super().__init__(directory / "vault", host=host, keep=True, tls=files)
        self.ca_file = directory / "ca.pem"
        self.key = new_key()
        self.role_id_file = directory / "role-id"
        self._files = directory
        self._audit = directory / "audit.log"
        self._secret_ids = 0

    def prepare(self, *options: str) -> None:
        """Start, initialise, switch the audit on, and run the set-up with these further options."""
        self.start()
        self.initialise()
        self.call("PUT", AUDIT, {"type": "file", "options": {"file_path": str(self._audit), "mode": "0600"}})
        key = self._files / "jwt-key.pem"
        key.write_text(public_pem(self.key))
        self.set_up("--jwt-key", str(key), "--role-id", str(self.role_id_file), *options)

    def restart(self) -> None:
        """Stop and start at the same address, unsealed; everything stored is still there."""
        self.stop()
        self.start()
        self.unseal()

    def secret_id_file(self, wrap_ttl: str = "10m") -> Path:
        """A file with a fresh wrapped secret id of the broker, mode 0600, as an operator hands it over."""
        self._secret_ids += 1
        file = self._files / f"wrapped-secret-id-{self._secret_ids}"
        path = "auth/approle/role/sandbox-broker/secret-id"
        answer = self.call("PUT", path, {}, headers={"X-Vault-Wrap-TTL": wrap_ttl})
        file.touch(mode=0o600)
        file.write_text(answer["wrap_info"]["token"] + "\n")
        return file

    def broker_token(self) -> str:
        """A token of the broker's own, by AppRole with a fresh secret id."""
        wrapping = self.secret_id_file().read_text().strip()
        secret_id = self.call("PUT", "sys/wrapping/unwrap", token=wrapping)["data"]["secret_id"]
        login = {"role_id": self.role_id_file.read_text().strip(), "secret_id": secret_id}
        return str(self.call("PUT", "auth/approle/login", login, token="")["auth"]["client_token"])

    def set_jwt_keys(self, pems: Sequence[str]) -> None:
        """From now on sandboxes' logins are checked with these public keys, and no other."""
        self.call(
            "PUT",
            "auth/jwt-sandbox/config",
            {
                "bound_issuer": "jupyter-sandbox-broker",
                "jwt_supported_algs": ["ES256"],
                "default_role": "sandbox",
                "jwt_validation_pubkeys": list(pems),
            },
        )

    def login(self, username: str, /, **others: Any) -> dict[str, Any]:
        """Log a sandbox of this person in. Returns Vault's `auth`: client_token, accessor, ..."""
        token = sign(self.key, claims(username, **others))
        answer = self.call("PUT", "auth/jwt-sandbox/login", {"role": "sandbox", "jwt": token}, token="")
        return dict(answer["auth"])

    def put(self, path: str, fields: Mapping[str, str]) -> int:
        """Store a KV secret, such as `users/alice/db`. Returns its version."""
        return int(self.call("PUT", f"secret/data/{path}", {"data": dict(fields)})["data"]["version"])

    def read(self, path: str, token: str) -> dict[str, str]:
        """The fields of a KV secret as the holder of this token sees them. Raises Refused."""
        return dict(self.call("GET", f"secret/data/{path}", token=token)["data"]["data"])

    def accessors(self) -> list[str]:
        """The accessors of every token that lives."""
        return list(self.call("LIST", "auth/token/accessors")["data"]["keys"])

    def read_audit(self) -> str:
        """Every line of its audit: JSON, with tokens and values as HMACs."""
        return self._audit.read_text()


@dataclass
class Warehouse:
    """A Vault that makes users of a real PostgreSQL: `database/creds/warehouse` gives one to a sandbox."""

    vault: VaultServer
    postgres: OwnPostgres

    def users(self) -> list[str]:
        """The database users that exist now."""
        return self.postgres.users()


def _tls_files(directory: Path, host: str) -> Tls:
    authority = trustme.CA()
    files = Tls(directory / "server.pem", directory / "server-key.pem", directory / "ca.pem")
    server = authority.issue_cert(host)
    authority.cert_pem.write_to_path(files.authority)
    server.private_key_pem.write_to_path(files.key)
    for part in server.cert_chain_pems:
        part.write_to_path(files.certificate, append=True)
    return files


@contextmanager
def running_vault(*options: str, prepared: bool = True, tls: bool = False) -> Iterator[VaultServer]:
    """A Vault for the block, set up with these further options; not even initialised where not `prepared`.

    With `tls` its address is https, and `ca_file` who signed its certificate.
    """
    with tempfile.TemporaryDirectory(prefix="tests-vault-") as directory:
        server = VaultServer(Path(directory), tls=tls)
        try:
            server.prepare(*options) if prepared else server.start()
            yield server
        finally:
            server.stop()


def _need(*lanes: str) -> None:
    # A module that forgot its mark skips with the reason, too, rather than fail on a missing file.
    for lane in lanes:
        if reason := missing(lane):
            pytest.skip(f"lane {lane}: {reason}")


@pytest.fixture(scope="module")
def vault(evidence: Evidence) -> Iterator[VaultServer]:
    """A real Vault for this module, set up."""
    _need("vault")
    with running_vault("--shared", "shared/*") as server:
        forget = evidence("log of Vault", lambda: server.log[-3000:])
        yield server
        forget()


@pytest.fixture(scope="module")
def warehouse(evidence: Evidence) -> Iterator[Warehouse]:
    """A real Vault for this module, joined to a PostgreSQL of its own."""
    _need("vault", "postgresql")
    postgres = OwnPostgres()
    postgres.start()
    try:
        engine = ("--database", DATABASE, "--postgres", postgres.url)
        with running_vault(*engine, "--password-file", str(postgres.password_file)) as server:
            forget = evidence("log of Vault", lambda: server.log[-3000:])
            forget_too = evidence("log of PostgreSQL", lambda: postgres.log[-3000:])
            yield Warehouse(server, postgres)
            forget_too()
            forget()
    finally:
        postgres.stop()
