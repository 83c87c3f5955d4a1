"""What may an admin write as setup_hub's `vault`? The fields of VaultSite, checked before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

from .errors import ConfigurationError
from .vault_site import VaultSite

__all__ = ["vault_site"]

_FILES = ("ca", "role_id_file", "secret_id_file", "token_file")
_NEEDED = {
    "approle": ("role_id_file", "secret_id_file"),
    "kubernetes": ("token_file",),
    "token": ("token_file",),
}
_PLACES = ("login_mount", "role", "jwt_mount", "jwt_role", "kv_mount", "kv_prefix", "namespace")
_PLACE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*/?")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def vault_site(given: Any) -> VaultSite | None:
    """The setting as it is kept; None without one. Raises ConfigurationError `vault.setting`."""
    if given is None:
        return None
    found = asdict(given) if isinstance(given, VaultSite) else given
    if not isinstance(found, Mapping):
        raise _wrong("vault", given, "is no mapping", 'Write vault={"address": "https://...", ...}.')
    known = {item.name for item in fields(VaultSite)}
    for name, value in found.items():
        if name not in known:
            raise _wrong(f"vault.{name}", value, "is no setting", f"Known: {', '.join(sorted(known))}.")
        if not isinstance(value, str):
            raise _wrong(f"vault.{name}", value, "is no text", "Write it in quotes.")
    if "address" not in found:
        raise _wrong(
            "vault.address", "", "is missing", 'Write {"address": "https://vault.example.org:8200"}.'
        )
    site = VaultSite(**found)
    _check_address(site.address)
    _check_login(site)
    _check_places(site)
    return site


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if "@" in parts.netloc:
        # Not shown: what stands before it may be a password.
        raise _wrong("vault.address", "...@...", "has a login in it", "Write it without; see vault.login.")
    if parts.scheme not in ("https", "http") or not parts.hostname or not plain:
        remedy = "Write scheme, host and port only: https://vault.example.org:8200"
        raise _wrong("vault.address", address, "is no address of a server", remedy)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        remedy = "Use https; plain http is for a Vault on this machine's loopback."
        raise _wrong("vault.address", address, "would send secrets unencrypted", remedy)


def _check_login(site: VaultSite) -> None:
    ways = get_args(get_type_hints(VaultSite)["login"])
    if site.login not in ways:
        raise _wrong("vault.login", site.login, "is no way to log in", f"Write one of {', '.join(ways)}.")
    for name in _NEEDED[site.login]:
        if not getattr(site, name):
            raise _wrong(
                f"vault.{name}", "", f"is needed to log in by {site.login}", "Write the path of a file."
            )
    for name in _FILES:
        path = getattr(site, name)
        if path and not os.path.isabs(path):
            raise _wrong(f"vault.{name}", path, "is no absolute path", "Write it from the root: /etc/...")


def _check_places(site: VaultSite) -> None:
    for name in _PLACES:
        value = getattr(site, name)
        if value and not _PLACE.fullmatch(value):
            remedy = "Write parts of letters, digits, _ and -, joined by /."
            raise _wrong(f"vault.{name}", value, "is no name in Vault", remedy)


def _wrong(field: str, value: Any, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{field}: {value!r} {what}.", code="vault.setting", field=field, remedy=remedy)
