"""How does the broker itself log in at Vault, and keep a token that works?

Law: a wrapped secret id is unwrapped once, after its origin was looked at; a failure says that somebody else
may have opened it. The token is in memory only.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

from ..clients.vault import Login, VaultClient
from ..errors import ConfigurationError, SandboxError
from ..private_files import write_private
from ..vault_site import VaultSite

__all__ = ["OwnLogin"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
_KEPT = 2 / 3  # of a token's life; then a new one is taken, and the old one ends by itself
_TOKEN_FILE_FOR = 300.0  # seconds until a token from a file is renewed and its file read again
_PAUSE = 10.0  # seconds between two logins after a refusal
_PLAIN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class OwnLogin:
    """One token for all that the broker does in its own name."""

    def __init__(
        self,
        site: VaultSite,
        client: VaultClient,
        directory: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._client = client
        self._kept_id = Path(directory) / "vault-secret-id.json"
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0
        self._namespaces = False
        self._opened: dict[str, str] = {}
        self._logged_in_at = -_PAUSE

    async def token(self) -> str:
        """A token that should work. Raises SandboxError `vault.*`."""
        async with self._lock:
            if not self._token or self._clock() >= self._until:
                await self.check_namespace()
                login = await self._login()
                self._token, self._until = login.token, self._clock() + login.seconds * _KEPT
                self._logged_in_at = self._clock()
            return self._token

    def refused(self) -> bool:
        """Vault refused it something: perhaps it was revoked. True where a new one is worth a try."""
        if self._clock() - self._logged_in_at < _PAUSE:
            return False
        self._token = ""
        return True

    async def check_namespace(self) -> None:
        """A Vault without namespaces passes over the header, and all would lie in the only one there is.

        Vault says so in its health; OpenBao, which has namespaces, says nothing of the kind.
        """
        if not self._site.namespace or self._namespaces:
            return
        if (await self._client.health()).get("enterprise") is False:
            raise ConfigurationError(
                f"vault.namespace is {self._site.namespace!r}, and this Vault has no namespaces.",
                code="vault.no_namespaces",
                field="vault.namespace",
                remedy="Remove it, or take Vault Enterprise or OpenBao.",
            )
        self._namespaces = True

    async def _login(self) -> Login:
        mount = self._site.login_mount or self._site.login
        if self._site.login == "token":
            return await self._from_file()
        if self._site.login == "kubernetes":
            jwt = _content(self._site.token_file, "token_file")
            return await self._client.login(mount, {"role": self._site.role, "jwt": jwt})
        role_id = _content(self._site.role_id_file, "role_id_file")
        secret_id = await self._secret_id(_content(self._site.secret_id_file, "secret_id_file"))
        return await self._client.login(mount, {"role_id": role_id, "secret_id": secret_id})

    async def _from_file(self) -> Login:
        token = _content(self._site.token_file, "token_file")
        try:
            await self._client.write(token, "auth/token/renew-self", {}, what="the broker's token")
        except SandboxError as error:
            # A token that cannot be renewed may work all the same; Vault says so where it does not.
            log.info("The broker's token was not renewed: %s", error)
        return Login(token=token, accessor="", seconds=_TOKEN_FILE_FOR / _KEPT)

    async def _secret_id(self, found: str) -> str:
        if _PLAIN_ID.fullmatch(found):
            return found
        digest = hashlib.sha256(found.encode()).hexdigest()
        kept = self._kept()
        if kept.get("of") == digest:
            return kept["secret_id"]
        expected = f"auth/{self._site.login_mount or self._site.login}/role/{self._site.role}/secret-id"
        try:
            path = await self._client.creation_path(found)
            if path != expected:
                raise _not_ours(f"it was made by {path!r}, not by {expected!r}")
            answer = await self._client.unwrap(found)
        except SandboxError as error:
            if error.code == "vault.refused":
                log.critical("SECURITY: the wrapped secret id was used before, or is too old: %s", error)
                raise _not_ours("it was used before, or is too old") from error
            raise
        secret_id = str(answer.data.get("secret_id", ""))
        self._opened = {"of": digest, "secret_id": secret_id}
        try:
            await asyncio.to_thread(write_private, self._kept_id, json.dumps(self._opened).encode())
        except OSError as error:
            # It was opened, which cannot be done twice: it serves from memory as long as this program runs.
            log.error("The broker's secret id cannot be kept, and a restart will need a new one: %s", error)
        return secret_id

    def _kept(self) -> dict[str, str]:
        """What was unwrapped before, so that a restart needs nobody."""
        if self._opened:
            return self._opened
        try:
            found = json.loads(self._kept_id.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _not_ours(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The broker's wrapped secret id is not accepted: {why}.",
        code="vault.wrapping",
        field="secret_id_file",
        remedy="Find out who opened it, then make a new one: vault write -wrap-ttl=10m -f"
        " auth/approle/role/sandbox-broker/secret-id",
    )


def _content(path: str, field: str) -> str:
    try:
        text = Path(path).read_text().strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise _no_file(path, field, type(error).__name__) from None
    if not text:
        raise _no_file(path, field, "it is empty" if path else "it is not set")
    return text


def _no_file(path: str, field: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"vault.{field}: {path!r} cannot be used: {why}.",
        code="vault.login_file",
        field=f"vault.{field}",
        remedy="Write it for the broker's uid alone (mode 0400); docs/how-to/use-vault.md says how.",
    )
