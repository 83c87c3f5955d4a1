"""Where are secrets without Vault? In encrypted files beside their key: for trying out.

Law: who can read the directory can read the secrets; a file is replaced in one step and synced before `put`
returns; a file that does not decrypt, or is another secret's, is an error and never skipped silently.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from cryptography.fernet import Fernet, InvalidToken

from ..errors import ConfigurationError
from ..names import stable_hash
from ..serving import private_directory
from ..wire import decode_json, encode_json
from .store import MOST_SECRETS, Secret, Stored, missing, unusable

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

    static = True

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

    async def names(self) -> frozenset[str]:
        """What there is."""
        return frozenset(item.name for item in await self.describe())

    async def describe(self) -> tuple[Stored, ...]:
        """What there is, by name; files that do not decrypt are left out, as the log said at the start."""
        return await self._run(self._describe)

    async def read(self, name: str) -> Secret:
        """The values. Raises RefusedError `secret.missing`, ProgramError `secret.store_*`."""
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
        _write(path, self._opened().encrypt(encode_json(content)))

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _sync(self._directory)
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
            _write(path, Fernet.generate_key())
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


def _write(path: Path, raw: bytes) -> None:
    temporary = path.with_suffix(".new")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        view = memoryview(raw)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
