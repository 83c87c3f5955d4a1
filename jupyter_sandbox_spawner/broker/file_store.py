"""Where are secrets without Vault? In encrypted files beside their key: for trying out.

Law: who can read the directory can read the secrets; a file is replaced in one step and synced before `put`
returns; a file that does not decrypt, or is another secret's, is an error and never skipped silently.
"""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from cryptography.fernet import Fernet, InvalidToken

from ..clients.grants import Reader
from ..errors import ConfigurationError
from ..names import stable_hash
from ..private_files import sync_directory, write_private
from ..rules.grants import Grant
from ..serving import private_directory
from ..wire import decode_json, encode_json
from .store import (
    MOST_SECRETS,
    About,
    Ended,
    Secret,
    Stored,
    StoreState,
    missing,
    needs_vault,
    not_held,
    unusable,
)

__all__ = ["FileStore"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
T = TypeVar("T")
_SUFFIX = ".secret"


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What is encrypted; the name too, so that two files cannot be exchanged."""

    name: str
    fields: Mapping[str, str]
    changed_at: datetime
    changed_by: str

    def __repr__(self) -> str:
        return f"<content of {self.name}>"


class FileStore:
    """The embedded store below `directory`; use it as `async with`. One process at a time."""

    kind = "embedded"

    def __init__(
        self, directory: str, clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    ) -> None:
        self._directory = Path(directory)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._fernet: Fernet | None = None

    async def __aenter__(self) -> FileStore:
        private_directory(str(self._directory))
        self._fernet = await asyncio.to_thread(self._open_key)
        for name in await self._run(self._unreadable):
            log.error("%s does not decrypt; the secret has to be put again", self._directory / name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fernet = None

    async def state(self) -> StoreState:
        """Open, or not."""
        if self._fernet is not None:
            return StoreState(kind=self.kind)
        return StoreState(kind=self.kind, ok=False, code="secret.store_unusable", message="It is closed.")

    async def about(self, reader: Reader, grants: Sequence[Grant]) -> Mapping[str, About]:
        """Whether each is stored, and since when."""
        changed = {item.name: item.changed_at for item in await self.describe()}
        return {
            grant.name: About(
                stored=grant.name in changed and not _beyond(grant), changed_at=changed.get(grant.name)
            )
            for grant in grants
        }

    async def renew(self, reader: Reader, grant: Grant) -> About:
        """Nothing here expires."""
        raise not_held(grant)

    async def revoke(self, reader: Reader, grant: Grant) -> Ended:
        """Nothing here can be ended."""
        return Ended()

    async def end(self, sandboxes: Collection[str]) -> Ended:
        """Nothing here can be ended."""
        return Ended()

    async def describe(self) -> tuple[Stored, ...]:
        """What there is, by name; files that do not decrypt are left out, as the log said at the start."""
        return await self._run(self._describe)

    async def read(self, reader: Reader, grant: Grant) -> Secret:
        """The values. Raises RefusedError `secret.missing`, `.needs_vault`, ProgramError `secret.store_*`."""
        if _beyond(grant):
            raise needs_vault(grant)
        return await self.load(grant.name)

    async def load(self, name: str) -> Secret:
        """The values of a name, for the command that copies them to Vault."""
        content = await self._run(lambda: self._load(self._path(name)))
        if content is None:
            raise missing(name)
        if content.name != name:
            raise unusable(f"the file of {name!r} holds another secret", "secret.store_damaged", _PUT_AGAIN)
        return Secret(name=name, fields=content.fields)

    async def put(self, name: str, fields: Mapping[str, str], by: str) -> None:
        """Encrypt, write beside, sync, rename, sync the directory."""
        content = _Content(name=name, fields=fields, changed_at=self._clock(), changed_by=by)
        await self._run(lambda: self._save(content))

    async def delete(self, name: str) -> bool:
        """Remove its file; False if there was none."""
        return await self._run(lambda: self._remove(self._path(name)))

    async def _run(self, act: Callable[[], T]) -> T:
        async with self._lock:
            try:
                return await asyncio.to_thread(act)
            except OSError as error:
                raise unusable(
                    str(error.strerror), remedy=f"The admin looks at: ls -la {self._directory}"
                ) from error

    def _path(self, name: str) -> Path:
        # Never a path made of what somebody typed.
        return self._directory / f"{stable_hash('secret', name, length=40)}{_SUFFIX}"

    def _files(self) -> list[Path]:
        return sorted(path for path in self._directory.iterdir() if path.suffix == _SUFFIX)

    def _describe(self) -> tuple[Stored, ...]:
        found = [content for path in self._files() if (content := self._load_or_none(path)) is not None]
        return tuple(_stored(content) for content in sorted(found, key=lambda item: item.name))

    def _unreadable(self) -> list[str]:
        return [path.name for path in self._files() if self._load_or_none(path) is None]

    def _load_or_none(self, path: Path) -> _Content | None:
        try:
            return self._decrypt(path.read_bytes(), path)
        except _DAMAGE:
            return None

    def _load(self, path: Path) -> _Content | None:
        try:
            return self._decrypt(path.read_bytes(), path)
        except FileNotFoundError:
            return None
        except _DAMAGE:
            raise unusable(
                "a file does not decrypt with its key", "secret.store_damaged", _PUT_AGAIN
            ) from None

    def _decrypt(self, raw: bytes, path: Path) -> _Content:
        content = decode_json(_Content, self._opened().decrypt(raw))
        if self._path(content.name) != path:
            raise InvalidToken
        return content

    def _save(self, content: _Content) -> None:
        path = self._path(content.name)
        if not path.exists() and len(self._files()) >= MOST_SECRETS:
            raise unusable(
                f"it holds {MOST_SECRETS} secrets already", "secret.store_full", "Delete some first."
            )
        write_private(path, self._opened().encrypt(encode_json(content)))

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync_directory(self._directory)
        return True

    def _open_key(self) -> Fernet:
        path = self._directory / "key"
        try:
            status = path.stat()
        except FileNotFoundError:
            if self._files():
                raise _key_error(
                    path, "secret.key_missing", "is gone, and there are secrets that need it"
                ) from None
            write_private(path, Fernet.generate_key())
            status = path.stat()
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise _key_error(
                path, "secret.key_exposed", f"may be read by others (mode {stat.S_IMODE(status.st_mode):o})"
            )
        try:
            return Fernet(path.read_bytes())
        except ValueError:
            raise _key_error(path, "secret.key_invalid", "is not a key of this store") from None

    def _opened(self) -> Fernet:
        if self._fernet is None:
            raise unusable("it is closed")
        return self._fernet


_DAMAGE = (InvalidToken, ConfigurationError, json.JSONDecodeError)
_PUT_AGAIN = "The admin puts it again: jupyter-sandbox-admin secrets put NAME"
_KEY_REMEDIES = {
    "secret.key_missing": "Restore the key from a backup, or remove the *.secret files and put them again.",
    "secret.key_exposed": "Put new values into every secret, then: chmod 600 {path}",
    "secret.key_invalid": "Restore the key from a backup, or remove it and all *.secret files.",
}


def _beyond(grant: Grant) -> bool:
    """Does it speak of what only Vault has?"""
    return bool(grant.path) or grant.version is not None or grant.kind in ("database", "vault")


def _key_error(path: Path, code: str, sentence: str) -> ConfigurationError:
    remedy = _KEY_REMEDIES[code].format(path=path)
    return ConfigurationError(f"The key {path} {sentence}.", code=code, field="state_dir", remedy=remedy)


def _stored(content: _Content) -> Stored:
    return Stored(
        name=content.name,
        fields=tuple(content.fields),
        size=sum(len(value.encode()) for value in content.fields.values()),
        changed_at=content.changed_at,
        changed_by=content.changed_by,
    )
