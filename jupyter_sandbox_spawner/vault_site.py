"""Where is a site's Vault, and how does the broker log in there? No secret is in it, only paths of files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["VaultSite"]


@dataclass(frozen=True, kw_only=True)
class VaultSite:
    """The setting `vault` of setup_hub.

    `address`: such as `https://vault.example.org:8200`; `ca`: file of the authority that signed its
    certificate, "" is the system's. `namespace`: of Vault Enterprise or OpenBao. `login`: how the
    broker itself logs in: by `approle` (`role_id_file`, and `secret_id_file`, which may hold a wrapped
    one), by `kubernetes` (the service account's token in `token_file`, for the role `role`) or with the
    token in `token_file`; `login_mount` where it is not mounted under its own name. `jwt_mount`,
    `jwt_role`: where sandboxes log in, with tokens that the broker signs as `issuer` for `audience`.
    `kv_mount`, `kv_prefix`: where a secret `db/x` lies: `MOUNT/PREFIX/db/x`.
    """

    address: str
    ca: str = ""
    namespace: str = ""
    login: Literal["approle", "kubernetes", "token"] = "approle"
    login_mount: str = ""
    role_id_file: str = ""
    secret_id_file: str = ""
    token_file: str = ""
    role: str = "sandbox-broker"
    jwt_mount: str = "jwt-sandbox"
    jwt_role: str = "sandbox"
    issuer: str = "jupyter-sandbox-broker"
    audience: str = "vault"
    kv_mount: str = "secret"
    kv_prefix: str = ""

    @property
    def login_path(self) -> str:
        """Where sandboxes log in; a wrapped token that was made elsewhere is nobody's."""
        return f"auth/{self.jwt_mount}/login"

    def kv(self, what: Literal["data", "metadata"], name: str) -> str:
        """The path of a secret in KV version 2."""
        prefix = f"{self.kv_prefix}/" if self.kv_prefix else ""
        return f"{self.kv_mount}/{what}/{prefix}{name}".rstrip("/")
